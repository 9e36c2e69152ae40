"""Back ends give the same logits; a graph that computes something else is not accepted."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference import backends, runtimes
from paddle_rsseg.inference.backends import (
    DynamicBackend,
    PaddleInferenceBackend,
    compile_backend,
    make_backend,
    save_static,
)
from paddle_rsseg.inference.engine import WindowPredictor
from paddle_rsseg.inference.spec import InferenceSpec

SPEC = InferenceSpec(num_classes=4, window=(64, 96), stride=(40, 60))


class Tiny(nn.Layer):
    """Convolution, batch norm, a global gate and an interpolation: what graphs go wrong with."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2D(3, 8, 3, stride=2, padding=1), nn.BatchNorm2D(8), nn.ReLU())
        self.head = nn.Conv2D(8, 4, 1)

    def forward(self, x):
        features = self.body(x)
        gated = features * F.sigmoid(F.adaptive_avg_pool2d(features, 1))
        return [F.interpolate(self.head(gated), size=x.shape[2:], mode="bilinear", align_corners=True)]


class Stubborn(Tiny):
    """Computes something else when it is traced."""

    def forward(self, x):
        logits = super().forward(x)[0]
        return [logits if paddle.in_dynamic_mode() else logits + 1]


class Untraceable(Tiny):
    def forward(self, x):
        if not paddle.in_dynamic_mode():
            raise NotImplementedError("a kernel that\nhas no static form")
        return super().forward(x)


def model(kind=Tiny):
    paddle.seed(0)
    made = kind()
    made.body[1]._variance.set_value(paddle.rand([8]) + 0.5)
    return made


needs_openvino = pytest.mark.skipif(not runtimes.has_openvino(), reason="needs the extra openvino")


@pytest.mark.parametrize("kind", ["paddle", "onnx", pytest.param("openvino", marks=needs_openvino)])
def test_compiled_equals_dynamic_on_any_size_and_leaves_the_model_alone(kind):
    network = model()
    network.train()
    compiled = compile_backend(network, SPEC, kind=kind)
    assert compiled.name == kind
    assert network.training
    assert network.body[1].training
    for shape in [(1, 3, 64, 96), (3, 3, 65, 97), (2, 3, 1, 1), (1, 3, 200, 33)]:
        batch = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        seen = compiled(batch)
        np.testing.assert_allclose(seen, DynamicBackend(network)(batch), atol=5e-5)
        seen += 1  # the caller owns it
        np.testing.assert_allclose(compiled(batch), seen - 1, atol=1e-5)


def test_maps_of_all_back_ends_agree():
    image = np.random.default_rng(1).integers(0, 256, (150, 201, 3), np.uint8)
    network = model()
    maps = [
        WindowPredictor(make_backend(network, SPEC, kind), SPEC).predict(image)
        for kind in ("dynamic", "paddle", "onnx", *(["openvino"] if runtimes.has_openvino() else []))
    ]
    assert max((one != maps[0]).mean() for one in maps) < 1e-4
    assert len(np.unique(maps[0])) > 1


def test_the_compiled_graph_does_not_stay_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(backends.tempfile, "tempdir", str(tmp_path))
    compiled = compile_backend(model(), SPEC)
    assert list(tmp_path.iterdir())
    del compiled
    gc.collect()
    assert not list(tmp_path.iterdir())
    with pytest.raises(RssegError):
        compile_backend(model(Stubborn), SPEC)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "message"), [(Stubborn, "compiled logits differ"), (Untraceable, "cannot be compiled")]
)
def test_what_cannot_be_compiled_is_an_error_or_said_aloud(kind, message, capsys):
    network = model(kind)
    with pytest.raises(RssegError, match=message):
        make_backend(network, SPEC, "paddle")
    assert isinstance(make_backend(network, SPEC, "auto"), DynamicBackend)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]
    assert len(said) == 1
    assert message in said[0]


def test_an_export_directory_is_checked(tmp_path):
    with pytest.raises(RssegError, match="no exported model"):
        PaddleInferenceBackend(tmp_path)
    graph, parameters = save_static(model(), tmp_path, 3)
    assert {p.name for p in (graph, parameters)} <= {p.name for p in Path(tmp_path).iterdir()}
    with pytest.raises(RssegError, match="unknown back end"):
        make_backend(model(), SPEC, "tensorrt")


def test_a_method_of_many_layers_is_converted_once(tmp_path, monkeypatch):
    from paddle.jit.dy2static import program_translator

    cache = type(program_translator._FUNCTION_CACHE)
    converted, convert = [], cache._convert
    monkeypatch.setattr(cache, "_convert", lambda self, method: converted.append(method) or convert(self, method))

    class Gate(nn.Layer):
        def forward(self, x):
            return x * F.sigmoid(x) if x.shape[1] > 1 else x

    deep = model()
    deep.body = nn.Sequential(*deep.body, *[Gate() for _ in range(5)])
    save_static(deep, tmp_path, 3)
    assert [method.__qualname__ for method in converted].count(Gate.forward.__qualname__) == 1
    deep.eval()
    x = paddle.randn([1, 3, 12, 9])
    np.testing.assert_allclose(paddle.jit.load(str(tmp_path / "model"))(x).numpy(), deep(x)[0].numpy(), atol=1e-6)
    assert "convert_with_cache" not in vars(program_translator._FUNCTION_CACHE)


def test_a_trace_that_failed_leaves_nothing_to_the_next(tmp_path):
    from paddle.jit.dy2static.parameter_recorder import _global_inplace_map, _global_parameter_recorder

    with pytest.raises(NotImplementedError):
        save_static(model(Untraceable), tmp_path, 3)
    left = [*vars(_global_parameter_recorder).values(), *vars(_global_inplace_map).values()]
    assert left == [{}, {}, {}]
    save_static(model(), tmp_path, 3)
