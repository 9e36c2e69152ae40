"""Halving and doubling of maps whose sides need not be even, as the networks of U-Net's kind do it.

A pooling rounds down, but leaves at least one pixel; what goes up again is brought to the size of the map it meets.
"""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F

from paddle_rsseg.models.backbones.halving import half_of, rounded_down


def max_pool(x: paddle.Tensor, kernel: int = 2) -> paddle.Tensor:
    """N×C×h×w → N×C×⌊h/kernel⌋×⌊w/kernel⌋, at least one pixel: there the window is what there is of it."""
    return half_of(x, F.max_pool2d(x, kernel, stride=kernel, ceil_mode=True), kernel)


def crop(x: paddle.Tensor, size: Any) -> paddle.Tensor:
    """The first rows and columns."""
    return x[:, :, : size[0], : size[1]]


def fit(x: paddle.Tensor, size: Any) -> paddle.Tensor:
    """Cut to ``size``, or its last row and column repeated once where it is one too small."""
    return crop(F.pad(x, [0, 1, 0, 1], mode="replicate"), size)


def nearest(x: paddle.Tensor, size: Any) -> paddle.Tensor:
    """Each pixel repeated, to exactly ``size``."""
    return F.interpolate(x, size=size, mode="nearest")


def max_places(x: paddle.Tensor) -> paddle.Tensor:
    """Where each 2×2 window has its maximum, the first of equal ones: N×C×h×w → N×C×⌊h/2⌋×2×⌊w/2⌋×2 of 0 and 1.

    This stands for the indices of a max-pooling, which cannot go to ONNX at sizes that are not known beforehand.

    Args:
        x: not negative, since a window that reaches over the border (where h or w is 1) sees zeros there.
    """
    rows, columns = rounded_down(x)
    windows = crop(F.pad(x, [0, 1, 0, 1]), (2 * rows, 2 * columns)).reshape([-1, x.shape[1], rows, 2, columns, 2])
    highest = windows.max(axis=[3, 5])
    free, places = paddle.ones_like(highest), []
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        place = (windows[:, :, :, row, :, column] == highest).astype(x.dtype) * free
        free = free - place
        places.append(place)
    return paddle.stack([paddle.stack(places[:2], axis=-1), paddle.stack(places[2:], axis=-1)], axis=3).detach()


def max_unpool(x: paddle.Tensor, places: paddle.Tensor, size: Any) -> paddle.Tensor:
    """N×C×⌊h/2⌋×⌊w/2⌋ → N×C×h×w: every value at the place its window's maximum had, zeros elsewhere.

    Args:
        places: of :func:`max_places`.
        size: (h, w).
    """
    rows, columns = places.shape[2] * 2, places.shape[4] * 2
    if not paddle.in_dynamic_mode():
        rows, columns = paddle.shape(places)[2] * 2, paddle.shape(places)[4] * 2
    spread = (x.unsqueeze([3, 5]) * places).reshape([-1, x.shape[1], rows, columns])
    return crop(F.pad(spread, [0, 1, 0, 1]), size)
