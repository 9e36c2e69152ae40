"""MobileNetV2 (Sandler et al., CVPR 2018) in torchvision's layout and names, for any number of bands."""

from __future__ import annotations

from typing import Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones.chain import Dilation, dilated, run_chain
from paddle_rsseg.models.layers import batch_norm, conv2d
from paddle_rsseg.registry import BACKBONES

#: (expansion, channels, blocks, stride) of each stage
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
#: stages whose outputs are maps: at strides 2, 4, 8, 16, 32
TAPPED = (0, 1, 2, 4, 6)

Zeros = Literal["depthwise", "block"]


def conv_bn_relu6(in_channels: int, out_channels: int, kernel: int, **options) -> nn.Sequential:
    conv = conv2d(in_channels, out_channels, kernel, "relu", bias_attr=False, **options)
    return nn.Sequential(conv, batch_norm(out_channels), nn.ReLU6())


class InvertedResidual(nn.Layer):
    """1×1 to ``expansion`` times the channels, 3×3 depthwise, 1×1 back; plus the input where shapes allow."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, dilation: int, expansion: int, zeros: Zeros):
        super().__init__()
        hidden = in_channels * expansion
        self.padding = dilation if zeros == "block" else 0
        units = [conv_bn_relu6(in_channels, hidden, 1)] if expansion != 1 else []
        depthwise = conv_bn_relu6(
            hidden, hidden, 3, stride=stride, dilation=dilation, padding=dilation - self.padding, groups=hidden
        )
        self.conv = nn.Sequential(
            *units, depthwise, conv2d(hidden, out_channels, 1, "relu", bias_attr=False), batch_norm(out_channels)
        )
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        out = self.conv(F.pad(x, [self.padding] * 4) if self.padding else x)
        return x + out if self.residual else out


@BACKBONES.register()
class MobileNetV2(nn.Layer):
    """Image N×C×H×W → maps of 24, 32, 96 and 320 channels at strides 4, 8, 16 and 32 (or the output stride).

    Args:
        in_channels: bands of the image.
        output_stride: 32, 16 or 8: no map becomes coarser; blocks dilate instead.
        dilation: which blocks do, :data:`~paddle_rsseg.models.backbones.chain.Dilation`. ``contracted``: timm's;
            ``next_stage``: jfzhang95's and SegHZ's; ``every_stage``: NAIC's.
        zeros: where a block puts its zero padding. ``depthwise``: before the 3×3, as everybody does; ``block``:
            before the whole block, as jfzhang95 and SegHZ do: the border is expanded too and carries relu6(BN(0)).
        width: factor on all channels, which are rounded to multiples of 8.
        finest_stride: 4, or 2 for one more map in front, of 16 channels.
        last_conv: the last map goes through the classifier's 1×1 convolution to 1280 channels, as in
            segmentation_models_pytorch.
        with_cp: recompute the activations of each block in the backward pass instead of keeping them.

    Attributes:
        out_channels, strides: of the maps, from fine to coarse.
    """

    def __init__(
        self,
        in_channels: int = 3,
        output_stride: Literal[8, 16, 32] = 32,
        dilation: Dilation = "contracted",
        zeros: Zeros = "depthwise",
        width: float = 1.0,
        finest_stride: Literal[2, 4] = 4,
        last_conv: bool = False,
        with_cp: bool = False,
    ):
        super().__init__()
        if zeros not in ("depthwise", "block"):
            raise RssegError("model.zeros", repr(zeros), "'depthwise' or 'block'")
        if finest_stride not in (2, 4):
            raise RssegError("model.finest_stride", repr(finest_stride), "2 or 4")
        self.in_channels = in_channels
        self.with_cp = with_cp
        channels = multiple_of_8(32 * width)
        features: list[nn.Layer] = [conv_bn_relu6(in_channels, channels, 3, stride=2)]
        maps: list[tuple[int, int, int]] = []  # number of the block, channels, stride
        plan = dilated([(stride, depth) for *_, depth, stride in STAGES], 2, output_stride, dilation)
        total = 2
        for stage, (expansion, wide, *_) in enumerate(STAGES):
            for stride, rate in plan[stage]:
                wanted = multiple_of_8(wide * width)
                features.append(InvertedResidual(channels, wanted, stride, rate, expansion, zeros))
                channels = wanted
                total *= stride
            if stage in TAPPED:
                maps.append((len(features) - 1, channels, total))
        if last_conv:
            wanted = multiple_of_8(1280 * max(width, 1.0))
            features.append(conv_bn_relu6(channels, wanted, 1))
            maps[-1] = (len(features) - 1, wanted, total)
        self.features = nn.Sequential(*features)
        if finest_stride == 4:
            del maps[0]
        self.ends = [end for end, _, _ in maps]
        self.out_channels = [channels for _, channels, _ in maps]
        self.strides = [stride for _, _, stride in maps]

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return run_chain(self.features, x, self.ends, self.with_cp and self.training)


def multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8 that is at least 8 and not below nine tenths of ``channels``."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
