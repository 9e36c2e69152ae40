"""The ResNet encoders; against torchvision's, timm's and others in tests/reference."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from backbone_contract import BackboneContract

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.backbones.residual import plan_stages
from paddle_rsseg.models.cost import learnable


class TestResNet18(BackboneContract):
    spec = {"type": "ResNet18"}
    parameters = 11_689_512 - 513_000
    output_strides = (8, 16, 32)


class TestDilatedResNet50(BackboneContract):
    spec = {"type": "ResNet50", "output_stride": 8}
    parameters = 25_557_032 - 2_049_000
    strides = (4, 8, 8, 8)


class TestDeepStemAndPooledShortcut(BackboneContract):
    spec = {"type": "ResNet18_vd", "stem_channels": 128}


#: with a classifier of 1000 classes, as torchvision publishes them
PUBLISHED = {
    "ResNet18": 11_689_512,
    "ResNet34": 21_797_672,
    "ResNet50": 25_557_032,
    "ResNeXt50_32x4d": 25_028_904,
    "ResNet101": 44_549_160,
    "ResNet152": 60_192_808,
    "WideResNet50_2": 68_883_240,
    "ResNeXt101_32x8d": 88_791_336,
    "WideResNet101_2": 126_886_696,
}


@pytest.mark.parametrize(
    "name", [name if count < 3e7 else pytest.param(name, marks=pytest.mark.slow) for name, count in PUBLISHED.items()]
)
def test_parameter_count_is_torchvisions_without_the_classifier(name):
    net = build_backbone(name)
    classifier = net.out_channels[-1] * 1000 + 1000
    assert sum(int(np.prod(p.shape)) for p in learnable(net).values()) == PUBLISHED[name] - classifier


def dilations(net, stage: int) -> list[tuple[int, ...]]:
    """Of the 3×3 convolutions of each block."""
    convolutions = [[part for part in block.sublayers() if hasattr(part, "_dilation")] for block in net.stages[stage]]
    return [tuple(part._dilation[0] for part in block if part._kernel_size[0] == 3) for block in convolutions]


@pytest.mark.parametrize(
    ("options", "layer3", "layer4"),
    [
        ({"output_stride": 16}, [(1, 1), (1, 1)], [(1, 2), (2, 2)]),
        ({"output_stride": 8}, [(1, 2), (2, 2)], [(2, 4), (4, 4)]),
        ({"output_stride": 8, "contract_dilation": False}, [(2, 2), (2, 2)], [(4, 4), (4, 4)]),
        ({"output_stride": 8, "dilate_second": False}, [(1, 1), (2, 1)], [(2, 1), (4, 1)]),
        # jfzhang95: as many blocks as numbers, which multiply
        ({"output_stride": 16, "multi_grid": (1, 2, 4)}, [(1, 1), (1, 1)], [(2, 2), (4, 4), (8, 8)]),
        ({"output_stride": 8, "multi_grid": (1, 2)}, [(1, 2), (2, 2)], [(4, 4), (8, 8)]),
        ({"output_stride": 16, "multi_grid": (2, 4), "multi_grid_absolute": True}, [(1, 1)] * 2, [(2, 2), (4, 4)]),
    ],
)
def test_ways_of_dilating(options, layer3, layer4):
    net = build_backbone({"type": "ResNet18", **options})
    assert dilations(net, 2) == layer3
    assert dilations(net, 3) == layer4
    stride = options["output_stride"]
    assert [f.shape[2] for f in net(paddle.ones([1, 3, 64, 64]))] == [16, 8, max(4, 64 // stride), 64 // stride]


def test_the_stride_stays_where_nothing_dilates():
    assert [stage.stride for stage in plan_stages((2, 2, 2, 2), 32)] == [1, 2, 2, 2]
    assert {pair for stage in plan_stages((2, 2, 2, 2), 32) for pair in stage.dilations} == {(1, 1)}


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"output_stride": 4}, "output_stride"),
        ({"freeze_at": 6}, "freeze_at"),
        ({"with_cp": [True]}, "with_cp"),
        ({"stem": "shallow"}, "stem"),
    ],
)
def test_arguments_out_of_range_are_named(options, place):
    with pytest.raises(RssegError, match=place):
        build_backbone({"type": "ResNet18", **options})


def gradients_and_state(**options) -> tuple[dict, dict]:
    paddle.seed(3)
    net = build_backbone("ResNet18", **options)
    net.train()
    x = paddle.to_tensor(np.random.default_rng(3).standard_normal((2, 3, 48, 48)).astype("float32"))
    paddle.add_n([(f**2).mean() for f in net(x)]).backward()
    gradients = {name: p.grad.numpy() for name, p in net.named_parameters() if p.grad is not None}
    return gradients, {name: v.numpy() for name, v in net.state_dict().items()}


@pytest.mark.parametrize("freeze_at", [1, 3])
def test_checkpointing_changes_neither_gradients_nor_statistics(freeze_at):
    plain, plain_state = gradients_and_state(freeze_at=freeze_at)
    again, again_state = gradients_and_state(freeze_at=freeze_at, with_cp=True)
    assert plain.keys() == again.keys()
    for name in plain:  # the order of additions differs where a map is used twice
        assert np.abs(plain[name] - again[name]).max() <= 1e-5 * np.abs(plain[name]).max(), name
    for name in plain_state:
        np.testing.assert_array_equal(plain_state[name], again_state[name], err_msg=name)
    mixed, _ = gradients_and_state(freeze_at=freeze_at, with_cp=[False, True, False, True])
    assert mixed.keys() == plain.keys()


def test_checkpointing_recomputes():
    net = build_backbone("ResNet18", with_cp=[False, False, True, False])
    runs = {"layer2": 0, "layer3": 0}
    for name in runs:
        getattr(net, name)[0].conv1.register_forward_post_hook(
            lambda *_, name=name: runs.__setitem__(name, runs[name] + 1)
        )
    net.train()
    net(paddle.ones([1, 3, 32, 32]))[-1].sum().backward()
    assert runs == {"layer2": 1, "layer3": 2}
    assert all(norm._momentum == 0.9 for norm in net.sublayers() if isinstance(norm, paddle.nn.BatchNorm2D))


@pytest.mark.parametrize("freeze_at", range(6))
def test_freezing(freeze_at):
    gradients, _ = gradients_and_state(freeze_at=freeze_at) if freeze_at < 5 else ({}, {})
    net = build_backbone("ResNet18", freeze_at=freeze_at)
    groups = [("conv1.", "bn1."), ("layer1.",), ("layer2.",), ("layer3.",), ("layer4.",)]
    for level, prefixes in enumerate(groups, 1):
        frozen = [
            p.stop_gradient for name, p in net.named_parameters() if name.startswith(prefixes) and "_" not in name
        ]
        assert all(frozen) if level <= freeze_at else not any(frozen)
        if freeze_at < 5:
            assert any(name.startswith(prefixes) for name in gradients) == (level > freeze_at)


def test_untrainable_batchnorm_keeps_parameters_and_statistics():
    fresh = {name: v.numpy() for name, v in build_backbone("ResNet18").state_dict().items()}
    gradients, state = gradients_and_state(batchnorm_trainable=False)
    assert not any("bn" in name or "downsample.1" in name for name in gradients)
    assert "layer1.0.conv1.weight" in gradients
    for name, value in state.items():
        if name.endswith(("_mean", "_variance")):
            np.testing.assert_array_equal(value, fresh[name], err_msg=name)


def test_running_statistics_keep_nine_tenths():
    net = build_backbone("ResNet18")
    net.train()
    x = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype("float32"))
    stem = net.conv1(x).numpy()
    net(x)
    np.testing.assert_allclose(net.bn1._mean.numpy(), 0.1 * stem.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(net.bn1._variance.numpy(), 0.9 + 0.1 * stem.var((0, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("name", ["ResNet18", "SEResNet50", "ResNeSt50"])
def test_the_stem_is_one_more_map_in_front(name):
    four, five = build_backbone(name), build_backbone(name, finest_stride=2)
    five.set_state_dict(four.state_dict())
    four.eval()
    five.eval()
    assert five.strides == [2, *four.strides]
    assert five.out_channels == [64, *four.out_channels]
    x = paddle.randn([1, 3, 32, 48])
    with paddle.no_grad():
        expected, maps = four(x), five(x)
    assert maps[0].shape == [1, 64, 16, 24]
    assert maps[0].min() == 0  # behind the ReLU, before the pooling
    for one, other in zip(maps[1:], expected, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_no_finest_stride_but_2_and_4():
    with pytest.raises(RssegError, match=r"model\.finest_stride"):
        build_backbone("ResNet18", finest_stride=1)
