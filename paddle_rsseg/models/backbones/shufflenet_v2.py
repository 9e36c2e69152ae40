"""ShuffleNetV2 (Ma et al., ECCV 2018) in torchvision's layout and names, for any number of bands."""

from __future__ import annotations

from typing import Literal

import paddle
import paddle.nn as nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones.chain import Dilation, dilated, run_chain
from paddle_rsseg.models.layers import batch_norm, conv2d
from paddle_rsseg.registry import BACKBONES

#: width → channels of the three stages
CHANNELS = {0.5: (48, 96, 192), 1.0: (116, 232, 464), 1.5: (176, 352, 704), 2.0: (244, 488, 976)}
DEPTHS = (4, 8, 4)


def pointwise(in_channels: int, out_channels: int) -> list[nn.Layer]:
    return [conv2d(in_channels, out_channels, 1, "relu", bias_attr=False), batch_norm(out_channels), nn.ReLU()]


def depthwise(channels: int, stride: int, dilation: int) -> list[nn.Layer]:
    options = {"stride": stride, "dilation": dilation, "groups": channels, "bias_attr": False}
    return [conv2d(channels, channels, 3, "relu", **options), batch_norm(channels)]


class Unit(nn.Layer):
    """Half of the channels through 1×1, 3×3 depthwise and 1×1, the other half untouched; then both interleaved.

    The first unit of a stage sends all channels through both branches, the short one being 3×3 depthwise and 1×1.

    Args:
        dilations: of the short branch, where there is one, and of the long one.
    """

    def __init__(self, in_channels: int, out_channels: int, first: bool, stride: int, dilations: tuple[int, int]):
        super().__init__()
        half = out_channels // 2
        self.branch1 = None
        if first:
            self.branch1 = nn.Sequential(*depthwise(in_channels, stride, dilations[0]), *pointwise(in_channels, half))
        self.branch2 = nn.Sequential(
            *pointwise(in_channels if first else half, half),
            *depthwise(half, stride, dilations[1]),
            *pointwise(half, half),
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if self.branch1 is None:
            left, right = x.chunk(2, axis=1)
        else:
            left, right = self.branch1(x), x
        # interleaved by hand: there is no converter of Paddle's channel_shuffle to ONNX
        return paddle.stack([left, self.branch2(right)], axis=2).flatten(1, 2)


@BACKBONES.register()
class ShuffleNetV2(nn.Layer):
    """Image N×C×H×W → maps of 24, 116, 232 and 464 channels at strides 4, 8, 16 and 32 (or the output stride).

    Args:
        in_channels: bands of the image.
        output_stride: 32, 16 or 8: no map becomes coarser; units dilate instead.
        dilation: which units do, :data:`~paddle_rsseg.models.backbones.chain.Dilation`. ``first_block``: NAIC's,
            and there only on the long branch.
        width: 0.5, 1, 1.5 or 2, torchvision's four sizes.
        finest_stride: 4, or 2 for one more map in front, of the stem's 24 channels before the pooling.
        with_cp: recompute the activations of each unit in the backward pass instead of keeping them.

    Attributes:
        out_channels, strides: of the maps, from fine to coarse.
    """

    def __init__(
        self,
        in_channels: int = 3,
        output_stride: Literal[8, 16, 32] = 32,
        dilation: Dilation = "contracted",
        width: float = 1.0,
        finest_stride: Literal[2, 4] = 4,
        with_cp: bool = False,
    ):
        super().__init__()
        if width not in CHANNELS:
            raise RssegError("model.width", repr(width), "0.5, 1.0, 1.5 or 2.0")
        if finest_stride not in (2, 4):
            raise RssegError("model.finest_stride", repr(finest_stride), "2 or 4")
        self.in_channels = in_channels
        self.finest_stride = finest_stride
        self.with_cp = with_cp
        channels = 24
        self.conv1 = nn.Sequential(
            conv2d(in_channels, channels, 3, "relu", stride=2, bias_attr=False), batch_norm(channels), nn.ReLU()
        )
        self.maxpool = nn.MaxPool2D(3, stride=2, padding=1)
        self.out_channels, self.strides = [24, 24], [2, 4]
        plan = dilated([(2, depth) for depth in DEPTHS], 4, output_stride, dilation)
        for i, wide in enumerate(CHANNELS[width]):
            units = []
            for j, (stride, rate) in enumerate(plan[i]):
                short = 1 if dilation == "first_block" else rate
                units.append(Unit(channels, wide, j == 0, stride, (short, rate)))
                channels = wide
            setattr(self, f"stage{i + 2}", nn.Sequential(*units))
            self.out_channels.append(wide)
            self.strides.append(self.strides[-1] * plan[i][0][0])
        if finest_stride == 4:
            del self.out_channels[0], self.strides[0]

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        stem = self.conv1(x)
        maps = [self.maxpool(stem)]
        for stage in (self.stage2, self.stage3, self.stage4):
            maps += run_chain(stage, maps[-1], {len(stage) - 1}, self.with_cp and self.training)
        return [stem, *maps] if self.finest_stride == 2 else maps
