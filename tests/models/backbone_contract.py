"""What every encoder of the project keeps to; a new one inherits these tests in three lines.

class TestMyEncoder(BackboneContract):
    spec = {"type": "MyEncoder"}
    parameters = 1_234_567  # for three bands, without a classifier: published, or counted by hand
"""

from __future__ import annotations

import copy

import numpy as np
import paddle
import pytest
from paddle.static import InputSpec

from paddle_rsseg.inference.backends import methods_converted_once
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.cost import learnable

#: sizes that any encoder must take, down to one pixel
SIZES = [(64, 96), (97, 61), (33, 32), (5, 7), (1, 1)]

_encoders: dict[str, paddle.nn.Layer] = {}  # the last one built, shared by the tests of its class


class BackboneContract:
    spec: dict
    parameters: int | None = None
    #: of the maps, from fine to coarse
    strides: tuple[int, ...] = (4, 8, 16, 32)
    #: what the argument ``output_stride`` of an encoder of strides 4 to 32 may be; empty where there is none
    output_strides: tuple[int, ...] = ()

    def build(self, **overrides) -> paddle.nn.Layer:
        paddle.seed(0)
        return build_backbone({**self.spec, **overrides})

    def map_size(self, size: int, stride: int) -> int:
        """Pixels of a map along one axis; an encoder that rounds otherwise overrides this."""
        return -(-size // stride)

    def check_maps(self, encoder, maps, size) -> None:
        assert isinstance(maps, list)
        expected = [
            [2, channels, *(self.map_size(length, stride) for length in size)]
            for channels, stride in zip(encoder.out_channels, encoder.strides, strict=True)
        ]
        assert [feature.shape for feature in maps] == expected
        assert all(np.isfinite(feature.numpy()).all() for feature in maps)

    @pytest.fixture
    def encoder(self) -> paddle.nn.Layer:
        """In eval mode, with running statistics that differ from their initial values; tests leave it as it is."""
        key = type(self).__qualname__
        if key not in _encoders:
            _encoders.clear()
            encoder = self.build()
            encoder.train()
            with paddle.no_grad():
                for _ in range(2):
                    encoder(image(encoder, (64, 64)))
            encoder.eval()
            _encoders[key] = encoder
        return _encoders[key]

    def test_attributes(self, encoder):
        assert encoder.in_channels == 3
        assert tuple(encoder.strides) == self.strides
        assert len(encoder.out_channels) == len(self.strides)

    @pytest.mark.parametrize("size", SIZES)
    def test_any_size_gives_a_map_of_every_stride(self, encoder, size):
        with paddle.no_grad():
            self.check_maps(encoder, encoder(image(encoder, size)), size)

    @pytest.mark.parametrize("bands", [1, 8])
    def test_any_number_of_bands(self, bands):
        encoder = self.build(in_channels=bands)
        encoder.eval()
        assert encoder.in_channels == bands
        with paddle.no_grad():
            self.check_maps(encoder, encoder(image(encoder, (33, 40))), (33, 40))

    def test_every_output_stride(self):
        for output_stride in self.output_strides:
            encoder = self.build(output_stride=output_stride)
            encoder.eval()
            assert list(encoder.strides) == [min(stride, output_stride) for stride in (4, 8, 16, 32)]
            with paddle.no_grad():
                self.check_maps(encoder, encoder(image(encoder, (61, 64))), (61, 64))

    def test_images_of_a_batch_do_not_mix_in_eval_mode(self, encoder):
        x = image(encoder, (64, 64))
        with paddle.no_grad():
            both, alone = encoder(x), encoder(x[1:])
        for many, one in zip(both, alone, strict=True):
            np.testing.assert_allclose(many[1:].numpy(), one.numpy(), atol=1e-5 * float(one.abs().max()))

    def test_gradient_checkpointing_changes_no_number(self):
        maps, gradients, state, recomputed = self.step(with_cp=False)
        assert not recomputed
        for name, gradient in gradients.items():
            assert gradient is not None, f"{name} has no gradient"
            assert np.isfinite(gradient).all(), name
        again_maps, again_gradients, again_state, recomputed = self.step(with_cp=True)
        assert recomputed, "with_cp=True recomputes nothing"
        for plain, again in zip(maps, again_maps, strict=True):
            np.testing.assert_array_equal(plain, again)
        largest = max(np.abs(gradient).max() for gradient in gradients.values())
        for name, plain in gradients.items():  # the order of additions differs where a map is used twice
            tolerance = 1e-4 * np.abs(plain).max() + 1e-6 * largest
            assert np.abs(plain - again_gradients[name]).max() <= tolerance, name
        for name, value in state.items():
            np.testing.assert_array_equal(value, again_state[name], err_msg=name)

    def step(self, **options) -> tuple[list, dict, dict, int]:
        """(maps, gradients, state, layers that ran again in the backward pass) of one training step."""
        encoder = self.build(**options)
        encoder.train()
        runs = 0

        def count(*_) -> None:
            nonlocal runs
            runs += 1

        for layer in encoder.sublayers():
            if not layer.sublayers():
                layer.register_forward_post_hook(count)
        paddle.seed(1)  # for dropout and stochastic depth
        maps = encoder(image(encoder, (64, 64)))
        forward_runs = runs
        paddle.add_n([(feature**2).mean() for feature in maps]).backward()
        gradients = {name: None if p.grad is None else p.grad.numpy() for name, p in learnable(encoder).items()}
        state = {name: value.numpy() for name, value in encoder.state_dict().items()}
        return [feature.numpy() for feature in maps], gradients, state, runs - forward_runs

    def test_train_mode_changes_statistics_and_eval_mode_nothing(self):
        encoder = self.build()
        statistics = {name for name in encoder.state_dict() if name.endswith("_mean")}
        for train in (False, True):
            before = {name: value.numpy().copy() for name, value in encoder.state_dict().items()}
            encoder.train() if train else encoder.eval()
            with paddle.no_grad():
                encoder(image(encoder, (64, 64)))
            changed = {n for n, value in encoder.state_dict().items() if not np.array_equal(value.numpy(), before[n])}
            assert statistics <= changed if train else not changed

    def test_static_graph_of_any_size_equals_the_encoder(self, encoder, tmp_path):
        spec = InputSpec([None, encoder.in_channels, None, None], "float32")
        with methods_converted_once():
            traced = paddle.jit.to_static(copy.deepcopy(encoder), full_graph=True, input_spec=[spec])
            paddle.jit.save(traced, str(tmp_path / "m"))
        graph = paddle.jit.load(str(tmp_path / "m"))
        for size in [(64, 64), (97, 61), (5, 7)]:
            x = image(encoder, size)
            with paddle.no_grad():
                expected, got = encoder(x), graph(x)
            for one, other in zip(expected, got, strict=True):
                np.testing.assert_allclose(other.numpy(), one.numpy(), atol=2e-6 * float(one.abs().max()))

    def test_same_seed_same_initial_weights(self):
        first, second = self.build().state_dict(), self.build().state_dict()
        assert all(np.array_equal(first[name].numpy(), second[name].numpy()) for name in first)

    def test_parameter_count(self, encoder):
        if self.parameters is not None:
            assert sum(int(np.prod(p.shape)) for p in learnable(encoder).values()) == self.parameters


def image(encoder: paddle.nn.Layer, size: tuple[int, int]) -> paddle.Tensor:
    rng = np.random.default_rng(7)
    return paddle.to_tensor(rng.standard_normal((2, encoder.in_channels, *size)).astype("float32"))
