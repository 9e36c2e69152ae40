"""What there is to run a network, by the names that ``--backend`` takes. To know them takes none of the libraries."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.onnx import OnnxBackend
from paddle_rsseg.inference.openvino import OpenVinoBackend

#: those that run an ONNX file: ``made(path, threads, device, frugal=…)``
ON_ONNX: dict[str, Callable[..., Any]] = {
    "onnx": OnnxBackend,
    "openvino": OpenVinoBackend,
    "openvino-bf16": partial(OpenVinoBackend, precision="bf16"),
}
#: those that run a static graph
STATIC = ("paddle", *ON_ONNX)
BACKENDS = ("auto", "dynamic", *STATIC)
#: those that round on purpose → the one of the same library that must agree with the model
EXACT = {"openvino-bf16": "openvino"}

HELP = (
    "auto: on a CPU the graph compiled by Paddle Inference, checked against the model, or for an export that was "
    "checked with it, OpenVINO; on a GPU the model itself (deploy/README.md tells them apart)"
)


def check(kind: str) -> None:
    """Refuse a name that is none of :data:`BACKENDS`.

    Raises:
        RssegError: it is unknown.
    """
    if kind not in BACKENDS:
        raise RssegError("--backend", f"unknown back end {kind!r}", ", ".join(BACKENDS))


def has_openvino() -> bool:
    """Whether OpenVINO is installed; looking does not import it."""
    return importlib.util.find_spec("openvino") is not None
