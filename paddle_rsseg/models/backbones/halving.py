"""Pooling that rounds down, for networks whose originals do, without losing the last pixel of a tiny map."""

from __future__ import annotations

from typing import Any

import paddle

from paddle_rsseg.models.layers import spatial_size


def half_of(x: paddle.Tensor, pooled: paddle.Tensor, factor: int = 2) -> paddle.Tensor:
    """``pooled``, which has 1/factor of ``x``'s rows and columns rounded up, cut to that rounded down, at least one."""
    rows, columns = rounded_down(x, factor)
    return pooled[:, :, :rows, :columns]


def rounded_down(x: paddle.Tensor, factor: int = 2) -> tuple[Any, Any]:
    """⌊h/factor⌋ and ⌊w/factor⌋, but at least one: numbers, or tensors while a graph of dynamic size is traced."""
    size = spatial_size(x)
    if isinstance(size, (list, tuple)):
        return max(size[0] // factor, 1), max(size[1] // factor, 1)
    part = paddle.clip(size // factor, min=1)
    return part[0], part[1]
