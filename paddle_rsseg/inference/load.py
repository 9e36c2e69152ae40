"""From a path to something that predicts: weights, a checkpoint, an exported model, or an ensemble of them."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference import runtimes
from paddle_rsseg.inference.ensemble_file import DEPLOY_FILE, is_ensemble
from paddle_rsseg.inference.spec import InferenceSpec

log = logging.getLogger("paddle_rsseg")

FORMAT = "paddle_rsseg/1"


@dataclass(frozen=True)
class Ready:
    """A network that can be asked.

    Attributes:
        backend: see :mod:`paddle_rsseg.inference.backends`; or an :class:`paddle_rsseg.inference.ensemble.Ensemble`.
        spec: its pre- and post-processing.
        source: where it came from, for reports.
    """

    backend: Any
    spec: InferenceSpec
    source: str


def read_deploy(export_dir: str | Path) -> InferenceSpec:
    """The description in ``deploy.yaml`` of an export directory (or of the file itself).

    Raises:
        RssegError: no such file, or not one that this project wrote.
    """
    return InferenceSpec.from_dict(_deploy(export_dir)["inference"], f"{export_dir}: inference")


def _deploy(path: str | Path) -> dict[str, Any]:
    """All that a ``deploy.yaml`` says."""
    path = Path(path)
    path = path / DEPLOY_FILE if path.is_dir() else path
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        seen = f"cannot be read ({' '.join(str(error).split())[:120]})"
        raise RssegError(path, seen, "the deploy.yaml of an exported model", "write it with tools/export.py") from error
    if (
        not isinstance(content, dict)
        or content.get("format") != FORMAT
        or not isinstance(content.get("inference"), dict)
    ):
        raise RssegError(
            path, "not written by this project's export", f"format: {FORMAT}", "export the model with tools/export.py"
        )
    return content


def open_model(
    model: Any,
    spec: InferenceSpec | None = None,
    settings: Any = None,
    backend: str = "auto",
    device: str | None = None,
    frugal: bool = False,
    threads: int | None = None,
    **changes: Any,
) -> Ready:
    """Whatever the caller has, ready to predict.

    Args:
        model: an export directory, its ``deploy.yaml`` or its ``.onnx``; a ``.safetensors``, checkpoint directory,
            ``.pdparams`` or ``.pth``; the YAML of an ensemble; a ``paddle.nn.Layer``; or a back end (any callable).
        spec: pre- and post-processing; None: from the export, else from ``settings``, else from the weights file.
        settings: a configuration; tells which network ``.pdparams`` and ``.pth`` belong to.
        backend: one of :data:`paddle_rsseg.inference.runtimes.BACKENDS`; ``auto`` for an export is OpenVINO on a CPU
            where that is installed and the export was checked with it, else Paddle Inference; for other models see
            :func:`paddle_rsseg.inference.backends.make_backend`.
        device: ``cpu``, ``gpu`` or ``gpu:1``; None: the one Paddle is set to, a GPU if there is one.
        frugal: hold little memory between calls, for networks that take turns.
        threads: of a compiled network on a CPU; None: every core this process may use.
        changes: fields of the spec to replace, such as ``window=(512, 512)``; None leaves a field.

    Raises:
        RssegError: unreadable or unfitting files, or nothing says how the model wants its input.
    """
    changes = {key: value for key, value in changes.items() if value is not None}
    if isinstance(model, (str, Path)) and _is_export(Path(model)):
        network, described = _open_export(Path(model), backend, device, frugal=frugal, threads=threads)
        return Ready(network, replace(spec or described, **changes), str(model))
    source = model if isinstance(model, (str, Path)) else type(model).__name__
    if spec is None and settings is not None:
        from paddle_rsseg.config import inference_spec

        spec = inference_spec(settings)
    if isinstance(model, (str, Path)) and is_ensemble(Path(model)):
        from paddle_rsseg.inference.ensemble import open_ensemble

        return open_ensemble(model, spec, backend, device, changes, threads)
    if isinstance(model, (str, Path)):
        model, stored = _build(model, settings, device or _device())
        if spec is not None:
            _warn_of_differences(source, spec, stored)
        spec = spec or stored
    if spec is None:
        raise RssegError(
            source,
            "says nothing about its pre-processing",
            "a description inside the weights",
            "give --config, or in an ensemble 'config:'",
        )
    spec = replace(spec, **changes)
    paddle = sys.modules.get("paddle")  # where nobody has imported it, nobody has a layer of it
    if paddle is not None and isinstance(model, paddle.nn.Layer):
        from paddle_rsseg.inference.backends import make_backend

        model = make_backend(model, spec, backend, threads, frugal)
    return Ready(model, spec, str(source))


def _is_export(path: Path) -> bool:
    return path.name == DEPLOY_FILE or path.suffix == ".onnx" or (path / DEPLOY_FILE).is_file()


def _open_export(path: Path, backend: str, device: str | None, **how: Any) -> tuple[Any, InferenceSpec]:
    """The back end for an export directory, its ``deploy.yaml`` or its ``.onnx``, and its description."""
    runtimes.check(backend)
    if backend == "dynamic":
        seen = "dynamic with an exported model"
        raise RssegError("--backend", seen, f"auto, {', '.join(runtimes.STATIC)}", "a graph has no dynamic form")
    device = device or _device()
    only_onnx = path.suffix == ".onnx"
    directory = path if path.is_dir() else path.parent
    content = _deploy(directory if only_onnx else path)
    described = InferenceSpec.from_dict(content["inference"], f"{path}: inference")
    if backend == "auto":
        checked = "equality_openvino" in content and runtimes.has_openvino() and device.startswith("cpu")
        backend = "openvino" if checked else "onnx" if only_onnx else "paddle"
    if backend in runtimes.ON_ONNX:
        return runtimes.ON_ONNX[backend](path if only_onnx else directory, device=device, **how), described
    if only_onnx:
        wanted = f"auto, {', '.join(runtimes.ON_ONNX)}"
        raise RssegError("--backend", "paddle with an .onnx file", wanted, "give the directory of the export")
    from paddle_rsseg.inference.backends import PaddleInferenceBackend

    return PaddleInferenceBackend(directory, device=device, **how), described


def _device() -> str:
    """The one Paddle is set to; without Paddle an ONNX file runs on the CPU."""
    try:
        import paddle
    except ModuleNotFoundError:
        return "cpu"
    return paddle.get_device()


def _build(path: str | Path, settings: Any, device: str) -> tuple[Any, InferenceSpec | None]:
    """The network of a weights file, loaded, and the description in the file if there is one."""
    import paddle

    from paddle_rsseg.models import create_model, model_spec
    from paddle_rsseg.weights import load_weights, read_weights

    paddle.set_device(device)
    component = model_spec(settings) if settings is not None else read_weights(path)[1].get("model")
    if component is None:
        raise RssegError(
            path,
            "does not say which network it belongs to",
            "weights written by this project",
            "give --config, or in an ensemble 'config:'",
        )
    model = create_model(component)
    stored = load_weights(model, path).metadata.get("inference")
    return model, InferenceSpec.from_dict(stored, f"{path}: inference") if stored else None


def _warn_of_differences(path: Any, chosen: InferenceSpec, stored: InferenceSpec | None) -> None:
    """The configuration wins over what the weights say about their input; say so where that matters."""
    for name in ("bands", "mean", "std", "scale", "resize") if stored else ():
        given, trained = getattr(chosen, name), getattr(stored, name)
        if given != trained:
            log.warning(
                "%s was trained with %s %s; the configuration says %s, and is followed", path, name, trained, given
            )
