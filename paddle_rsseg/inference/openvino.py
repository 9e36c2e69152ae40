"""A network as an ONNX file run by OpenVINO: on a CPU the fastest of the back ends. To run one takes no Paddle."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.onnx import needed, onnx_file
from paddle_rsseg.runtime import process_cores

INSTALL = "pip install 'paddle-rsseg[openvino]'"


@lru_cache(maxsize=1)
def _core() -> Any:
    """OpenVINO itself, one for the whole process.

    The first network of a Core gives the thread that compiles it a stack for signals, and the Core takes that with it
    when it ends. Of two Cores that end in the order in which they began, the second puts the first one's stack back,
    memory that is gone, and the next signal that Python listens to is a segmentation fault (where Paddle's loader has
    run, the end of any child is one). So there is only one, and it stays.

    Raises:
        RssegError: no OpenVINO.
    """
    # importing OpenVINO tells Google Analytics so, unless the package that does it is missing
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return needed("openvino", INSTALL).Core()


class OpenVinoBackend:
    """An ONNX file run by OpenVINO on the CPU.

    Args:
        path: the file, or the directory of an export that holds ``model.onnx``.
        threads: CPU threads; None takes every core this process may use.
        device: ``"cpu"``; what OpenVINO calls a GPU is not what Paddle does.
        frugal: keep no memory for feature maps between runs, for networks that take turns.
        precision: of products and feature maps. ``"bf16"`` has 8 significant bits in place of 24, and is several
            times faster where the processor multiplies matrices of it (Intel's AMX); logits become float32 again.

    Raises:
        RssegError: no such file, not one that OpenVINO can run, no OpenVINO, another device, or a precision that this
            processor does not have.
    """

    libraries = {"OpenVINO": ("openvino",)}

    def __init__(
        self,
        path: str | os.PathLike,
        threads: int | None = None,
        device: str = "cpu",
        frugal: bool = False,
        precision: Literal["f32", "bf16"] = "f32",
    ):
        self.name = "openvino" if precision == "f32" else f"openvino-{precision}"
        if not device.startswith("cpu"):
            raise RssegError("--backend", f"{self.name} on {device}", "--device cpu", "or another back end")
        file = onnx_file(path)
        core = _core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise RssegError("--backend", f"{self.name}, and a processor without bfloat16", "openvino")
        settings = {
            "INFERENCE_PRECISION_HINT": precision,  # its own choice would be bf16, wherever there is that
            "INFERENCE_NUM_THREADS": threads or process_cores(),
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # each of several processes would pin its threads to the same cores
        }
        try:
            self._compiled = core.compile_model(str(file), "CPU", settings)
        except RuntimeError as error:
            raise RssegError(file, f"OpenVINO cannot run it ({' '.join(str(error).split())[:160]})") from error
        self._request = self._compiled.create_infer_request()
        self._frugal = frugal
        self._computed = False
        self.default_batch = 1

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        batch = np.ascontiguousarray(batch, np.float32)
        # on one thread, OpenVINO 2026.4 leaves an earlier result where an operator cannot take the size
        if self._computed:
            self._request.get_output_tensor().data.fill(np.nan)
        try:
            logits = self._request.infer([batch])[0]  # copies both ways: it would hold our memory beyond the call
        except RuntimeError as error:
            raise self._failure(batch, " ".join(str(error).split())[-160:]) from error
        if len(logits) != len(batch) or logits.shape[2:] != batch.shape[2:] or np.isnan(logits[:, 0]).all():
            raise self._failure(batch, "no number came out")
        self._computed = not self._frugal
        if self._frugal:
            self._compiled.release_memory()
        return logits

    def _failure(self, batch: np.ndarray, why: str) -> RssegError:
        number, _, height, width = batch.shape
        seen = f"{self.name}, which fails on {number} × {height} × {width} pixels ({why})"
        return RssegError("--backend", seen, "another back end, or larger windows")
