"""The small encoders: MobileNetV2, ShuffleNetV2, EfficientNet, and the aligned Xception of DeepLabV3+."""

from __future__ import annotations

import copy

import numpy as np
import paddle
import pytest
from backbone_contract import BackboneContract, image

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference import onnx
from paddle_rsseg.inference.backends import methods_converted_once
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.backbones.chain import dilated
from paddle_rsseg.models.backbones.efficientnet import conv_padding
from paddle_rsseg.models.backbones.mobilenet_v2 import InvertedResidual


class TestMobileNetV2(BackboneContract):
    spec = {"type": "MobileNetV2"}
    parameters = 3_504_872 - 1_281_000 - 320 * 1280 - 2 * 1280  # torchvision's, less classifier and last convolution
    output_strides = (8, 16, 32)


@pytest.mark.slow
class TestMobileNetV2OfSegHZ(BackboneContract):
    spec = {"type": "MobileNetV2", "output_stride": 16, "dilation": "next_stage", "zeros": "block", "finest_stride": 2}
    strides = (2, 4, 8, 16, 16)


class TestShuffleNetV2(BackboneContract):
    spec = {"type": "ShuffleNetV2"}
    parameters = 2_278_604 - 1_025_000 - 464 * 1024 - 2 * 1024
    output_strides = (8, 16, 32)


class TestEfficientNetB0(BackboneContract):
    spec = {"type": "EfficientNetB0"}
    parameters = 5_288_548 - 1_281_000 - 320 * 1280 - 2 * 1280
    output_strides = (8, 16, 32)


class TestEfficientNetB0ForANominalSize(BackboneContract):
    spec = {"type": "EfficientNetB0", "padding": "nominal", "finest_stride": 2}
    strides = (2, 4, 8, 16, 32)

    def map_size(self, size: int, stride: int) -> int:
        return max(size, 32) // stride  # padded as an even map, an odd one loses its last row


@pytest.mark.slow
class TestXception(BackboneContract):
    spec = {"type": "Xception"}
    parameters = 37_867_312
    strides = (4, 8, 16, 16)
    output_strides = (8, 16)


def chain_of(*stages: str) -> list[list[tuple[int, int]]]:
    """``"2:1 1:2"`` → [(2, 1), (1, 2)], stride and dilation of each block."""
    return [[tuple(map(int, block.split(":"))) for block in stage.split()] for stage in stages]


@pytest.mark.parametrize(
    ("rule", "output_stride", "expected"),
    [
        ("contracted", 32, chain_of("2:1 1:1", "1:1", "2:1 1:1", "1:1")),
        ("contracted", 16, chain_of("2:1 1:1", "1:1", "1:1 1:2", "1:2")),
        ("contracted", 8, chain_of("1:1 1:2", "1:2", "1:2 1:4", "1:4")),
        ("whole_stage", 16, chain_of("2:1 1:1", "1:1", "1:2 1:2", "1:2")),
        ("whole_stage", 8, chain_of("1:2 1:2", "1:2", "1:4 1:4", "1:4")),
        ("next_stage", 16, chain_of("2:1 1:1", "1:1", "1:1 1:1", "1:2")),
        ("next_stage", 8, chain_of("1:1 1:1", "1:2", "1:2 1:2", "1:4")),
        ("every_stage", 16, chain_of("2:1 1:1", "1:2", "1:4 1:4", "1:8")),
        ("every_stage", 8, chain_of("1:2 1:2", "1:4", "1:8 1:8", "1:16")),
        ("every_stage", 32, chain_of("2:1 1:1", "1:1", "2:1 1:1", "1:1")),
        ("first_block", 16, chain_of("2:1 1:1", "1:1", "1:2 1:1", "1:1")),
    ],
)
def test_ways_of_dilating(rule, output_stride, expected):
    """MobileNetV2's last four stages, shortened to two, one, two and one blocks."""
    assert dilated([(2, 2), (1, 1), (2, 2), (1, 1)], 8, output_stride, rule) == expected


@pytest.mark.parametrize(
    ("spec", "maps"),
    [
        ({"type": "MobileNetV2"}, (2, 3)),
        ({"type": "ShuffleNetV2"}, (2, 3)),
        # behind the middle flow; the exit has a convolution that never dilates
        ({"type": "Xception", "output_stride": 16}, (2,)),
    ],
    ids=lambda value: value.get("type") if isinstance(value, dict) else "",
)
def test_dilated_filters_see_what_they_saw(spec, maps):
    """Every second pixel of the denser maps is the coarser one's, for a size that all strides divide."""
    coarse = build_backbone(spec)
    dense = build_backbone({**spec, "output_stride": 8})
    randomise(coarse)
    dense.set_state_dict(coarse.state_dict())
    coarse.eval()
    dense.eval()
    x = image(coarse, (64, 96))
    with paddle.no_grad():
        expected, got = coarse(x), dense(x)
    for i in maps:
        step = coarse.strides[i] // dense.strides[i]
        assert step > 1
        one, other = expected[i].numpy(), got[i].numpy()[..., ::step, ::step]
        np.testing.assert_allclose(other, one, atol=1e-4 * np.abs(one).max())


def randomise(network: paddle.nn.Layer) -> None:
    """Random statistics and affine parameters, so that a border's relu(BatchNorm(0)) is not 0."""
    paddle.seed(5)
    for norm in network.sublayers():
        if isinstance(norm, paddle.nn.BatchNorm2D):
            norm.weight.set_value(paddle.uniform(norm.weight.shape, min=0.8, max=1.5))
            norm.bias.set_value(paddle.uniform(norm.bias.shape, min=-0.3, max=0.3))
            norm._mean.set_value(paddle.uniform(norm._mean.shape, min=-0.3, max=0.3))


def test_zeros_before_the_block_are_pixels_like_others():
    """jfzhang95's padding of a block: as if its input had been larger and black there."""
    outer = InvertedResidual(8, 8, 1, 2, 6, "block")
    randomise(outer)
    usual = InvertedResidual(8, 8, 1, 2, 6, "depthwise")
    usual.set_state_dict(outer.state_dict())
    outer.eval()
    usual.eval()
    x = paddle.randn([2, 8, 9, 11])
    with paddle.no_grad():
        expected = usual(paddle.nn.functional.pad(x, [4] * 4))[:, :, 4:-4, 4:-4].numpy()
        got, other = outer(x).numpy(), usual(x).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert np.abs(other - expected).max() > 1e-2
    np.testing.assert_allclose(other[:, :, 2:-2, 2:-2], expected[:, :, 2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize(("variant", "differing"), [("B0", []), ("B4", [2]), ("B6", [4])])
def test_padding_for_the_nominal_size(variant, differing):
    """At 256 pixels it is TensorFlow's but for one convolution: in B4 the one on 64 pixels, in B6 on 16."""
    with paddle.LazyGuard():
        net = build_backbone({"type": f"EfficientNet{variant}", "padding": "nominal"})
    halving = [net.conv_stem, *(net.blocks[stage][0].conv_dw for stage in (1, 2, 3, 5))]
    assert [conv._stride for conv in halving] == [[2, 2]] * 5
    found = []
    for i, (conv, size) in enumerate(zip(halving, (256, 128, 64, 32, 16), strict=True)):
        same = conv_padding("nominal", conv._kernel_size[0], 2, 1, size)
        if list(conv._padding) != same:
            found.append(i)
            assert list(conv._padding) == [2, 2, 2, 2]
            assert same == [1, 2, 1, 2]
    assert found == differing


def test_drop_connect_grows_with_depth_and_works_in_training_alone():
    net = build_backbone({"type": "EfficientNetB0", "drop_connect": 0.4})
    rates = [block.drop_path.p for stage in net.blocks for block in stage]
    np.testing.assert_allclose(rates, 0.4 * np.arange(16) / 16)
    block = net.blocks[5][1]
    block.drop_path.p = 0.9
    x = paddle.randn([64, 192, 4, 4])
    block.eval()
    with paddle.no_grad():
        branch = (block(x) - x).numpy()
        assert np.abs(branch).min(axis=(1, 2, 3)).max() > 0
        block.train()
        dropped = np.abs((block(x) - x).numpy()).max(axis=(1, 2, 3)) == 0
    assert 40 <= dropped.sum() < 64  # whole images


@pytest.mark.parametrize("padding", ["same", pytest.param("nominal", marks=pytest.mark.slow)])
def test_onnx_of_any_size_equals_the_encoder(padding, tmp_path):
    """Padding that depends on the size of the image, computed inside the graph."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("paddle2onnx")
    encoder = build_backbone({"type": "EfficientNetB0", "padding": padding})
    randomise(encoder)
    encoder.eval()
    spec = paddle.static.InputSpec([None, 3, None, None], "float32")
    with methods_converted_once():
        static = paddle.jit.to_static(copy.deepcopy(encoder), full_graph=True, input_spec=[spec])
        paddle.jit.save(static, str(tmp_path / "m"))
    path = onnx.convert(tmp_path / "m.json", tmp_path / "m.pdiparams", tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(path))
    for size in [(64, 96), (97, 61), (5, 7)]:
        x = image(encoder, size)
        with paddle.no_grad():
            expected = encoder(x)
        for one, other in zip(session.run(None, {session.get_inputs()[0].name: x.numpy()}), expected, strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({"type": "MobileNetV2", "output_stride": 4}, "model.output_stride"),
        ({"type": "MobileNetV2", "dilation": "contract"}, "model.dilation"),
        ({"type": "MobileNetV2", "zeros": "none"}, "model.zeros"),
        ({"type": "MobileNetV2", "finest_stride": 1}, "model.finest_stride"),
        ({"type": "ShuffleNetV2", "width": 1.2}, "model.width"),
        ({"type": "ShuffleNetV2", "finest_stride": 8}, "model.finest_stride"),
        ({"type": "EfficientNetB0", "padding": "valid"}, "model.padding"),
        ({"type": "EfficientNetB0", "finest_stride": 8}, "model.finest_stride"),
        ({"type": "Xception", "output_stride": 32}, "model.output_stride"),
        ({"type": "Xception", "finest_stride": 8}, "model.finest_stride"),
    ],
)
def test_wrong_arguments_are_refused(spec, place):
    with pytest.raises(RssegError, match=place):
        build_backbone(spec)
