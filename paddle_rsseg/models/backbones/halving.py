"""Pooling that rounds down, for encoders whose originals do, without losing the last pixel of a tiny map."""

from __future__ import annotations

import paddle

from paddle_rsseg.models.layers import spatial_size


def half_of(x: paddle.Tensor, pooled: paddle.Tensor) -> paddle.Tensor:
    """``pooled``, which has half of ``x``'s rows and columns rounded up, cut to half rounded down, but at least one."""
    size = spatial_size(x)
    if paddle.in_dynamic_mode():
        rows, columns = (max(length // 2, 1) for length in size)
    else:
        rows, columns = paddle.clip(size // 2, min=1)
    return pooled[:, :, :rows, :columns]
