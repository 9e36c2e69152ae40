"""Squeeze and excitation: a map scaled channel by channel, pixel by pixel, or both.

Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018; Roy et al., "Concurrent Spatial and Channel Squeeze &
Excitation in Fully Convolutional Networks", MICCAI 2018.
"""

from __future__ import annotations

from typing import Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.layers import batch_norm, conv2d, global_mean


class ChannelSqueeze(nn.Layer):
    """SE, or cSE: x · sigmoid(two 1×1 convolutions of x's mean), one factor a channel; N×C×h×w → N×C×h×w.

    Args:
        reduction: by how much fewer channels there are between the two convolutions.
        norm: BatchNorm between them, and no bias before it: BiSeNet's attention refinement.
    """

    def __init__(self, channels: int, reduction: int = 16, norm: bool = False):
        super().__init__()
        inside = channels // reduction
        self.fc1 = conv2d(channels, inside, 1, bias_attr=False if norm else None)
        self.norm = batch_norm(inside) if norm else nn.Identity()
        self.fc2 = conv2d(inside, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x * F.sigmoid(self.fc2(F.relu(self.norm(self.fc1(global_mean(x))))))


class SpatialSqueeze(nn.Layer):
    """sSE: x · sigmoid(1×1 convolution of x to one channel), one factor a pixel; N×C×h×w → N×C×h×w."""

    def __init__(self, channels: int, bias: bool = True):
        super().__init__()
        self.conv = conv2d(channels, 1, 1, bias_attr=None if bias else False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x * F.sigmoid(self.conv(x))


class SCSE(nn.Layer):
    """Both side by side, merged element by element: N×C×h×w → N×C×h×w.

    Args:
        reduction: of the :class:`ChannelSqueeze`.
        merge: ``max``: the larger of the two, as the paper's "max-out"; ``sum``: their sum.
        spatial_bias: of the :class:`SpatialSqueeze`; some programs have none.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        merge: Literal["max", "sum"] = "max",
        spatial_bias: bool = True,
    ):
        super().__init__()
        if merge not in ("max", "sum"):
            raise RssegError("model.merge", repr(merge), "max or sum")
        self.merge = merge
        self.channel = ChannelSqueeze(channels, reduction)
        self.spatial = SpatialSqueeze(channels, spatial_bias)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        by_channel, by_pixel = self.channel(x), self.spatial(x)
        return paddle.maximum(by_channel, by_pixel) if self.merge == "max" else by_channel + by_pixel
