"""Attention over all pairs of pixels, or of channels, of one map.

Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019 (github.com/junfu1115/DANet). The products are not
divided by √d; they overflow half precision, so everything from them on is computed in float32 at least.
"""

from __future__ import annotations

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.layers import conv2d, full_precision, spatial_size


class PositionAttention(nn.Layer):
    """Every pixel gets the values of all pixels that resemble it: N×C×h×w → N×C×h×w.

    ``γ · Σ_j softmax_j(q_i · k_j) v_j + x_i`` with learnt projections q, k, v (1×1 convolutions with bias) and a
    learnt γ that begins at 0. Memory grows with (h·w)²: use it at 1/8 of the image or coarser.

    Args:
        channels: C.
        reduction: q and k have C / reduction channels.

    Raises:
        RssegError: C is less than ``reduction``.
    """

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        if channels < reduction:
            raise RssegError("attention", f"{channels} channels", f"at least reduction = {reduction}")
        self.query = conv2d(channels, channels // reduction, 1)
        self.key = conv2d(channels, channels // reduction, 1)
        self.value = conv2d(channels, channels, 1)
        self.gamma = new_gamma(self)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        query, key, value = self.query(x), self.key(x), self.value(x)
        with paddle.amp.auto_cast(enable=False):
            query, key, value = (full_precision(part).flatten(2) for part in (query, key, value))
            likeness = paddle.matmul(query, key, transpose_x=True)  # N×hw×hw, [i, j]
            attended = paddle.matmul(value, F.softmax(likeness, axis=2), transpose_y=True)
            return residual(self.gamma, attended, x)


class ChannelAttention(nn.Layer):
    """Every channel gets all channels, most of it of those that resemble it least: N×C×h×w → N×C×h×w.

    ``γ · A X + X`` with X the C×hw matrix of the map, E = X Xᵀ and A = softmax(max(E) − E), both over the rows of E;
    γ is learnt and begins at 0. The channels are not projected, so this has no other parameters.
    """

    def __init__(self):
        super().__init__()
        self.gamma = new_gamma(self)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        with paddle.amp.auto_cast(enable=False):
            rows = full_precision(x).flatten(2)
            energy = paddle.matmul(rows, rows, transpose_y=True)  # N×C×C
            weights = F.softmax(energy.max(axis=2, keepdim=True) - energy, axis=2)
            return residual(self.gamma, paddle.matmul(weights, rows), x)


def new_gamma(layer: nn.Layer) -> paddle.Tensor:
    """The γ of ``layer``: how much of the attended map is added. Begins at 0."""
    return layer.create_parameter([1], default_initializer=nn.initializer.Constant(0.0))


def residual(gamma: paddle.Tensor, attended: paddle.Tensor, x: paddle.Tensor) -> paddle.Tensor:
    """γ · attended (N×C×hw) + x (N×C×h×w), in the precision of x."""
    height, width = spatial_size(x)
    attended = attended.reshape([0, x.shape[1], height, width])
    return (gamma * attended + full_precision(x)).astype(x.dtype)
