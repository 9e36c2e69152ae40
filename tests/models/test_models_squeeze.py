"""Squeeze and excitation against NumPy, and that a map of one pixel is no special case."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.squeeze import SCSE


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_hand(block: SCSE, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x scaled by channel and x scaled by pixel."""
    weight = {name: value.numpy().squeeze() for name, value in block.state_dict().items()}
    hidden = x.mean(axis=(2, 3)) @ weight["channel.fc1.weight"].T + weight["channel.fc1.bias"]
    channel = sigmoid(np.maximum(hidden, 0) @ weight["channel.fc2.weight"].T + weight["channel.fc2.bias"])
    pixel = sigmoid(np.einsum("nchw,c->nhw", x, weight["spatial.conv.weight"]) + weight["spatial.conv.bias"])
    return x * channel[:, :, None, None], x * pixel[:, None]


@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
@pytest.mark.parametrize("merge", ["max", "sum"])
def test_values(merge, size):
    paddle.seed(0)
    block = SCSE(8, reduction=2, merge=merge)
    x = np.random.default_rng(0).standard_normal((2, 8, *size)).astype("float32")
    channel, pixel = by_hand(block, x)
    expected = np.maximum(channel, pixel) if merge == "max" else channel + pixel
    np.testing.assert_allclose(block(paddle.to_tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_unknown_merge():
    with pytest.raises(RssegError, match=r"mean.*max or sum"):
        SCSE(8, merge="mean")
