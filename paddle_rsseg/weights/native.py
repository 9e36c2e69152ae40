"""Weights on disk: our own format is safetensors with the model's description inside; foreign files are read safely."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, deserialize, safe_open

from paddle_rsseg.errors import RssegError
from paddle_rsseg.weights.layout import Framework
from paddle_rsseg.weights.pickled import LEGACY_MAGIC, read_pickled

FORMAT = "paddle_rsseg/1"

#: where other projects put the state dict inside a training checkpoint
STATE_KEYS = ("model", "state_dict", "model_state_dict", "model_state", "net", "params")


def save_weights(path: str | os.PathLike, state: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
    """Write tensors and their description as one safetensors file, complete or not at all.

    Args:
        path: ends in ``.safetensors``; its directory must exist. An older file is replaced in one step.
        state: name → array, or anything with a ``numpy()`` method (a Paddle tensor).
        metadata: JSON-able values; ``format`` is added. ``model`` (component dict) and ``inference``
            (``InferenceSpec.to_dict()``) make the file sufficient to build the model and to predict with it.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise RssegError(path, f"suffix {path.suffix!r}", "'.safetensors'")
    arrays = {name: np.array(v.numpy() if hasattr(v, "numpy") else v, order="C") for name, v in state.items()}
    header = {key: json.dumps(value) for key, value in {"format": FORMAT, **(metadata or {})}.items()}
    write_atomically(path, _ordered(safetensors.numpy.save(arrays, header)))


def _ordered(data: bytes) -> bytes:
    """The same safetensors file with its metadata sorted: the library writes them in a random order, and then equal
    weights would not make equal files, with equal hashes."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format wants the tensors aligned; their offsets count from the header's end
    return len(text).to_bytes(8, "little") + text + data[end:]


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by a file with this content; after a power cut it is the old file or the new one.

    Raises:
        RssegError: no room, no such directory, or no right to write there; the old file is then unharmed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise RssegError(
            path, f"cannot be written ({error.strerror})", "a directory with room that may be written to"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # it is there only if something went wrong
            temporary.unlink()
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make a rename inside ``directory`` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def find_weights(path: str | os.PathLike) -> Path:
    """The weights file that ``path`` means: the file itself, or ``model.safetensors`` of a checkpoint directory."""
    path = Path(path)
    if path.is_dir():
        for name in ("model.safetensors", "model.pdparams"):
            if (path / name).is_file():
                return path / name
        steps = sorted(path.glob("iter_*/"), key=lambda step: (len(step.name), step.name))
        inside = [p for p in (path / "best_model", *steps[::-1]) if (p / "model.safetensors").is_file()]
        fix = f"did you mean {inside[0]}?" if inside else ""
        raise RssegError(
            path, "no model.safetensors in this directory", "a weights file or a checkpoint directory", fix
        )
    if not path.is_file():
        raise RssegError(path, "no such file", "a weights file or a checkpoint directory")
    return path


def read_weights(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Tensors and description of a ``.safetensors``, ``.pth``/``.pt``, ``.pdparams`` or ``.pdopt`` file.

    The content decides, not the suffix. Nothing in the file is executed. Names and shapes are the file's own;
    :func:`paddle_rsseg.weights.load_weights` is what translates them.

    Args:
        path: the file, or a checkpoint directory.

    Returns:
        (name → array, metadata). bfloat16 comes as float32. The metadata of a training checkpoint's file holds what
        lay beside the tensors: plain values under their own key, other blocks of tensors (the optimiser's) by
        name under ``skipped``.

    Raises:
        RssegError: no such file, damaged, or containing anything but tensors and plain containers.
    """
    path = find_weights(path)
    with open(path, "rb") as file:
        head = file.read(9)
    # eight bytes of header length, then JSON; its first byte alone may look like a pickle's
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return _read_safetensors(path)
    return _state_of(read_pickled(path), path)


def written_by(path: str | os.PathLike, metadata: Mapping[str, Any]) -> Framework:
    """Who wrote a file that :func:`read_weights` could read, told from its form.

    A pickle in a zip, or behind PyTorch's magic number, is PyTorch's; a plain one is Paddle's. A safetensors file is
    PyTorch's unless its metadata say that it is ours or another of Paddle's: nobody else writes them in public.
    """
    with open(find_weights(path), "rb") as file:
        head = file.read(32)
    if head[8:9] == b"{":
        return "paddle" if metadata.get("format") in (FORMAT, "pd", "paddle") else "torch"
    return "torch" if head.startswith(b"PK") or LEGACY_MAGIC.to_bytes(10, "little") in head else "paddle"


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            half = [name for name in file.keys() if file.get_slice(name).get_dtype() == "BF16"]  # noqa: SIM118
            state = {name: file.get_tensor(name) for name in file.keys() if name not in half}  # noqa: SIM118
        if half:  # numpy has no bfloat16: it is the upper half of a float32
            for name, entry in deserialize(path.read_bytes()):
                if name in half:
                    bits = np.frombuffer(entry["data"], "<u2").astype(np.uint32) << 16
                    state[name] = bits.view(np.float32).reshape(entry["shape"])
    except (SafetensorError, TypeError, ValueError) as error:
        raise RssegError(path, f"not readable as safetensors ({error})", "an undamaged file") from None
    return state, {key: _json_or_text(value) for key, value in header.items()}


def _json_or_text(value: str) -> Any:
    # other programs store bare words, {"format": "pt"}
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _state_of(content: Any, path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Split what a pickle holds into the state dict and the values beside it."""
    if not isinstance(content, dict):
        raise RssegError(path, f"holds a {type(content).__name__}", "a state dict (name → tensor)")
    metadata: dict[str, Any] = {}
    if not any(isinstance(value, np.ndarray) for value in content.values()):
        for key in STATE_KEYS:
            inner = content.get(key)
            if isinstance(inner, dict) and any(isinstance(value, np.ndarray) for value in inner.values()):
                metadata["entry"] = key
                content = {**{k: v for k, v in content.items() if k != key}, **inner}
                break
    state = {key: value for key, value in content.items() if isinstance(value, np.ndarray)}
    if not state:
        raise RssegError(
            path, f"no tensors, only {', '.join(map(repr, list(content)[:8])) or 'an empty dict'}", "a state dict"
        )
    for key, value in content.items():
        if key not in state:
            try:
                json.dumps(value)
                metadata[str(key)] = value
            except TypeError:  # nested tensors
                metadata.setdefault("skipped", []).append(str(key))
    return {str(key): value for key, value in state.items()}, metadata
