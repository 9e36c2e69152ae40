"""scSE-UNet: a ResNet with the decoder of a U-Net, whose maps are squeezed and excited by channel and by pixel.

NAIC_AI-RS's network; the squeeze is that of Roy et al., MICCAI 2018 (:mod:`paddle_rsseg.models.squeeze`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import paddle
import paddle.nn as nn

from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import conv2d, global_mean, spatial_size
from paddle_rsseg.models.squeeze import SCSE
from paddle_rsseg.models.unet import UpConv, double_conv
from paddle_rsseg.registry import MODELS


@MODELS.register("SCSEUNet")
class SCSEUNet(Segmenter):
    """scSE-UNet.

    The original lays the mean of the deepest map over 8×8 pixels whatever the map's size, so that it takes images of
    256 pixels only; here it is laid over the map.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        backbone: name, ``{"type": …}`` mapping, or an encoder that is already built.
        reduction: of the squeezes by channel.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet34",
        reduction: int = 2,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        self.backbone = build_backbone(backbone, in_channels=in_channels, with_cp=with_cp)
        self.num_classes, self.in_channels = num_classes, self.backbone.in_channels
        self.min_multiple = max(self.backbone.strides)
        widths = self.backbone.out_channels
        self.squeezes = nn.LayerList([SCSE(width, reduction) for width in widths])
        self.bottleneck = double_conv(2 * widths[-1], widths[-1])
        steps = list(pairwise(reversed(widths)))
        self.ups = nn.LayerList([UpConv(coarse, fine, "bilinear") for coarse, fine in steps])
        self.decoder = nn.LayerList([double_conv(2 * fine, fine) for _, fine in steps])
        self.head = conv2d(widths[0], num_classes, 1)

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.backbone(x)
        *skips, deepest = [self.squeezes[i](features[i]) for i in range(len(features))]
        mean = global_mean(features[-1]) + paddle.zeros_like(features[-1])
        x = self.bottleneck(paddle.concat([mean, deepest], axis=1))
        for i in range(len(self.ups)):
            skip = skips[-1 - i]
            x = self.ups[i](x, spatial_size(skip))
            x = self.decoder[i](paddle.concat([x, skip], axis=1))
        return [self.head(x)]
