"""Attention of pixels and of channels, against loops over them."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.attention import ChannelAttention, PositionAttention


def random_map(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def softmax(x: np.ndarray) -> np.ndarray:
    weights = np.exp(x - x.max())
    return weights / weights.sum()


def run(layer: paddle.nn.Layer, x: np.ndarray, gamma: float) -> np.ndarray:
    layer.to(dtype="float64")
    layer.gamma.set_value(paddle.to_tensor([gamma], "float64"))
    with paddle.no_grad():
        return layer(paddle.to_tensor(x)).numpy()


def test_pixels():
    paddle.seed(0)
    layer, x = PositionAttention(16, reduction=4), random_map(2, 16, 3, 5)
    got = run(layer, x, 0.7)

    def project(conv: paddle.nn.Conv2D, pixel: np.ndarray) -> np.ndarray:
        return conv.weight.numpy()[:, :, 0, 0] @ pixel + conv.bias.numpy()

    assert layer.query.weight.shape[0] == layer.key.weight.shape[0] == 4
    for image in range(2):
        pixels = [x[image, :, row, column] for row, column in np.ndindex(3, 5)]
        for i, (row, column) in enumerate(np.ndindex(3, 5)):
            query = project(layer.query, pixels[i])
            weights = softmax(np.array([query @ project(layer.key, other) for other in pixels]))
            attended = sum(weight * project(layer.value, other) for weight, other in zip(weights, pixels, strict=True))
            np.testing.assert_allclose(got[image, :, row, column], 0.7 * attended + pixels[i], rtol=1e-12)


def test_channels():
    x = random_map(2, 6, 3, 5)
    got = run(ChannelAttention(), x, 0.7)
    for image in range(2):
        for channel in range(6):
            energy = np.array([(x[image, channel] * x[image, other]).sum() for other in range(6)])
            weights = softmax(energy.max() - energy)
            attended = np.tensordot(weights, x[image], 1)
            np.testing.assert_allclose(got[image, channel], 0.7 * attended + x[image, channel], rtol=1e-12)


@pytest.mark.parametrize("layer", [PositionAttention(16), ChannelAttention()])
def test_begins_as_the_identity(layer):
    x = paddle.to_tensor(random_map(1, 16, 4, 4).astype("float32"))
    np.testing.assert_array_equal(layer(x).numpy(), x.numpy())


def test_large_products_stay_finite():
    x = 300 * random_map(1, 16, 4, 4)
    for layer in (PositionAttention(16, 2), ChannelAttention()):
        assert np.isfinite(run(layer, x, 1.0)).all()


def test_fewer_channels_than_the_reduction():
    with pytest.raises(RssegError, match=r"4 channels.*reduction = 8"):
        PositionAttention(4)
