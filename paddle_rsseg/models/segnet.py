"""SegNet: VGG-16 and its mirror image, which puts every value back to where the pooling took it from.

Badrinarayanan et al., "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation", TPAMI 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.backbones.vgg import VGG16BN
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import conv2d, conv_bn_relu, spatial_size
from paddle_rsseg.models.sampling import max_places, max_unpool
from paddle_rsseg.registry import MODELS


@MODELS.register("SegNet")
class SegNet(Segmenter):
    """SegNet.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        backbone: ``VGG16_bn``, by name, as ``{"type": …}`` mapping, or already built.
        tied: the decoder applies the encoder's own convolutions and norms wherever they keep the number of channels,
            as in yassouali/pytorch-segmentation and NAIC_AI-RS: 16.3 M instead of 29.4 M parameters. Its last
            convolution before the classifier then has the encoder's first norm.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.

    Raises:
        RssegError: another backbone.
    """

    min_multiple = 32

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "VGG16_bn",
        tied: bool = False,
        with_cp: bool | None = None,
    ):
        super().__init__()
        self.backbone = build_backbone(backbone, in_channels=in_channels, with_cp=with_cp)
        if not isinstance(self.backbone, VGG16BN):
            raise RssegError("model.backbone", type(self.backbone).__name__, "VGG16_bn")
        self.num_classes, self.in_channels = num_classes, self.backbone.in_channels
        self.tied = tied
        width = self.backbone.out_channels[0]
        #: of each stage, the coarsest first: mirror images of the encoder's convolutions, except those that are tied
        self.decoder = nn.LayerList()
        for stage in reversed(self.backbone.stages):
            mirrored = nn.Sequential()
            for conv, _ in reversed(units(stage)):
                # the mirror image of the very first one is the head
                if conv is not self.backbone.features[0] and not self.serves_twice(conv):
                    after, before = conv.weight.shape[:2]
                    mirrored.append(conv_bn_relu(after, before, 3, bias_attr=None, init="relu"))
            self.decoder.append(mirrored)
        self.last_conv = conv2d(width, width, 3, init="relu") if tied else None
        self.head = conv2d(width, num_classes, 3)

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features, stages = self.backbone(x), self.backbone.stages
        x = features[-1]
        for i in range(len(stages)):
            finer = features[-2 - i]
            x = max_unpool(x, max_places(finer), spatial_size(finer))
            for conv, norm in reversed(units(stages[-1 - i])):
                if self.serves_twice(conv):
                    x = F.relu(norm(conv(x)))
            x = self.decoder[i](x)
        if self.last_conv is not None:
            x = F.relu(units(stages[0])[0][1](self.last_conv(x)))
        return [self.head(x)]

    def serves_twice(self, conv: nn.Layer) -> bool:
        """Whether the decoder applies this convolution of the encoder too."""
        after, before = conv.weight.shape[:2]
        return self.tied and before == after and conv is not self.backbone.features[0]


def units(stage: nn.Sequential) -> list[tuple[nn.Layer, nn.Layer]]:
    """The stage's convolutions with their norms."""
    layers = list(stage)
    return [(layers[i], layers[i + 1]) for i in range(len(layers)) if isinstance(layers[i], nn.Conv2D)]
