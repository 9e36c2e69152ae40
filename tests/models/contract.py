"""What every network of the project keeps to; a new one inherits these tests in three lines.

class TestMyNet(ModelContract):
    spec = {"type": "MyNet"}
    parameters = 1_234_567  # for 16 classes, from the paper or counted by hand
"""

from __future__ import annotations

import copy
import os
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from converter import converter

from paddle_rsseg.inference import onnx, runtimes
from paddle_rsseg.inference.backends import save_static, static_files
from paddle_rsseg.inference.openvino import OpenVinoBackend
from paddle_rsseg.models import create_model
from paddle_rsseg.models.cost import count, learnable

CLASSES = 5
#: sizes that any network must take, down to one pixel
SIZES = [(64, 96), (97, 61), (33, 32), (1, 1)]
#: sizes at which its static graphs are compared with it
GRAPH_SIZES = [(64, 64), (97, 61), (5, 7)]
#: sizes that OpenVINO must take: it refuses a pooling window that is larger than its map, CE-Net's being 6 × 6
LARGER_SIZES = [(224, 256), (193, 225)]

#: an encoder that is quickly built, traced and trained; the encoders themselves have a contract of their own
TINY = {"type": "ShuffleNetV2", "width": 0.5}
#: torchvision's shufflenet_v2_x0_5 without its last layers; maps of 24, 48, 96 and 192 channels
TINY_PARAMETERS = 1_366_792 - 1_025_000 - 192 * 1024 - 2 * 1024

# building and tracing are what costs time, so the last of both is shared by the tests of its class
_models: dict[str, paddle.nn.Layer] = {}
_graphs: dict[str, Path] = {}


class ModelContract:
    spec: dict
    parameters: int | None = None
    #: outputs in train mode
    train_outputs = 1
    #: of ONNX Runtime's logits, relative to the largest: it fuses and reorders sums, about 5e-6 is usual
    onnx_tolerance = 1e-4
    #: channels of the auxiliary outputs that are not logits of the classes, by their place
    aux_channels: dict[int, int] = {}
    #: shapes, behind the batch's axis, of the auxiliary outputs that are no maps at the image's size, by their place
    aux_shapes: dict[int, list[int]] = {}

    def build(self, **overrides) -> paddle.nn.Layer:
        paddle.seed(0)
        return create_model({**self.spec, "num_classes": CLASSES, **overrides})

    @pytest.fixture
    def model(self) -> paddle.nn.Layer:
        """In eval mode, with running statistics that differ from their initial values; tests leave it as it is."""
        key = repr(self.spec)
        if key not in _models:
            _models.clear()
            _models[key] = model = self.build()
            model.train()
            with paddle.no_grad():
                for _ in range(3):
                    model(image(model, (64, 64)))
            model.eval()
        return _models[key]

    @pytest.fixture
    def trainable(self, model) -> paddle.nn.Layer:
        """A copy in train mode, for tests that change it."""
        other = copy.deepcopy(model)
        other.train()
        return other

    @pytest.fixture
    def graph(self, model, tmp_path_factory) -> Path:
        """Directory of the exported static graph."""
        key = repr(self.spec)
        if key not in _graphs:
            _graphs.clear()
            directory = tmp_path_factory.mktemp("graph")
            save_static(model, directory, model.in_channels)
            _graphs[key] = directory
        return _graphs[key]

    def test_attributes(self, model):
        assert (model.num_classes, model.in_channels) == (CLASSES, 3)
        assert model.min_multiple >= 1

    @pytest.mark.parametrize("size", SIZES)
    def test_any_size_gives_logits_at_input_size(self, model, size):
        with paddle.no_grad():
            outputs = model(image(model, size))
        assert isinstance(outputs, list)
        assert [output.shape for output in outputs] == [[2, CLASSES, *size]]
        assert np.isfinite(outputs[0].numpy()).all()

    @pytest.mark.parametrize("bands", [1, 8])
    def test_any_number_of_bands(self, bands):
        model = self.build(in_channels=bands)
        model.eval()
        assert model.in_channels == bands
        assert model(image(model, (33, 40)))[0].shape == [2, CLASSES, 33, 40]

    def test_images_of_a_batch_do_not_mix_in_eval_mode(self, model):
        x = image(model, (64, 64))
        with paddle.no_grad():
            both, alone = model(x)[0].numpy(), model(x[1:])[0].numpy()
        np.testing.assert_allclose(both[1:], alone, atol=1e-5 * np.abs(alone).max())

    def test_training_reaches_every_parameter(self, trainable):
        model = trainable
        outputs = model(image(model, (64, 64)))
        assert len(outputs) == self.train_outputs
        maps = {i: [self.aux_channels.get(i, CLASSES), 64, 64] for i in range(self.train_outputs)}
        assert [output.shape[1:] for output in outputs] == list({**maps, **self.aux_shapes}.values())
        assert all(len(output) == 2 for output in outputs)
        paddle.add_n([(output**2).mean() for output in outputs]).backward()
        for name, parameter in learnable(model).items():
            assert parameter.grad is not None, f"{name} has no gradient"
            assert np.isfinite(parameter.grad.numpy()).all(), name

    def test_ten_steps_lower_the_loss(self, trainable):
        model = trainable
        x = image(model, (64, 64))
        label = paddle.to_tensor(np.random.default_rng(8).integers(0, CLASSES, (2, 8, 8)).repeat(8, 1).repeat(8, 2))
        optimizer = paddle.optimizer.Adam(1e-3, parameters=model.parameters())
        losses = []
        for _ in range(11):
            paddle.seed(0)  # the same dropout in each step, so that the losses can be compared
            loss = self.loss(model(x), label)
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()
            losses.append(loss.item())
        assert losses[-1] < 0.97 * losses[0], losses

    def loss(self, outputs, label) -> paddle.Tensor:
        """Cross entropy of every output that holds logits of the classes."""
        logits = [output for i, output in enumerate(outputs) if i not in self.aux_channels]
        return paddle.add_n([F.cross_entropy(x, label, axis=1) for x in logits])

    def test_train_mode_changes_statistics_and_eval_mode_nothing(self, trainable):
        model = trainable
        statistics = [name for name in model.state_dict() if name.endswith("_mean")]
        for train in (False, True):
            before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
            model.train() if train else model.eval()
            with paddle.no_grad():
                model(image(model, (64, 64)))
            changed = [
                name for name, value in model.state_dict().items() if not np.array_equal(value.numpy(), before[name])
            ]
            assert not train or set(statistics) <= set(changed)
            assert train or not changed

    def test_state_restores_the_outputs(self, model):
        state = {name: value.numpy() for name, value in model.state_dict().items()}
        other = self.build()
        missing, unexpected = other.set_state_dict(state)
        assert not missing
        assert not unexpected
        other.eval()
        x = image(model, (40, 33))
        with paddle.no_grad():
            np.testing.assert_array_equal(model(x)[0].numpy(), other(x)[0].numpy())

    def test_static_graph_of_any_size_equals_the_network(self, model, graph):
        loaded = paddle.jit.load(str(graph / "model"))
        self.assert_equal_at_any_size(model, lambda x: loaded(paddle.to_tensor(x)).numpy(), 1e-6)

    def test_onnx_file_of_any_size_equals_the_network(self, model, graph, monkeypatch):
        pytest.importorskip("onnxruntime")
        path = self.onnx_file(graph, monkeypatch)
        self.assert_equal_at_any_size(model, onnx.OnnxBackend(path, threads=1), self.onnx_tolerance)

    @pytest.mark.slow
    def test_onnx_file_in_openvino_equals_the_network(self, model, graph, monkeypatch):
        if not runtimes.has_openvino():
            pytest.skip("needs OpenVINO")
        backend = OpenVinoBackend(self.onnx_file(graph, monkeypatch), threads=1)
        self.assert_equal_at_any_size(model, backend, self.onnx_tolerance, LARGER_SIZES)

    def onnx_file(self, graph, monkeypatch):
        pytest.importorskip("paddle2onnx")
        if hasattr(os, "fork"):
            monkeypatch.setattr(onnx, "_run_conversion", converter())
        return onnx.convert(*static_files(graph), graph / onnx.FILE)

    def assert_equal_at_any_size(self, model, backend, tolerance, sizes=GRAPH_SIZES):
        for size in sizes:
            x = image(model, size)
            with paddle.no_grad():
                expected = model(x)[0].numpy()
            np.testing.assert_allclose(backend(x.numpy()), expected, rtol=0, atol=tolerance * np.abs(expected).max())

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_mixed_precision_path(self, trainable, dtype):
        # Paddle has no half-precision kernels on CPU: this runs the code, on a GPU also the numbers
        with paddle.amp.auto_cast(dtype=dtype, level="O1"):
            output = trainable(image(trainable, (64, 64)))[0]
        (output.astype("float32") ** 2).mean().backward()
        assert np.isfinite(output.astype("float32").numpy()).all()

    def test_same_seed_same_initial_weights(self, model):
        first, second = learnable(model), learnable(self.build())
        assert all(np.array_equal(first[name].numpy(), second[name].numpy()) for name in first)

    def test_parameter_count(self):
        if self.parameters is not None:
            assert count(create_model({**self.spec, "num_classes": 16}), 32, 32)[0] == self.parameters


def image(model: paddle.nn.Layer, size: tuple[int, int]) -> paddle.Tensor:
    rng = np.random.default_rng(7)
    return paddle.to_tensor(rng.standard_normal((2, model.in_channels, *size)).astype("float32"))
