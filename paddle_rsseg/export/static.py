"""Write a model as a static graph for Paddle Inference, with its pre- and post-processing in ``deploy.yaml``."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from paddle_rsseg import __version__
from paddle_rsseg.errors import RssegError
from paddle_rsseg.export.gate import Comparison, compare, odd_cases
from paddle_rsseg.export.onnx import add_onnx
from paddle_rsseg.inference import onnx
from paddle_rsseg.inference.spec import InferenceSpec

FORMAT = "paddle_rsseg/1"
DESCRIPTION = "deploy.yaml"


def export(
    model: Any,
    spec: InferenceSpec | None = None,
    save_dir: str | os.PathLike = "output/export",
    metadata: Mapping[str, Any] | None = None,
    *,
    weights: str | os.PathLike | None = None,
    input_shape: Sequence[int] | None = None,
    format: Literal["paddle", "onnx"] = "paddle",
    temperature: float | None = None,
) -> Path:
    """Write ``model.json`` (Paddle 2.6: ``model.pdmodel``), ``model.pdiparams`` and ``deploy.yaml``.

    The graph takes the normalised image N×C×H×W float32 and returns the main output's logits N×K×H×W. Before the
    directory gets its name, Paddle Inference (and ONNX Runtime) run it over odd sizes and batches; they must agree
    with the model.

    Args:
        model: a ``paddle.nn.Layer``; settings or the path of a YAML file (with ``weights``); or the path of weights
            that say which model they belong to.
        spec: pre- and post-processing; None: from the settings, else from the weights.
        save_dir: new, empty, or an earlier export, which is replaced as a whole.
        metadata: further entries of ``deploy.yaml``.
        weights: weights file or checkpoint directory; needed with settings.
        input_shape: (N, C, H, W) for a graph of fixed height and width; the windows then have that size. -1 leaves
            an axis free; N is always free, as the last batch of an image is smaller.
        format: ``onnx`` writes ``model.onnx`` as well, for ONNX Runtime, OpenVINO, TensorRT and the like.
        temperature: of the probabilities; None: the spec's. The graph gives logits and does not depend on it.

    Returns:
        ``save_dir``.

    Raises:
        RssegError: unreadable weights, a directory with other content, or a graph that differs from the model; then
            nothing is left behind.
    """
    from paddle import nn

    if format not in ("paddle", "onnx"):
        raise RssegError("--format", repr(format), "paddle or onnx")
    details: dict[str, Any] = dict(metadata or {})
    if not isinstance(model, nn.Layer):
        model, spec, found = _load(model, spec, weights)
        details = {**found, **details}
    if spec is None:
        raise RssegError("export", "nothing says how the model wants its input", "a spec, settings, or our own weights")
    if temperature is not None:
        spec = replace(spec, temperature=temperature)
    spec, size = _fix_size(spec, input_shape)
    target = Path(save_dir)
    _check_target(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise RssegError(target, f"cannot be made ({error.strerror})", "a place that may be written to") from error
    try:
        compared = {"paddle": _write_graph(model, spec, size, temporary)}
        if format == "onnx":
            compared |= add_onnx(model, temporary, spec.in_channels, odd_cases(spec.pad_to, size))
        _describe(temporary, spec, size, compared, details)
        _put_in_place(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _load(source: Any, spec: InferenceSpec | None, weights: Any) -> tuple[Any, InferenceSpec | None, dict[str, Any]]:
    """Network with its weights, spec and what the weights know about themselves."""
    from paddle_rsseg.models import create_model, model_spec
    from paddle_rsseg.weights import load_weights, read_weights

    settings = None
    if isinstance(source, (str, Path)) and Path(source).suffix in (".yml", ".yaml"):
        from paddle_rsseg.config import load_config

        settings = load_config(source)
    elif not isinstance(source, (str, Path)):
        settings = source
    path = weights if weights is not None else source if settings is None else None
    if path is None:
        raise RssegError("export", "no weights", "trained weights to export", "--model_path output/best_model")
    if settings is not None:
        from paddle_rsseg.config import inference_spec

        component = model_spec(settings)
        spec = spec or inference_spec(settings)
    else:
        named = read_weights(path)[1].get("model")
        if named is None:
            raise RssegError(path, "does not say which model it belongs to", "our own weights", "give --config as well")
        component = named
    model = create_model(component)
    stored = load_weights(model, path).metadata
    if spec is None and "inference" in stored:
        spec = InferenceSpec.from_dict(stored["inference"], f"{path}: inference")
    found = {"network": component, "weights": Path(path).name}
    return model, spec, {**found, **{key: stored[key] for key in ("iter", "miou") if key in stored}}


def _fix_size(spec: InferenceSpec, shape: Sequence[int] | None) -> tuple[InferenceSpec, tuple[int, int] | None]:
    """The spec for a graph of this input shape, and its (height, width), None where they stay free."""
    if shape is None:
        return spec, None
    if len(shape) != 4:
        raise RssegError("--input_shape", f"{len(shape)} numbers", "N C H W, -1 where an axis is free")
    _batch, channels, height, width = shape
    if channels not in (-1, spec.in_channels):
        raise RssegError("--input_shape", f"{channels} channels", f"{spec.in_channels}, the bands of the model")
    if height == width == -1:
        return spec, None
    if height < 1 or width < 1:
        raise RssegError("--input_shape", f"height {height} and width {width}", "both positive, or both -1")
    # the step keeps its proportion to the window
    stride = tuple(
        max(1, new * step // old) for new, step, old in zip((height, width), spec.stride, spec.window, strict=True)
    )
    resize = None if spec.resize is None else (height, width)
    fixed = replace(spec, window=(height, width), stride=stride, pad="window", resize=resize)  # type: ignore[arg-type]
    return fixed, (height, width)


def _check_target(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise RssegError(target, "is a file", "a directory to write to")
    if target.is_dir() and any(target.iterdir()) and not (target / DESCRIPTION).is_file():
        raise RssegError(
            target, "holds other files than an exported model", "a new or empty directory", "choose another --save_dir"
        )


def _write_graph(model: Any, spec: InferenceSpec, size: tuple[int, int] | None, directory: Path) -> Comparison:
    import paddle

    from paddle_rsseg.inference.backends import DynamicBackend, PaddleInferenceBackend, save_static

    wrong = [name for name, tensor in model.state_dict().items() if not np.isfinite(tensor.numpy()).all()]
    if wrong:
        seen = f"{len(wrong)} of its tensors hold NaN or infinity ({wrong[0]})"
        raise RssegError(type(model).__name__, seen, "finite weights", "not exported; take an earlier checkpoint")
    training = model.training
    try:
        save_static(model, directory, spec.in_channels, size)
        device = paddle.get_device()
        exported = PaddleInferenceBackend(directory, device=device)
        cases = odd_cases(spec.pad_to, size)
        comparison = compare(DynamicBackend(model), exported, spec.in_channels, cases)
    finally:
        if training:
            model.train()
    return comparison.or_refuse(type(model).__name__, f"Paddle {paddle.__version__}")


def _describe(
    directory: Path,
    spec: InferenceSpec,
    size: tuple[int, int] | None,
    compared: dict[str, Comparison],
    details: dict[str, Any],
) -> None:
    """Write ``deploy.yaml``, beside the files that it names."""
    import paddle

    from paddle_rsseg.inference.backends import static_files

    graph, parameters = static_files(directory)
    files = {"graph": graph, "parameters": parameters}
    if "onnx" in compared:
        files["onnx"] = directory / onnx.FILE
    equality = {f"equality_{name}": comparison.to_dict() for name, comparison in compared.items()}
    height, width = size or (-1, -1)
    content = {
        "format": FORMAT,
        "model": {role: path.name for role, path in files.items()},
        "input": {"name": "image", "dtype": "float32", "shape": [-1, spec.in_channels, height, width]},
        "output": {"name": "logits", "dtype": "float32", "shape": [-1, spec.num_classes, height, width]},
        "inference": spec.to_dict(),
        "sha256": {path.name: _sha256(path) for path in files.values()},
        "versions": {"paddle_rsseg": __version__, "paddle": paddle.__version__},
        "equality": equality.pop("equality_paddle"),
        **equality,
        **details,
    }
    header = "# Written by paddle_rsseg's export. 'inference' is the complete pre- and post-processing.\n"
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    (directory / DESCRIPTION).write_text(header + text, encoding="utf-8")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _put_in_place(temporary: Path, target: Path) -> None:
    """Give the finished directory its name; an older one is moved away first and only then removed."""
    for path in temporary.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    temporary.chmod(0o755)  # mkdtemp makes it private
    old = None
    if target.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        os.replace(target, old / "export")
    os.replace(temporary, target)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
