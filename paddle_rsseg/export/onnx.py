"""A network as an ONNX file that computes what the network computes, or no file."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from paddle_rsseg.errors import RssegError
from paddle_rsseg.export.gate import Case, Comparison, compare, odd_cases
from paddle_rsseg.inference import onnx, runtimes
from paddle_rsseg.inference.openvino import OpenVinoBackend

log = logging.getLogger("paddle_rsseg")


def save_onnx(
    model: Any, path: str | os.PathLike, in_channels: int | None = None, size: tuple[int, int] | None = None
) -> Comparison:
    """Write a network as one ONNX file with free N, H and W: normalised image N×C×H×W → logits N×K×H×W.

    ``export(…, format="onnx")`` writes it with the static graph and with what must happen before and after it.

    Args:
        model: a ``paddle.nn.Layer`` that returns a list of logits; it keeps its mode.
        in_channels: C; None: ``model.in_channels``.
        size: (height, width) to fix.

    Returns:
        How closely ONNX Runtime agrees with the model, over one pixel, odd sizes and several images.

    Raises:
        RssegError: the network cannot be converted, or the file computes something else; then ``path`` is as before.
    """
    from paddle_rsseg.inference.backends import save_static

    target, channels = Path(path), in_channels or model.in_channels
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise RssegError(target, f"cannot be made ({error.strerror})", "a place that may be written to") from error
    with temporary as directory:
        save_static(model, directory, channels, size)
        comparisons = add_onnx(model, directory, channels, odd_cases(getattr(model, "min_multiple", 32), size))
        os.replace(Path(directory) / onnx.FILE, target)
    return comparisons["onnx"]


def add_onnx(model: Any, directory: str | Path, in_channels: int, cases: Iterable[Case]) -> dict[str, Comparison]:
    """Convert the static graph of ``model`` in ``directory`` to ``model.onnx`` beside it, and compare the two.

    Returns:
        Back end → how closely it agrees with the model: ``"onnx"``, and ``"openvino"`` where that is installed and
        agrees. If it does not, that is told, and no reason to refuse a file which ONNX Runtime computes rightly.

    Raises:
        RssegError: see :func:`save_onnx`.
    """
    from paddle_rsseg.inference.backends import DynamicBackend, static_files

    target = Path(directory) / onnx.FILE
    onnx.convert(*static_files(directory), target)
    training, name, cases = model.training, type(model).__name__, list(cases)
    try:
        reference = DynamicBackend(model)
        comparison = compare(reference, onnx.OnnxBackend(target), in_channels, cases)
        found = {"onnx": comparison.or_refuse(name, "paddle2onnx")}
        if runtimes.has_openvino():
            try:
                other = compare(reference, OpenVinoBackend(target), in_channels, cases)
                found["openvino"] = other.or_refuse(name, "OpenVINO")
            except RssegError as error:
                log.warning("%s; --backend auto will not take OpenVINO for this export", error)
    finally:
        if training:
            model.train()
    return found
