"""Aligned Xception as DeepLabV3+ modified it (Chen et al., ECCV 2018), in the layout and names of jfzhang95's
pytorch-deeplab-xception, for any number of bands."""

from __future__ import annotations

from typing import Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones.chain import run_chain
from paddle_rsseg.models.layers import batch_norm, conv2d
from paddle_rsseg.registry import BACKBONES


class SeparableConv(nn.Layer):
    """3×3 depthwise, BatchNorm, 1×1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        options = {"stride": stride, "dilation": dilation, "groups": in_channels, "bias_attr": False}
        self.conv1 = conv2d(in_channels, in_channels, 3, "relu", **options)
        self.bn = batch_norm(in_channels)
        self.pointwise = conv2d(in_channels, out_channels, 1, "relu", bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.pointwise(self.bn(self.conv1(x)))


class Block(nn.Layer):
    """Three separable convolutions with ReLU between, plus the shortcut; ReLU.

    In the original a block may begin with a ReLU that writes into its input, so that the shortcut, too, sees the
    rectified map. Here the ReLU stands at the end of every block instead, which is the same.

    Args:
        widths: channels behind each convolution.
        stride: of the last convolution.
        dilations: of each convolution.
        first: number of the first convolution inside the original's ``rep``: 0, or 1 behind a ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        widths: tuple[int, int, int],
        stride: int = 1,
        dilations: tuple[int, int, int] = (1, 1, 1),
        first: Literal[0, 1] = 1,
    ):
        super().__init__()
        units: list[tuple[str, nn.Layer]] = []
        channels = in_channels
        for i in range(3):
            conv = SeparableConv(channels, widths[i], stride if i == 2 else 1, dilations[i])
            channels = widths[i]
            layers = [conv, batch_norm(channels)] if i == 2 else [conv, batch_norm(channels), nn.ReLU()]
            units += [(str(first + 3 * i + j), layer) for j, layer in enumerate(layers)]
        self.rep = nn.Sequential(*units)
        self.skip = None
        if channels != in_channels or stride != 1:
            self.skip = conv2d(in_channels, channels, 1, "relu", stride=stride, bias_attr=False)
            self.skipbn = batch_norm(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu(self.rep(x) + (x if self.skip is None else self.skipbn(self.skip(x))))


@BACKBONES.register()
class Xception(nn.Layer):
    """Image N×C×H×W → maps of 128, 256, 728 and 2048 channels at strides 4, 8, 16, 16 (or 4, 8, 8, 8).

    Args:
        in_channels: bands of the image.
        output_stride: 16, or 8: the third block keeps its input's size, all later ones double their dilation.
        finest_stride: 4, or 2 for one more map in front, of the stem's 64 channels.
        with_cp: recompute the activations of each block in the backward pass instead of keeping them.

    Attributes:
        out_channels, strides: of the maps, from fine to coarse. DeepLabV3+ takes the first and the last.
    """

    def __init__(
        self,
        in_channels: int = 3,
        output_stride: Literal[8, 16] = 16,
        finest_stride: Literal[2, 4] = 4,
        with_cp: bool = False,
    ):
        super().__init__()
        if output_stride not in (8, 16):
            raise RssegError("model.output_stride", repr(output_stride), "8 or 16")
        if finest_stride not in (2, 4):
            raise RssegError("model.finest_stride", repr(finest_stride), "2 or 4")
        rate = 16 // output_stride
        self.in_channels = in_channels
        self.finest_stride = finest_stride
        self.with_cp = with_cp
        self.out_channels = [128, 256, 728, 2048]
        self.strides = [4, 8, output_stride, output_stride]
        if finest_stride == 2:
            self.out_channels.insert(0, 64)
            self.strides.insert(0, 2)

        self.conv1 = conv2d(in_channels, 32, 3, "relu", stride=2, bias_attr=False)
        self.bn1 = batch_norm(32)
        self.conv2 = conv2d(32, 64, 3, "relu", bias_attr=False)
        self.bn2 = batch_norm(64)
        self.block1 = Block(64, (128, 128, 128), stride=2, first=0)
        self.block2 = Block(128, (256, 256, 256), stride=2, first=0)
        self.block3 = Block(256, (728, 728, 728), stride=2 // rate)
        for i in range(4, 20):
            setattr(self, f"block{i}", Block(728, (728, 728, 728), dilations=(rate, rate, rate)))
        # the third convolution stands where the classifier has its stride, and never dilates
        self.block20 = Block(728, (728, 1024, 1024), dilations=(rate, rate, 1))
        for i, (before, after) in enumerate([(1024, 1536), (1536, 1536), (1536, 2048)], 3):
            setattr(self, f"conv{i}", SeparableConv(before, after, dilation=2 * rate))
            setattr(self, f"bn{i}", batch_norm(after))

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = F.relu(self.bn1(self.conv1(x)))
        stem = F.relu(self.bn2(self.conv2(x)))
        blocks = [getattr(self, f"block{i}") for i in range(1, 21)]
        *maps, x = run_chain(blocks, stem, (0, 1, 18, 19), self.with_cp and self.training)
        for i in range(3, 6):
            x = F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        return [*([stem] if self.finest_stride == 2 else []), *maps, x]
