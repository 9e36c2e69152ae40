"""Halving and doubling at even, odd and tiny sizes, against loops and against PyTorch's max-unpooling."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_rsseg.models.sampling import fit, max_places, max_pool, max_unpool

SIZES = [(6, 8), (7, 5), (2, 3), (1, 1), (1, 4)]


def relu_map(size: tuple[int, int]) -> np.ndarray:
    """Many zeros, so that windows have several equal maxima."""
    values = np.random.default_rng(3).integers(-2, 3, (2, 3, *size))
    return np.maximum(values, 0).astype("float32")


@pytest.mark.parametrize("kernel", [2, 3, 6])
@pytest.mark.parametrize("size", SIZES)
def test_max_pool_rounds_down_to_one_at_least(size, kernel):
    x = np.random.default_rng(0).standard_normal((2, 3, *size)).astype("float32")
    rows, columns = (max(length // kernel, 1) for length in size)
    expected = [
        [x[:, :, i * kernel : (i + 1) * kernel, j * kernel : (j + 1) * kernel].max((2, 3)) for j in range(columns)]
        for i in range(rows)
    ]
    np.testing.assert_array_equal(
        max_pool(paddle.to_tensor(x), kernel).numpy(), np.array(expected).transpose(2, 3, 0, 1)
    )


@pytest.mark.parametrize("size", SIZES)
def test_unpooling_puts_values_to_the_first_maximum(size):
    x = relu_map(size)
    rows, columns = (max(length // 2, 1) for length in size)
    values = np.random.default_rng(1).standard_normal((2, 3, rows, columns)).astype("float32")
    expected = np.zeros_like(x)
    for n, c, i, j in np.ndindex(values.shape):
        window = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        row, column = np.unravel_index(window.argmax(), window.shape)
        expected[n, c, 2 * i + row, 2 * j + column] = values[n, c, i, j]
    got = max_unpool(paddle.to_tensor(values), max_places(paddle.to_tensor(x)), size)
    np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_unpooling_equals_pytorch(size):
    torch = pytest.importorskip("torch")
    x = relu_map(size)
    pooled, indices = torch.nn.functional.max_pool2d(torch.from_numpy(x), 2, return_indices=True)
    values = np.random.default_rng(1).standard_normal(pooled.shape).astype("float32")
    expected = torch.nn.functional.max_unpool2d(torch.from_numpy(values), indices, 2, output_size=size)
    got = max_unpool(paddle.to_tensor(values), max_places(paddle.to_tensor(x)), size)
    np.testing.assert_array_equal(got.numpy(), expected.numpy())


def test_fit_repeats_or_cuts_one():
    x = paddle.arange(6, dtype="float32").reshape([1, 1, 2, 3])
    np.testing.assert_array_equal(fit(x, (3, 4)).numpy()[0, 0], [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5]])
    np.testing.assert_array_equal(fit(x, (1, 3)).numpy()[0, 0], [[0, 1, 2]])
