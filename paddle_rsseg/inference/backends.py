"""What turns a batch of windows into logits: the dynamic graph, or a static one in one of several libraries.

A back end is any callable ``backend(batch) -> logits``: N×C×H×W float32 in, N×K×H×W float32 out, both C-contiguous
NumPy arrays. The caller owns the result and may overwrite it.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference import onnx, runtimes
from paddle_rsseg.runtime import process_cores

if TYPE_CHECKING:
    from paddle_rsseg.inference.spec import InferenceSpec

Backend = Callable[[np.ndarray], np.ndarray]

#: largest accepted difference between two back ends, relative to the largest absolute logit. Fused convolutions
#: round differently (about 5e-6 was measured for a ResNet-50 pyramid); a wrong interpolation differs by 1e-1 and more
TOLERANCE = 1e-3


#: side in pixels of an image that costs next to nothing
SMALL = 64


class DynamicBackend:
    """The model as it is, without a graph: no start-up cost, slowest on CPU.

    Args:
        model: returns a list of logits, the main one first. It is put into evaluation mode.
    """

    name = "dynamic"

    def __init__(self, model: paddle.nn.Layer):
        self.model = model
        self.default_batch = 1 if paddle.get_device().startswith("cpu") else 4
        model.eval()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            return self.model(paddle.to_tensor(batch))[0].astype("float32").numpy()


class PaddleInferenceBackend:
    """An exported graph run by Paddle Inference, the fast road on CPU.

    Args:
        export_dir: directory with ``model.json`` (or ``model.pdmodel``) and ``model.pdiparams``.
        threads: CPU threads; None takes every core this process may use.
        device: ``"cpu"``, ``"gpu"`` or ``"gpu:1"``.
        onednn: its fused convolutions on the CPU, about 4.5 times faster than without.
        frugal: give up oneDNN's buffers after each batch, for graphs that take turns. It keeps them for every shape
            that it has seen, as large as feature maps are, and neither clear_intermediate_tensor() nor
            try_shrink_memory() reaches them; but where it may keep those of one shape only, a small image takes the
            place of a large batch. (A graph of fixed size, which no small image fits, keeps its own.)

    Raises:
        RssegError: no such files, or a graph that this version of Paddle cannot read.
    """

    name = "paddle"

    def __init__(
        self,
        export_dir: str | Path,
        threads: int | None = None,
        device: str = "cpu",
        onednn: bool = True,
        frugal: bool = False,
    ):
        from paddle import inference

        graph, parameters = static_files(export_dir)
        config = inference.Config(str(graph), str(parameters))
        config.disable_glog_info()
        if device.startswith("gpu"):
            config.enable_use_gpu(256, int(device.partition(":")[2] or 0))  # 256 MB to begin with; it grows
        else:
            config.disable_gpu()
            config.set_cpu_math_library_num_threads(threads or process_cores())
            if not onednn:
                config.disable_mkldnn()
            elif graph.suffix == ".json":
                # With this pass every interpolation fails on 3.3 and is silently wrong on 3.2; without it the
                # fused oneDNN convolutions, which make the speed, stay. enable_memory_optim() fails outright.
                config.delete_pass("onednn_placement_pass")
            else:
                config.enable_mkldnn()
        self._forgets = frugal and onednn and not device.startswith("gpu")
        if self._forgets:
            config.set_mkldnn_cache_capacity(1)
        self.predictor = inference.create_predictor(config)
        self.default_batch = 4 if device.startswith("gpu") else 1
        self._input = self.predictor.get_input_handle(self.predictor.get_input_names()[0])
        self._output = self.predictor.get_output_handle(self.predictor.get_output_names()[0])

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        logits = self._run(batch)
        if self._forgets and batch.size > 4 * SMALL * SMALL * batch.shape[1]:
            try:
                self._run(np.zeros((1, batch.shape[1], SMALL, SMALL), np.float32))
            except Exception:  # Paddle has no class of its own for a shape that does not fit
                self._forgets = False
        return logits

    def _run(self, batch: np.ndarray) -> np.ndarray:
        batch = np.ascontiguousarray(batch, np.float32)
        self._input.reshape(batch.shape)
        self._input.copy_from_cpu(batch)
        self.predictor.run()
        return self._output.copy_to_cpu()


def static_files(export_dir: str | Path) -> tuple[Path, Path]:
    """(graph, parameters) of an export directory.

    Raises:
        RssegError: a file is missing, or this Paddle would crash on the graph (2.x dies on a ``.json`` one).
    """
    directory = Path(export_dir)
    graph = next((p for p in (directory / "model.json", directory / "model.pdmodel") if p.is_file()), None)
    parameters = directory / "model.pdiparams"
    if graph is None or not parameters.is_file():
        raise RssegError(
            directory, "no exported model", "model.json and model.pdiparams", "write it with tools/export.py"
        )
    if graph.suffix == ".json" and paddle.__version__.startswith("2."):
        raise RssegError(
            graph,
            f"Paddle {paddle.__version__} cannot read a .json graph",
            "Paddle 3.x",
            "export again with this Paddle",
        )
    return graph, parameters


class _MainLogits(paddle.nn.Layer):
    """The graph that is exported: normalised image in, main logits out."""

    def __init__(self, model: paddle.nn.Layer):
        super().__init__()
        self.model = model

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        return self.model(image)[0]


@contextmanager
def methods_converted_once() -> Iterator[None]:
    """Inside, Paddle traces a network two to four times faster; the graph is the same.

    It rewrites the source of every method before it traces it, and keeps the result under the bound method, an object
    that is gone at once: so it does that again for each layer of a class. Here the result is kept under the function.
    """
    from paddle.jit.dy2static import program_translator

    cache = getattr(program_translator, "_FUNCTION_CACHE", None)
    if cache is None:  # a Paddle with other insides traces at its own pace
        yield
        return
    convert = type(cache).convert_with_cache
    cache.convert_with_cache = lambda method: convert(cache, getattr(method, "__func__", method))
    try:
        yield
    finally:
        vars(cache).pop("convert_with_cache", None)


def _forget_unfinished_traces() -> None:
    """Remove what a trace that failed has left in Paddle 3's lists.

    They are kept under the address of its program. The next program at that address would find parameters of a network
    that is gone: a KeyError about one of its names, or a crash of the process.
    """
    try:
        from paddle.jit.dy2static import parameter_recorder
    except ImportError:  # Paddle 2.6
        return
    recorders = (getattr(parameter_recorder, f"_global_{name}", None) for name in ("parameter_recorder", "inplace_map"))
    for recorder in recorders:
        for unfinished in vars(recorder).values() if recorder is not None else ():
            unfinished.clear()


def save_static(
    model: paddle.nn.Layer, directory: str | Path, in_channels: int, size: tuple[int, int] | None = None
) -> tuple[Path, Path]:
    """Trace ``model`` with free batch, height and width and write ``model.json``/``.pdmodel`` + ``model.pdiparams``.

    ``size`` fixes (height, width) instead.

    The graph takes the normalised image N×C×H×W float32 and returns the main *logits*. The model keeps its mode
    (train or eval), its weights and its own ``forward``.

    Returns:
        (graph, parameters), the files written.
    """
    training = model.training
    wrapper = _MainLogits(model)
    wrapper.eval()
    image = paddle.static.InputSpec([None, in_channels, *(size or (None, None))], "float32", "image")
    try:
        # full_graph: the default of 3.x compiles bytecode instead and ignores the input's description
        with methods_converted_once():
            traced = paddle.jit.to_static(wrapper, input_spec=[image], full_graph=True)
            paddle.jit.save(traced, str(Path(directory) / "model"))
    except Exception:
        _forget_unfinished_traces()
        raise
    finally:
        if training:
            model.train()
    return static_files(directory)


def difference(
    reference: Backend, other: Backend, in_channels: int, sizes: list[tuple[int, int]], seed: int = 0
) -> float:
    """Largest difference of two back ends on random images, relative to the largest absolute logit.

    Args:
        sizes: (height, width) of the images; one batch of two is made of each.

    Returns:
        0 or more; infinity if shapes differ or a value is not finite in one of them only.
    """
    rng = np.random.default_rng(seed)
    worst = 0.0
    for height, width in sizes:
        batch = rng.standard_normal((2, in_channels, height, width), np.float32)
        expected, seen = reference(batch), other(batch)
        if expected.shape != seen.shape:
            return float("inf")
        gap = np.abs(expected - seen).max() / max(float(np.abs(expected).max()), 1e-12)
        worst = max(worst, float(gap) if np.isfinite(gap) else float("inf"))
    return worst


def compile_backend(
    model: paddle.nn.Layer,
    spec: InferenceSpec,
    threads: int | None = None,
    kind: str = "paddle",
    frugal: bool = False,
) -> Any:
    """The model as a static graph on Paddle's present device, checked against the dynamic graph at two sizes.

    The graph lies in a temporary directory that is removed when the result is garbage-collected.

    Args:
        kind: what runs it, one of :data:`paddle_rsseg.inference.runtimes.STATIC`.
        frugal: see the back ends.

    Raises:
        RssegError: the graph cannot be traced or loaded, or its logits differ by more than :data:`TOLERANCE`.
    """
    directory = tempfile.mkdtemp(prefix="rsseg-compiled-")
    where, training, step = type(model).__name__, model.training, spec.pad_to
    try:
        graph, parameters = save_static(model, directory, spec.in_channels)
        if kind != "paddle":
            onnx.convert(graph, parameters, graph.with_name(onnx.FILE))
        run = PaddleInferenceBackend if kind == "paddle" else runtimes.ON_ONNX[kind]
        compiled = run(directory, threads, paddle.get_device(), frugal=frugal)
        exact = compiled if kind not in runtimes.EXACT else runtimes.ON_ONNX[runtimes.EXACT[kind]](directory, threads)
        sizes = [(2 * step, 3 * step), (5 * step, 3 * step)]
        gap = difference(DynamicBackend(model), exact, spec.in_channels, sizes)
        if not gap <= TOLERANCE:
            seen = f"compiled logits differ from the model's by {gap:.1e} (relative)"
            raise RssegError(where, seen, f"at most {TOLERANCE:g}", "use --backend dynamic")
    except Exception as error:
        shutil.rmtree(directory, ignore_errors=True)
        if isinstance(error, RssegError):
            raise
        # Paddle raises whatever it likes from the tracer; what matters to the user is the way out
        raise RssegError(where, f"cannot be compiled ({_last_line(error)})", fix="use --backend dynamic") from error
    finally:
        if training:
            model.train()
    weakref.finalize(compiled, shutil.rmtree, directory, True)
    return compiled


def _last_line(error: Exception) -> str:
    """The telling line of a Paddle error: the last one that is not empty, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1][:160]}" if lines else type(error).__name__


def make_backend(
    model: paddle.nn.Layer, spec: InferenceSpec, kind: str = "auto", threads: int | None = None, frugal: bool = False
) -> Any:
    """A back end for a model.

    Args:
        kind: one of :data:`paddle_rsseg.inference.runtimes.BACKENDS`. A compiled one is an error if that fails;
            ``"auto"``: compiled by Paddle on CPU, and where that fails the dynamic graph after saying so on stderr;
            dynamic on GPU.
        frugal: hold little memory between calls; see the back ends.

    Raises:
        RssegError: an unknown name, or see :func:`compile_backend`.
    """
    runtimes.check(kind)
    if kind == "dynamic" or (kind == "auto" and not paddle.get_device().startswith("cpu")):
        return DynamicBackend(model)
    try:
        return compile_backend(model, spec, threads, "paddle" if kind == "auto" else kind, frugal)
    except RssegError as error:
        if kind != "auto":
            raise
        print(f"warning: {error}; going on with the slower dynamic graph", file=sys.stderr)
        return DynamicBackend(model)
