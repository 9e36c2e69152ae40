"""DRN-D-54, a residual network that ends at stride 8 and smooths the grid that its dilations leave.

Yu et al., "Dilated Residual Networks", CVPR 2017. Parameter names are those of its official repository.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn as nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones.recomputation import checkpointed
from paddle_rsseg.models.backbones.resnet import Bottleneck, conv, projection
from paddle_rsseg.models.layers import batch_norm
from paddle_rsseg.registry import BACKBONES


@BACKBONES.register("DRN_D_54")
class DRND54(nn.Layer):
    """Image N×C×H×W → [layer3, layer4, layer6, layer8] with 256, 512, 2048, 512 channels at strides 4, 8, 8, 8.

    Args:
        in_channels: bands of the image.
        with_cp: recompute activations in the backward pass instead of keeping them; one bool, or one for each of
            what lies between two maps.
    """

    def __init__(self, in_channels: int = 3, with_cp: bool | Sequence[bool] = False):
        super().__init__()
        self.in_channels = in_channels
        self.with_cp = (with_cp,) * 4 if isinstance(with_cp, bool) else tuple(with_cp)
        if len(self.with_cp) != 4:
            raise RssegError("model.with_cp", repr(with_cp), "one bool, or four")
        self.out_channels = [256, 512, 2048, 512]
        self.strides = [4, 8, 8, 8]
        self.layer0 = convolution(in_channels, 16, kernel=7)
        self.layer1 = convolution(16, 16)
        self.layer2 = convolution(16, 32, stride=2)
        self.layer3 = bottlenecks(32, 64, 3, stride=2)
        self.layer4 = bottlenecks(256, 128, 4, stride=2)
        self.layer5 = bottlenecks(512, 256, 6, dilation=2)
        self.layer6 = bottlenecks(1024, 512, 3, dilation=4)
        # without shortcuts and with shrinking dilation: these remove the gridding
        self.layer7 = convolution(2048, 512, dilation=2)
        self.layer8 = convolution(512, 512)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.layer2(self.layer1(self.layer0(x)))
        parts = [[self.layer3], [self.layer4], [self.layer5, self.layer6], [self.layer7, self.layer8]]
        maps = []
        for i, layers in enumerate(parts):
            for layer in layers:
                recomputed = self.with_cp[i] and self.training and not x.stop_gradient
                x = checkpointed(layer, x) if recomputed else layer(x)
            maps.append(x)
        return maps


def convolution(in_channels: int, channels: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        conv(in_channels, channels, kernel, stride=stride, dilation=dilation), batch_norm(channels), nn.ReLU()
    )


def bottlenecks(in_channels: int, channels: int, depth: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A stage in which every 3×3 convolution, the first included, has the stage's dilation."""
    wide = channels * Bottleneck.expansion
    around = projection(in_channels, wide, stride, frozen_norm=False, avg_down=False)
    blocks = [Bottleneck(in_channels, channels, stride, (dilation, dilation), around, frozen_norm=False)]
    blocks += [Bottleneck(wide, channels, 1, (dilation, dilation), None, frozen_norm=False) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)
