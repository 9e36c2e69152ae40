"""Means whose gradients are exact in float64, where Paddle's own pooling is not."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_rsseg.models.backbones.resnest import NeighbourMean
from paddle_rsseg.models.layers import global_mean


def gradient(function, x: np.ndarray) -> np.ndarray:
    tensor = paddle.to_tensor(x)
    tensor.stop_gradient = False
    function(tensor).sum().backward()
    return tensor.grad.numpy()


def test_global_mean():
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 4))
    np.testing.assert_allclose(global_mean(paddle.to_tensor(x)).numpy(), x.mean((2, 3), keepdims=True), rtol=1e-14)
    np.testing.assert_allclose(gradient(global_mean, x), np.full(x.shape, 1 / 12), rtol=1e-15)


@pytest.mark.parametrize("stride", [1, 2])
def test_mean_of_the_neighbours(stride):
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 6))
    pool = NeighbourMean(stride)
    exact, single = pool(paddle.to_tensor(x)), pool(paddle.to_tensor(x.astype("float32")))
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    expected = sum(padded[:, :, i : i + 7, j : j + 6] for i in range(3) for j in range(3))[..., ::stride, ::stride] / 9
    np.testing.assert_allclose(exact.numpy(), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(single.numpy(), expected, atol=1e-6)
    if stride == 1:
        np.testing.assert_allclose(gradient(pool, x)[:, :, 1:-1, 1:-1], 1.0, rtol=1e-14)
