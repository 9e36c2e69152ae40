"""Pyramid pooling (Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
import paddle.nn as nn

from paddle_rsseg.models.layers import conv_bn_relu, resize, spatial_size


class Pyramid(nn.Layer):
    """A map beside its averages over 1, 4, 9, 36 parts of the image: N×C×h×w → N×(C + pool_channels · #bins)×h×w.

    Each average goes through a 1×1 convolution with BatchNorm and ReLU and back to the map's size; all are
    concatenated behind the map.

    Args:
        pool_channels: of each average.
        bins: parts along each side.
        align_corners: of the up-sampling of the averages.

    Attributes:
        out_channels: of the result.
    """

    def __init__(
        self, in_channels: int, pool_channels: int, bins: Sequence[int] = (1, 2, 3, 6), align_corners: bool = False
    ):
        super().__init__()
        self.bins, self.align_corners = tuple(bins), align_corners
        self.pools = nn.LayerList([conv_bn_relu(in_channels, pool_channels, 1) for _ in self.bins])
        self.out_channels = in_channels + pool_channels * len(self.bins)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        size = spatial_size(x)
        maps = [x]
        for i, pool in enumerate(self.pools):
            maps.append(resize(pool(average_parts(x, self.bins[i])), size, self.align_corners))
        return paddle.concat(maps, axis=1)


class PyramidPooling(Pyramid):
    """The pyramid, fused: N×C×h×w → N×C'×h×w.

    Args:
        pool_channels, bins, align_corners: of the :class:`Pyramid`.
        out_channels: of the result.
        dropout: of whole channels, after the fusion.
        fusion_kernel: of the convolution that fuses.
    """

    def __init__(
        self,
        in_channels: int,
        pool_channels: int,
        out_channels: int,
        bins: Sequence[int] = (1, 2, 3, 6),
        dropout: float = 0.1,
        align_corners: bool = False,
        fusion_kernel: int = 1,
    ):
        super().__init__(in_channels, pool_channels, bins, align_corners)
        self.fusion = conv_bn_relu(self.out_channels, out_channels, fusion_kernel)
        self.dropout = nn.Dropout2D(dropout)
        self.out_channels = out_channels

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.dropout(self.fusion(Pyramid.forward(self, x)))  # not super(), which Paddle 2.6 cannot trace


def average_parts(x: paddle.Tensor, parts: int) -> paddle.Tensor:
    """N×C×h×w → N×C×parts×parts, the means of an adaptive pooling.

    As a product with a matrix, because ONNX has no adaptive pooling for sizes that are not known beforehand.
    """
    height, width = (part_weights(length, parts) for length in spatial_size(x))
    weights = (height.unsqueeze([1, 3]) * width.unsqueeze([0, 2])).reshape([parts * parts, -1])
    means = paddle.matmul(x.flatten(2), weights.astype(x.dtype), transpose_y=True)
    return means.reshape([-1, x.shape[1], parts, parts])


def part_weights(length: Any, parts: int) -> paddle.Tensor:
    """parts×length: row i is 1/n at the n places of part i, which overlaps its neighbours where it must."""
    place, part = paddle.arange(length, dtype="int64").unsqueeze(0), paddle.arange(parts, dtype="int64").unsqueeze(1)
    start, end = part * length // parts, ((part + 1) * length + parts - 1) // parts
    inside = paddle.logical_and(place >= start, place < end).astype(paddle.get_default_dtype())
    return inside / (end - start).astype(inside.dtype)
