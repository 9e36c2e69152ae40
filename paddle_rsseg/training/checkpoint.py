"""Checkpoints: one directory each, complete or absent, whatever kills the process.

``iter_N/`` holds ``model.safetensors`` (with the description that makes it usable alone), ``optimizer.safetensors``,
``loss.safetensors`` (the annealing step), ``state.json`` and ``config.yml``; ``best_model/`` the weights, their scores
and the configuration. A directory is written under a hidden name, flushed to disk and renamed, so a name that can be
seen is whole; hidden ones that a killed run left behind are cleared by :func:`recover`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.weights import read_weights, save_weights
from paddle_rsseg.weights.native import sync_directory

NEW, OLD, DEAD = ".new-", ".old-", ".dead-"  # being written, being replaced, being deleted


# --- directories that appear and vanish whole ------------------------------------------------------------------


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Yield a hidden directory to write into; on success it becomes ``path``, replacing what was there."""
    hidden = path.with_name(NEW + path.name)
    remove(hidden)
    hidden.mkdir(parents=True)
    try:
        yield hidden
    except BaseException:  # a full disk, Ctrl-C: half a checkpoint must not take the room of a whole one
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    for file in hidden.iterdir():
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
    sync_directory(hidden)
    replaced = path.with_name(OLD + path.name)
    if path.exists():
        # no portable call exchanges two directories: recover() finishes this if it is cut between the two renames
        os.rename(path, replaced)
    os.rename(hidden, path)
    sync_directory(path.parent)
    remove(replaced)


def remove(path: Path) -> None:
    """Delete a directory, if it exists, so that no half of it is ever seen under its own name."""
    if path.exists():
        dead = path.with_name(DEAD + path.name)
        shutil.rmtree(dead, ignore_errors=True)
        os.rename(path, dead)
        shutil.rmtree(dead)


def recover(save_dir: Path) -> None:
    """Clear what killed runs left in ``save_dir``: afterwards it holds whole checkpoints only."""
    for dead in save_dir.glob(DEAD + "*"):
        shutil.rmtree(dead)
    for replaced in save_dir.glob(OLD + "*"):
        path = replaced.with_name(replaced.name.removeprefix(OLD))
        if path.exists():
            remove(replaced)
        else:
            os.rename(replaced, path)  # killed between the two renames of whole_directory
    for hidden in save_dir.glob(NEW + "*"):
        remove(hidden)


def checkpoints(save_dir: Path) -> list[Path]:
    """The ``iter_N`` directories, by rising N."""
    found = [
        (int(match[1]), path) for path in save_dir.glob("iter_*") if (match := re.fullmatch(r"iter_(\d+)", path.name))
    ]
    return [path for _, path in sorted(found)]


def choose_resume(resume: str | None, save_dir: Path) -> Path | None:
    """The checkpoint to go on from, None for a fresh start.

    Args:
        resume: a checkpoint directory; ``auto``: the latest of ``save_dir``, a fresh start if there is none; None.

    Raises:
        RssegError: no such checkpoint; or ``save_dir`` holds another run, or what this one became after the
            checkpoint: neither is ever overwritten, nor mixed with a new branch.
    """
    present = checkpoints(save_dir)
    if resume == "auto":
        return present[-1] if present else None
    if resume is not None:
        path = Path(resume)
        if not (path / "state.json").is_file():
            inside = checkpoints(path)
            fix = f"did you mean {inside[-1]}?" if inside else "give an iter_N directory, or auto"
            raise RssegError(f"--resume_model {resume}", "not a checkpoint directory", "one with a state.json", fix)
        if present and path.resolve() != present[-1].resolve():
            raise RssegError(
                save_dir,
                f"holds a run as far as {present[-1].name}",
                f"an empty directory to go on from {path}",
                f"choose another --save_dir, or continue with --resume_model {present[-1]}",
            )
        return path
    if present or (save_dir / "best_model").exists():
        raise RssegError(
            save_dir,
            f"already holds a run ({(present or [save_dir / 'best_model'])[-1].name})",
            "an empty directory",
            "continue it with --resume_model auto, or choose another --save_dir",
        )
    return None


# --- what is inside --------------------------------------------------------------------------------------------


def save_model(
    folder: Path, model: nn.Layer, optimizer: paddle.optimizer.Optimizer, metadata: Mapping[str, Any]
) -> None:
    """``model.safetensors``: all weights in fp32; where O2 keeps originals in the optimiser, those."""
    originals = optimizer.state_dict().get("master_weights", {})
    state = {name: originals.get(tensor.name, tensor) for name, tensor in model.state_dict().items()}
    save_weights(folder / "model.safetensors", {k: _array(v) for k, v in state.items()}, metadata)


def save_state(
    folder: Path, model: nn.Layer, optimizer: paddle.optimizer.Optimizer, loss: nn.Layer, state: Mapping[str, Any]
) -> None:
    """What a run needs beyond its weights to go on: ``optimizer.safetensors``, ``loss.safetensors``, ``state.json``."""
    save_weights(folder / "optimizer.safetensors", optimizer_state(model, optimizer))
    save_weights(folder / "loss.safetensors", {k: _array(v) for k, v in loss.state_dict().items()})
    (folder / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")


def read_state(folder: Path) -> dict[str, Any]:
    """``state.json`` of a checkpoint."""
    try:
        return json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RssegError(folder / "state.json", f"not readable ({error})", "an undamaged checkpoint") from None


def restore(folder: Path, model: nn.Layer, optimizer: paddle.optimizer.Optimizer, loss: nn.Layer) -> dict[str, Any]:
    """Put a checkpoint back, bit for bit, and return its ``state.json``.

    The optimiser must be fresh: it takes over accumulators before its first step only.

    Raises:
        RssegError: a file is missing or damaged, or belongs to another model, optimiser or loss.
    """
    state = read_state(folder)
    weights, _ = read_weights(folder / "model.safetensors")
    _load(model, weights, folder / "model.safetensors")
    _load(loss, read_weights(folder / "loss.safetensors")[0], folder / "loss.safetensors")
    accumulators, _ = read_weights(folder / "optimizer.safetensors")
    _load_optimizer(model, optimizer, accumulators, weights, folder / "optimizer.safetensors")
    return state


def _array(value: Any) -> np.ndarray:
    """numpy's copy of a tensor; half precision becomes float32 (exactly), since numpy has no bfloat16."""
    if not isinstance(value, paddle.Tensor):
        return np.asarray(value)
    if value.dtype in (paddle.float16, paddle.bfloat16):
        value = value.astype("float32")
    return value.numpy()


def _load(layer: nn.Layer, arrays: Mapping[str, np.ndarray], where: Path) -> None:
    own = layer.state_dict()
    wrong = [name for name in own if name not in arrays or tuple(own[name].shape) != arrays[name].shape]
    wrong += [name for name in arrays if name not in own]
    if wrong:
        raise RssegError(
            where,
            f"{len(wrong)} tensors do not match this run's settings ({', '.join(wrong[:3])}, …)",
            "the settings that the checkpoint was made with",
            f"compare {where.with_name('config.yml')}",
        )
    for name, tensor in own.items():
        # to_tensor from numpy, then cast: set_value takes no array of another type
        tensor.set_value(paddle.to_tensor(arrays[name]).astype(tensor.dtype))


# Paddle names an accumulator after the parameter's *unique name*, "conv2d_3.w_0_velocity_0", and the 3 counts the
# convolutions made in this process so far. A file carries "encoder.conv1.weight/velocity_0" instead.


def optimizer_state(model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> dict[str, np.ndarray]:
    """Accumulators as ``parameter/accumulator`` → array, independent of what else the process has built."""
    parameters = {tensor.name: name for name, tensor in model.state_dict().items()}
    state = {}
    for key, value in optimizer.state_dict().items():
        if key in ("LR_Scheduler", "master_weights"):
            continue
        # the longest: "conv2d_1.w_0" must not take what belongs to a parameter "conv2d_1.w_0_x"
        parameter = max((name for name in parameters if key.startswith(name + "_")), key=len)
        tail = key[len(parameter) + 1 :]
        # the trailing numbers count the optimisers made for this parameter in this process: start anew at 0
        tail = re.sub(r"_\d+$", "_0", re.sub(r"fp32_master_\d+", "fp32_master_0", tail))
        state[f"{parameters[parameter]}/{tail}"] = _array(value)
    return state


def _load_optimizer(
    model: nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    accumulators: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
    where: Path,
) -> None:
    tensors = model.state_dict()
    state: dict[str, Any] = {}
    for key, array in accumulators.items():
        name, _, tail = key.rpartition("/")
        if name not in tensors:
            raise RssegError(where, f"{name!r} is no parameter of this model", "the checkpoint's own model")
        state[f"{tensors[name].name}_{tail}"] = paddle.to_tensor(array)
    half = [name for name, tensor in tensors.items() if tensor.dtype in (paddle.float16, paddle.bfloat16)]
    if half:  # O2: model.safetensors holds the fp32 originals
        state["master_weights"] = {}
        for name in half:
            original = paddle.to_tensor(weights[name])
            original.name = f"{tensors[name].name}_fp32_master_0"
            state["master_weights"][tensors[name].name] = original
    if optimizer.state_dict():
        raise ValueError("the optimiser has already stepped")
    optimizer.set_state_dict(state)
