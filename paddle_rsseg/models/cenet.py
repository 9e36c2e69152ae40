"""CE-Net: a ResNet with two blocks of context at its end and a decoder of transposed convolutions.

Gu et al., "CE-Net: Context Encoder Network for 2D Medical Image Segmentation", IEEE TMI 2019
(github.com/Guzaiwang/CE-Net).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import batch_norm, conv2d, deconv2d, resize, spatial_size
from paddle_rsseg.models.sampling import crop, max_pool
from paddle_rsseg.registry import MODELS


class DenseAtrousConv(nn.Layer):
    """DAC: a map and four chains of dilated convolutions over it, added; N×C×h×w → N×C×h×w.

    The chains see 3, 7, 9 and 19 pixels and share their convolutions: four of them serve for eight places.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.dilated1, self.dilated3, self.dilated5 = (conv2d(channels, channels, 3, dilation=d) for d in (1, 3, 5))
        self.pointwise = conv2d(channels, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        near = self.dilated1(x)
        wide = self.dilated3(near)
        branches = [self.pointwise(self.dilated3(x)), self.pointwise(wide), self.pointwise(self.dilated5(wide))]
        return x + F.relu(near) + sum(F.relu(branch) for branch in branches)


class MaxPoolingPyramid(nn.Layer):
    """RMP: maxima of windows of 2×2, 3×3, 5×5 and 6×6, each as one channel, in front of the map.

    N×C×h×w → N×(C+4)×h×w. All pass through the same 1×1 convolution. A window larger than the map is the map.
    """

    kernels = (2, 3, 5, 6)

    def __init__(self, channels: int):
        super().__init__()
        self.conv = conv2d(channels, 1, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        size = spatial_size(x)
        maxima = [resize(self.conv(max_pool(x, kernel)), size, align_corners=False) for kernel in self.kernels]
        return paddle.concat([*maxima, x], axis=1)


class DecoderBlock(nn.Layer):
    """1×1 to a quarter of the channels, transposed 3×3 to twice the size, 1×1; each with bias, BatchNorm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        inner = in_channels // 4
        self.conv1, self.norm1 = conv2d(in_channels, inner, 1), batch_norm(inner)
        self.deconv2, self.norm2 = deconv2d(inner, inner, 3, padding=1, output_padding=1), batch_norm(inner)
        self.conv3, self.norm3 = conv2d(inner, out_channels, 1), batch_norm(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.deconv2(x)))
        return F.relu(self.norm3(self.conv3(x)))


@MODELS.register("CENet")
class CENet(Segmenter):
    """CE-Net; gives logits, where the original's own output is their sigmoid.

    The original takes images of 192 pixels or more, whose map at 1/32 is as large as the largest pooling; this any.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        backbone: name, ``{"type": …}`` mapping, or an encoder that is already built, of strides 4, 8, 16 and 32.
        channels: of the last but one convolution.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet34",
        channels: int = 32,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        self.backbone = build_backbone(backbone, in_channels=in_channels, with_cp=with_cp)
        self.num_classes, self.in_channels = num_classes, self.backbone.in_channels
        self.min_multiple = max(self.backbone.strides)
        widths = self.backbone.out_channels
        self.atrous = DenseAtrousConv(widths[-1])
        self.pyramid = MaxPoolingPyramid(widths[-1])
        coarse = [widths[-1] + len(MaxPoolingPyramid.kernels), *widths[-2::-1]]
        fine = [*widths[-2::-1], widths[0]]
        self.decoder = nn.LayerList([DecoderBlock(a, b) for a, b in zip(coarse, fine, strict=True)])
        self.last_deconv = deconv2d(widths[0], channels, 4, padding=1)
        self.last_conv = conv2d(channels, channels, 3)
        self.head = conv2d(channels, num_classes, 3)

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        size = spatial_size(x)
        *finer, x = self.backbone(x)
        x = self.pyramid(self.atrous(x))
        for i in range(len(finer)):
            skip = finer[-1 - i]
            x = crop(self.decoder[i](x), spatial_size(skip)) + skip
        x = self.decoder[len(finer)](x)
        x = F.relu(crop(self.last_deconv(x), size))
        return [self.head(F.relu(self.last_conv(x)))]
