"""Pooling that rounds down, for encoders whose originals do, without losing the last pixel of a tiny map."""

from __future__ import annotations

import paddle

from paddle_rsseg.models.layers import spatial_size


def half_of(x: paddle.Tensor, pooled: paddle.Tensor) -> paddle.Tensor:
    """``pooled``, which has half of ``x``'s rows and columns rounded up, cut to half rounded down, but at least one."""
    size = spatial_size(x)
    if isinstance(size, (list, tuple)):
        rows, columns = max(size[0] // 2, 1), max(size[1] // 2, 1)
    else:  # while a graph of dynamic size is traced
        half = paddle.clip(size // 2, min=1)
        rows, columns = half[0], half[1]
    return pooled[:, :, :rows, :columns]
