"""The ResNet encoders, also against a plain PyTorch one of the same names where torch is installed."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from backbone_contract import BackboneContract

from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.cost import learnable

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class TestResNet18(BackboneContract):
    spec = {"type": "ResNet18"}
    parameters = 11_689_512 - 513_000
    output_strides = (8, 16, 32)


class TestResNet50(BackboneContract):
    spec = {"type": "ResNet50", "output_stride": 8}
    parameters = 25_557_032 - 2_049_000
    strides = (4, 8, 8, 8)


def reference_features(state: dict, x: np.ndarray, depth: int, output_stride: int) -> list[np.ndarray]:
    """ResNet as functions of torch over torchvision's names, in eval mode, float64."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    state = {name: torch.from_numpy(value.astype("float64")) for name, value in state.items()}

    def conv(x, name, stride=1, dilation=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, None, stride, dilation * (weight.shape[-1] // 2), dilation)

    def norm(x, name):
        mean, var, weight, bias = (state[f"{name}.{part}"] for part in ("_mean", "_variance", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias, eps=1e-5)

    x = torch.from_numpy(x.astype("float64"))
    x = F.max_pool2d(norm(conv(x, "conv1", 2), "bn1").relu(), 3, 2, 1)
    features, dilation, total = [], 1, 4
    for stage, blocks in enumerate(DEPTHS[depth], 1):
        stride = 1 if stage == 1 else 2
        before = dilation
        if total * stride > output_stride:
            dilation, stride = dilation * stride, 1
        total *= stride
        for i in range(blocks):
            name, s, first = f"layer{stage}.{i}", (stride if i == 0 else 1), (before if i == 0 else dilation)
            if depth < 50:
                out = norm(conv(x, f"{name}.conv1", s, first), f"{name}.bn1").relu()
                out = norm(conv(out, f"{name}.conv2", 1, dilation), f"{name}.bn2")
            else:
                out = norm(conv(x, f"{name}.conv1"), f"{name}.bn1").relu()
                out = norm(conv(out, f"{name}.conv2", s, first), f"{name}.bn2").relu()
                out = norm(conv(out, f"{name}.conv3"), f"{name}.bn3")
            if f"{name}.downsample.0.weight" in state:
                x = norm(conv(x, f"{name}.downsample.0", s), f"{name}.downsample.1")
            x = (out + x).relu()
        features.append(x.numpy())
    return features


@pytest.mark.parametrize(
    ("depth", "output_stride"),
    [
        (18, 8),
        (34, 32),
        (50, 16),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [(34, 16), (50, 8), (101, 8)]),
    ],
)
def test_equals_the_torch_reference(depth, output_stride):
    paddle.seed(depth)
    net = build_backbone(f"resnet{depth}", in_channels=4, output_stride=output_stride)
    net.eval()
    x = np.random.default_rng(depth).standard_normal((1, 4, 45, 48)).astype("float32")
    expected = reference_features({k: v.numpy() for k, v in net.state_dict().items()}, x, depth, output_stride)
    with paddle.no_grad():
        ours = net(paddle.to_tensor(x))
    assert net.strides == [4, *(min(s, output_stride) for s in (8, 16, 32))]
    for feature, reference, channels, stride in zip(ours, expected, net.out_channels, net.strides, strict=True):
        assert feature.shape == [1, channels, -(-45 // stride), -(-48 // stride)]
        assert np.abs(feature.numpy() - reference).max() <= 1e-4 * np.abs(reference).max()


@pytest.mark.parametrize("kind", ["18", "34", "50", "101"])
def test_parameter_count_is_torchvisions_without_the_classifier(kind):
    published = {"18": 11_689_512, "34": 21_797_672, "50": 25_557_032, "101": 44_549_160}
    net = build_backbone(f"ResNet{kind}")
    classifier = net.out_channels[-1] * 1000 + 1000
    assert sum(int(np.prod(p.shape)) for p in learnable(net).values()) == published[kind] - classifier


def gradients_and_state(**options) -> tuple[dict, dict]:
    paddle.seed(3)
    net = build_backbone("ResNet18", **options)
    net.train()
    x = paddle.to_tensor(np.random.default_rng(3).standard_normal((2, 3, 48, 48)).astype("float32"))
    paddle.add_n([(f**2).mean() for f in net(x)]).backward()
    gradients = {name: p.grad.numpy() for name, p in net.named_parameters() if p.grad is not None}
    return gradients, {name: v.numpy() for name, v in net.state_dict().items()}


@pytest.mark.parametrize("freeze_at", [0, 1, 3])
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
