"""Deformable convolutions, and where a ResNet has them."""

from __future__ import annotations

import itertools

import numpy as np
import paddle
import pytest
from contract import ModelContract
from safetensors.numpy import save_file

from paddle_rsseg.alignment.run import default_dtype
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference import onnx
from paddle_rsseg.inference.backends import save_static, static_files
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.backbones.deformable import DeformableConv2D, deform
from paddle_rsseg.models.backbones.resnet import Bottleneck, ResNet
from paddle_rsseg.weights import load_pretrained


@pytest.mark.slow
class TestBiSeNetOnDeformableResNet(ModelContract):
    spec = {
        "type": "BiSeNet",
        "backbone": {"type": "ResNet50", "multi_grid": [1, 2], "deformable": [0, 4, 6, 3]},
        "channels": 32,
        "context_channels": 16,
    }
    train_outputs = 3


def shaken(layer: DeformableConv2D, spread: float) -> DeformableConv2D:
    """With offsets of some pixels, so that taps fall between pixels and outside the map."""
    rng = np.random.default_rng(2)
    layer.taps.weight.set_value(
        (spread * rng.standard_normal(layer.taps.weight.shape)).astype(layer.weight.numpy().dtype)
    )
    layer.eval()
    return layer


def naive(x: np.ndarray, weight: np.ndarray, taps: np.ndarray, stride: int, dilation: int) -> np.ndarray:
    """Tap by tap: C×h×w and 27×h'×w' → outputs×h'×w'."""

    def at(row: float, column: float) -> np.ndarray:
        """All channels between pixels; pixels outside the map are 0."""
        total = np.zeros(x.shape[0])
        for i, j in itertools.product(range(x.shape[1]), range(x.shape[2])):
            total += max(0, 1 - abs(row - i)) * max(0, 1 - abs(column - j)) * x[:, i, j]
        return total

    out = np.zeros((weight.shape[0], *taps.shape[1:]))
    for i, j in np.ndindex(*taps.shape[1:]):
        for k, (row, column) in enumerate(itertools.product((-1, 0, 1), repeat=2)):
            down, right = taps[2 * k : 2 * k + 2, i, j]
            value = at(i * stride + row * dilation + down, j * stride + column * dilation + right)
            out[:, i, j] += weight[:, :, row + 1, column + 1] @ value / (1 + np.exp(-taps[18 + k, i, j]))
    return out


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_tap_by_tap(stride, dilation):
    with default_dtype("float64"):
        layer = shaken(DeformableConv2D(3, 4, stride, dilation), 0.5)
    x = paddle.to_tensor(np.random.default_rng(0).standard_normal((1, 3, 5, 6)))
    expected = naive(x.numpy()[0], layer.weight.numpy(), layer.taps(x).numpy()[0], stride, dilation)
    np.testing.assert_allclose(layer(x).numpy()[0], expected, rtol=1e-10, atol=1e-12)


def test_begins_as_half_a_convolution():
    layer = DeformableConv2D(3, 4, 2, 2)
    x = paddle.randn([2, 3, 9, 8])
    plain = paddle.nn.functional.conv2d(x, layer.weight, stride=2, padding=2, dilation=2)
    np.testing.assert_allclose(layer(x).numpy(), plain.numpy() / 2, rtol=1e-4, atol=1e-6)


class OneLayer(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.layer = shaken(DeformableConv2D(3, 4, stride=2, dilation=2), 0.5)

    def forward(self, image):
        return [self.layer(image)]


def test_exports_at_any_size(tmp_path):
    pytest.importorskip("paddle2onnx")
    pytest.importorskip("onnxruntime")
    paddle.seed(0)
    model = OneLayer()
    model.eval()
    save_static(model, tmp_path, 3)
    loaded = paddle.jit.load(str(tmp_path / "model"))
    backend = onnx.OnnxBackend(onnx.convert(*static_files(tmp_path), tmp_path / onnx.FILE), threads=1)
    for size in [(1, 1), (5, 8), (33, 20)]:
        x = paddle.randn([2, 3, *size])
        expected = model(x)[0].numpy()
        np.testing.assert_allclose(loaded(x).numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(backend(x.numpy()), expected, atol=1e-5 * np.abs(expected).max())


def blocks_made_deformable(depths, last, interval) -> list[list[int]]:
    """Indices, in stages of bottlenecks of two channels."""
    stages = [[Bottleneck(8, 2, 1, (1, 1), None, False) for _ in range(depth)] for depth in depths]
    deform(stages, last, interval)
    return [[i for i, block in enumerate(stage) if isinstance(block.conv2, DeformableConv2D)] for stage in stages]


def test_which_blocks():
    assert blocks_made_deformable((3, 4, 6, 2), (0, 4, 6, 3), 1) == [[], [*range(4)], [*range(6)], [0, 1]]
    assert blocks_made_deformable((3, 4, 23, 2), (0, 4, 23, 3), 3) == [[], [0, 3], [*range(0, 23, 3)], [0, 1]]
    assert blocks_made_deformable((3, 4, 6, 3), (0, 2, 1, 0), 3) == [[], [3], [], []]


def test_they_dilate_and_stride_as_the_convolutions_in_their_places():
    net = ResNet(Bottleneck, (1, 1, 1, 2), output_stride=16, multi_grid=(1, 2), deformable=(0, 1, 0, 1))
    first, last = net.layer2[0].conv2, net.layer4[1].conv2
    assert [(c._stride, c._dilation, c.taps._stride, c.taps._dilation) for c in (first, last)] == [
        ([2, 2], [1, 1], [2, 2], [1, 1]),
        ([1, 1], [4, 4], [1, 1], [4, 4]),
    ]
    assert [feature.shape[2:] for feature in net(paddle.randn([1, 3, 61, 40]))] == [[16, 10], [8, 5], [4, 3], [4, 3]]


def test_starts_from_the_weights_of_a_plain_resnet(tmp_path):
    plain = ResNet(Bottleneck, (1, 1, 1, 1))
    names = {"_mean": "running_mean", "_variance": "running_var"}
    state = {}
    for name, tensor in plain.state_dict().items():
        layer, _, kind = name.rpartition(".")
        state[f"{layer}.{names.get(kind, kind)}"] = tensor.numpy()
    save_file(state, tmp_path / "plain.safetensors")
    net = ResNet(Bottleneck, (1, 1, 1, 1), deformable=(0, 0, 1, 0))
    net.layer3[0].conv2.taps.bias.set_value(np.ones(27, np.float32))
    report = load_pretrained(net, tmp_path / "plain.safetensors")
    assert report.complete
    assert set(report.adapted) == {"layer3.0.conv2.taps.weight", "layer3.0.conv2.taps.bias"}
    np.testing.assert_array_equal(net.layer3[0].conv2.weight.numpy(), plain.layer3[0].conv2.weight.numpy())
    assert not net.layer3[0].conv2.taps.bias.numpy().any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"deformable": (4, 6, 3)}, "4, 6, 3.*4 numbers of blocks"),
        ({"deformable": (0, 0, 0, 2), "deformable_interval": 0}, "every 0.*every 1 or more"),
        ({"deformable": (0, 0, 0, 2)}, "another kind.*50 or more"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(RssegError, match=words):
        build_backbone("ResNet18", **options)
