"""ResNeSt-50 and 101: a ResNet with deep stem and pooled shortcuts whose 3×3 convolutions attend to their splits.

Zhang et al., "ResNeSt: Split-Attention Networks", 2020. Parameter names are those of the official repository, which
timm shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.models.backbones.residual import Place, ResidualBlock, plan_stages, register_variant
from paddle_rsseg.models.backbones.resnet import StemEncoder, conv, projection
from paddle_rsseg.models.layers import batch_norm, conv2d, global_mean

RADIX = 2


class SplitAttention(nn.Layer):
    """A 3×3 convolution to twice the channels, whose two halves are added with weights that depend on the image.

    The weights of each channel's halves are a softmax over them, of two 1×1 convolutions on the mean of their sum.
    """

    def __init__(self, channels: int, dilation: int, frozen_norm: bool):
        super().__init__()
        both = channels * RADIX
        hidden = max(both // 4, 32)
        self.conv = conv(channels, both, 3, dilation=dilation, groups=RADIX)
        self.bn0 = batch_norm(both, frozen_norm)
        self.fc1 = conv2d(channels, hidden, 1)
        self.bn1 = batch_norm(hidden, frozen_norm)
        self.fc2 = conv2d(hidden, both, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        first, second = paddle.chunk(F.relu(self.bn0(self.conv(x))), RADIX, axis=1)
        scene = global_mean(first + second)
        logits = self.fc2(F.relu(self.bn1(self.fc1(scene))))
        # of two numbers, a softmax is a sigmoid of their difference
        one, other = paddle.chunk(logits, RADIX, axis=1)
        weight = F.sigmoid(one - other)
        return weight * first + (1 - weight) * second


class NeighbourMean(nn.Layer):
    """3×3 mean, zeros beyond the border counting; exact in float64 too, as :func:`global_mean`."""

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if x.dtype != paddle.float64:
            return F.avg_pool2d(x, 3, self.stride, padding=1, exclusive=False)
        kernel = paddle.full([x.shape[1], 1, 3, 3], 1 / 9, x.dtype)
        return F.conv2d(x, kernel, stride=self.stride, padding=1, groups=x.shape[1])


class SplitBottleneck(ResidualBlock):
    """1×1, split attention, 3×3 mean that carries the stride, 1×1 to four times the channels; plus the shortcut.

    Args:
        pooled: whether there is the mean; at stride 1 it blurs.
    """

    expansion = 4

    def __init__(self, place: Place, frozen_norm: bool, pooled: bool):
        super().__init__()
        channels, wide = place.channels, place.channels * self.expansion
        self.conv1 = conv(place.in_channels, channels, 1)
        self.bn1 = batch_norm(channels, frozen_norm)
        self.conv2 = SplitAttention(channels, place.dilations[0], frozen_norm)
        self.mean = NeighbourMean(place.stride) if pooled else None
        self.conv3 = conv(channels, wide, 1)
        self.bn3 = batch_norm(wide, frozen_norm)
        self.downsample = place.shortcut

    def branch(self, x: paddle.Tensor) -> paddle.Tensor:
        out = self.conv2(F.relu(self.bn1(self.conv1(x))))
        if self.mean is not None:
            out = self.mean(out)
        return self.bn3(self.conv3(out))


class ResNeSt(StemEncoder):
    """Image N×C×H×W → four maps, at strides (4, 8, 16, 32), (4, 8, 16, 16) or (4, 8, 8, 8).

    The attention has a norm over maps of one pixel: a training batch needs more than one image.

    Args:
        depths: blocks of the four stages.
        stem_channels: of the stem of three convolutions: 64 for ResNeSt-50, 128 for 101.
        pool_dilated: the first block of a stage whose stride became a dilation keeps its 3×3 mean, now of stride 1
            (True, the official repository), or loses it (False, mmsegmentation); the same weights then differ.
        in_channels, output_stride, freeze_at, batchnorm_trainable, with_cp, contract_dilation, finest_stride: as in
            :class:`paddle_rsseg.models.backbones.resnet.ResNet`.
    """

    def __init__(
        self,
        depths: Sequence[int],
        stem_channels: int,
        in_channels: int = 3,
        output_stride: Literal[8, 16, 32] = 32,
        freeze_at: Literal[0, 1, 2, 3, 4, 5] = 0,
        batchnorm_trainable: bool = True,
        with_cp: bool | Sequence[bool] = False,
        contract_dilation: bool = True,
        pool_dilated: bool = True,
        finest_stride: Literal[2, 4] = 4,
    ):
        super().__init__(in_channels, with_cp, finest_stride)
        frozen_norm = not batchnorm_trainable
        self.add_stem("deep", stem_channels, frozen_norm)

        def block(place: Place) -> nn.Layer:
            return SplitBottleneck(place, frozen_norm, pooled=place.stride > 1 or (place.opening and pool_dilated))

        def shortcut(in_channels: int, out_channels: int, stride: int, dilation: int) -> nn.Layer:
            return projection(in_channels, out_channels, stride, frozen_norm, avg_down=True)

        stages = plan_stages(depths, output_stride, contract_dilation)
        self.add_stages(stages, stem_channels, SplitBottleneck.expansion, block, shortcut)
        self.freeze_first(freeze_at, self.conv1, self.bn1)


register_variant("ResNeSt50", ResNeSt, depths=(3, 4, 6, 3), stem_channels=64)
register_variant("ResNeSt101", ResNeSt, depths=(3, 4, 23, 3), stem_channels=128)
