"""A network as an ONNX file: paddle2onnx writes it, ONNX Runtime runs it. To run one takes no Paddle."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from paddle_rsseg.errors import RssegError
from paddle_rsseg.runtime import process_cores

FILE = "model.onnx"
#: of the operators; 17 is the first with LayerNormalization, and every ONNX Runtime since 1.12 reads it
OPSET = 17
#: what fresh memory is filled with: a value that paddle2onnx never wrote is then always wrong, not right by chance
GARBAGE = "170"
INSTALL = "pip install 'paddle-rsseg[onnx]'"


def onnx_file(path: str | os.PathLike) -> Path:
    """The file itself, or :data:`FILE` of a directory.

    Raises:
        RssegError: there is none.
    """
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise RssegError(file, "no such file", "a model in ONNX's form", "write it with rsseg export --format onnx")
    return file


class OnnxBackend:
    """An ONNX file run by ONNX Runtime.

    Args:
        path: the file, or the directory of an export that holds :data:`FILE`.
        threads: CPU threads; None takes every core this process may use.
        device: ``"cpu"``, ``"gpu"`` or ``"gpu:1"``; a GPU needs the package ``onnxruntime-gpu``.
        frugal: keep no memory for feature maps between runs, for networks that take turns.

    Raises:
        RssegError: no such file, not one that ONNX Runtime can run, or no ONNX Runtime (for that device).
    """

    name = "onnx"
    libraries = {"ONNX Runtime": ("onnxruntime-gpu", "onnxruntime")}

    def __init__(self, path: str | os.PathLike, threads: int | None = None, device: str = "cpu", frugal: bool = False):
        path = onnx_file(path)
        runtime = needed("onnxruntime", INSTALL)
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = threads or process_cores()
        options.enable_cpu_mem_arena = not frugal
        try:
            self.session = runtime.InferenceSession(str(path), options, providers=_providers(runtime, device))
        except Exception as error:  # ONNX Runtime has its own classes, without a common one
            raise RssegError(path, f"ONNX Runtime cannot run it ({' '.join(str(error).split())[:160]})") from error
        self.default_batch = 4 if device.startswith("gpu") else 1
        self._input = self.session.get_inputs()[0].name

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self.session.run(None, {self._input: np.ascontiguousarray(batch, np.float32)})[0]


def _providers(runtime: Any, device: str) -> list[Any]:
    if not device.startswith("gpu"):
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        seen = "this ONNX Runtime is built for the CPU"
        raise RssegError("--device", seen, "onnxruntime-gpu", "install it, or use --device cpu")
    return [("CUDAExecutionProvider", {"device_id": int(device.partition(":")[2] or 0)}), "CPUExecutionProvider"]


def convert(graph: Path, parameters: Path, target: Path) -> Path:
    """Write the static graph of Paddle as the ONNX file ``target``; whoever asks compares the two afterwards.

    The input is ``image`` N×C×H×W, the output ``logits`` N×K×H×W; axes free in the graph are free in the file.

    Raises:
        RssegError: paddle2onnx is missing, or has no form for an operator of the network.
    """
    if graph.suffix != ".json":
        raise RssegError(graph, "paddle2onnx reads graphs of Paddle 3", "model.json", "export with PaddlePaddle 3.x")
    onnx = needed("onnx", INSTALL)
    with tempfile.TemporaryDirectory(prefix="rsseg-onnx-") as directory:
        copy = Path(directory) / "model.json"  # Paddle itself refuses what is written here
        copy.write_text(json.dumps(_single_precision(json.loads(graph.read_text(encoding="utf-8")))), encoding="utf-8")
        written = copy.with_suffix(".onnx")
        code, said = _run_conversion(str(copy), str(parameters.resolve()), str(written), str(OPSET))
        if code or not written.is_file():
            raise _refusal(graph, said)
        model = onnx.load_model(str(written))
    _name_ends(model)
    onnx.save(model, str(target))
    return target


#: ONNX Runtime folds constants by itself, and the optimiser that is paddle2onnx's default may start pip
CONVERSION = """
import sys
import paddle2onnx
graph, parameters, target, opset = sys.argv[1:]
data = paddle2onnx.export(graph, parameters, None, int(opset), optimize_tool="none")
open(target, "wb").write(data)
"""


def _run_conversion(*arguments: str) -> tuple[int, str]:
    """Exit code of :data:`CONVERSION`, and what it printed; paddle2onnx aborts the process that meets an operator it
    does not know, so that is another one."""
    command, environment = [sys.executable, "-c", CONVERSION, *arguments], {**os.environ, "MALLOC_PERTURB_": GARBAGE}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    return done.returncode, done.stderr + done.stdout


def _refusal(graph: Path, said: str) -> RssegError:
    """What to tell of a conversion that failed, from all that it printed."""
    if "No module named 'paddle2onnx'" in said:
        return RssegError("environment", "paddle2onnx is not installed", fix=INSTALL)
    lines = [" ".join(line.split()) for line in said.splitlines()]
    telling = [line for line in lines if re.search(r"error|support", line, re.IGNORECASE)] or lines[-1:]
    seen = f"paddle2onnx cannot convert it ({''.join(telling[:1])[:200]})"
    return RssegError(graph, seen, fix="export without --format onnx")


#: attributes that Paddle stores as float64 and that paddle2onnx looks for as float32 only: when it finds none it takes
#: what happens to lie in memory (Paddle2ONNX issue 1646), so that some exports are right, others not, from run to run
SINGLE = {"epsilon", "pad_value"}


def _single_precision(node: Any) -> Any:
    """The graph with the attributes of :data:`SINGLE` marked as float32."""
    if isinstance(node, dict):
        value = node.get("AT")
        if node.get("N") in SINGLE and isinstance(value, dict) and value.get("#") == "0.a_f64":
            return {**node, "AT": {**value, "#": "0.a_f32"}}
        return {key: _single_precision(child) for key, child in node.items()}
    return [_single_precision(child) for child in node] if isinstance(node, list) else node


def _name_ends(model: Any) -> None:
    """Input ``image`` and output ``logits`` with axes N, H and W where they are free, instead of invented names."""
    graph = model.graph
    names = {graph.input[0].name: "image", graph.output[0].name: "logits"}
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    for value in (graph.input[0], graph.output[0]):
        value.name = names[value.name]
        for axis, size in zip("NCHW", value.type.tensor_type.shape.dim, strict=True):
            if size.HasField("dim_param"):
                size.dim_param = axis


def needed(package: str, install: str) -> Any:
    """The package, imported.

    Raises:
        RssegError: it cannot be; ``install`` is the way out.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise RssegError("environment", f"{package} cannot be imported ({error})", fix=install) from error
