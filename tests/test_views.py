"""Views: NumPy's rotations and flips, all different, exactly undone, in NumPy and in Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_rsseg.views import VIEWS, View

IMAGE = np.arange(2 * 3 * 4 * 7, dtype="float32").reshape(2, 3, 4, 7)


def test_all_eight_are_different_and_begin_with_the_image():
    square = np.arange(9).reshape(3, 3)
    assert VIEWS[0] == View()
    assert np.array_equal(VIEWS[0].apply(square), square)
    assert len({view.apply(square).tobytes() for view in VIEWS}) == 8


@pytest.mark.parametrize("turns", range(-1, 5))
def test_rotations_are_numpys(turns):
    expected = np.rot90(IMAGE, turns, axes=(2, 3))
    np.testing.assert_array_equal(View.rotation(turns).apply(IMAGE), expected)


def test_flips_and_transposition():
    np.testing.assert_array_equal(View(mirrored=True).apply(IMAGE), np.flip(IMAGE, 3))
    np.testing.assert_array_equal(View(upside_down=True).apply(IMAGE), np.flip(IMAGE, 2))
    np.testing.assert_array_equal(View(transposed=True).apply(IMAGE), np.swapaxes(IMAGE, 2, 3))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("shape", [(4, 7), (2, 4, 7), (2, 3, 4, 7), (1, 1)])
def test_there_and_back(view, shape):
    image = np.random.default_rng(0).random(shape)
    np.testing.assert_array_equal(view.invert(view.apply(image)), image)
    np.testing.assert_array_equal(view.apply(view.invert(image)), image)
    tensor = paddle.to_tensor(image, stop_gradient=False)
    turned = view.apply(tensor)
    np.testing.assert_array_equal(turned.numpy(), view.apply(image))
    np.testing.assert_array_equal(view.invert(turned).numpy(), image)
    weight = np.random.default_rng(1).random(turned.shape)
    (turned * paddle.to_tensor(weight)).sum().backward()
    np.testing.assert_array_equal(tensor.grad.numpy(), view.invert(weight))
