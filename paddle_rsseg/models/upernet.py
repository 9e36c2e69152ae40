"""UPerNet: pyramid pooling of the coarsest map, a top-down pyramid of all, and one head on it (Xiao et al., "Unified
Perceptual Parsing for Scene Understanding", ECCV 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
import paddle.nn as nn

from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.backbones.transformer import LayerNorm, channels_first, channels_last
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.heads import FCNHead
from paddle_rsseg.models.layers import conv2d, conv_bn_relu, resize, spatial_size
from paddle_rsseg.models.pooling import PyramidPooling
from paddle_rsseg.registry import MODELS


class UPerHead(nn.Layer):
    """Maps of several strides, fine first → N×K×h×w logits at the size of the finest.

    Args:
        in_channels: of the maps.
        channels: of everything in between.
        dropout: of whole channels, before the classifier.
        norm_maps: each map first goes through a layer norm of its channels.
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, channels: int, dropout: float, norm_maps: bool):
        super().__init__()
        *fine, coarse = in_channels
        self.norms = nn.LayerList([LayerNorm(width, 1e-6) for width in in_channels]) if norm_maps else None
        self.pooling = PyramidPooling(coarse, channels, channels, dropout=0.0, fusion_kernel=3)
        self.laterals = nn.LayerList([conv_bn_relu(width, channels, 1, init="relu") for width in fine])
        self.smooth = nn.LayerList([conv_bn_relu(channels, channels, 3, init="relu") for _ in fine])
        self.fusion = conv_bn_relu(len(in_channels) * channels, channels, 3, init="relu")
        self.dropout = nn.Dropout2D(dropout)
        self.classifier = conv2d(channels, num_classes, 1)

    def forward(self, maps: Sequence[paddle.Tensor]) -> paddle.Tensor:
        if self.norms is not None:
            maps = [channels_first(self.norms[i](channels_last(x))) for i, x in enumerate(maps)]
        levels = [self.pooling(maps[-1])]
        for i in reversed(range(len(self.laterals))):
            lateral = self.laterals[i](maps[i])
            levels.insert(0, lateral + resize(levels[0], spatial_size(lateral), align_corners=False))
        levels = [self.smooth[i](x) for i, x in enumerate(levels[:-1])] + levels[-1:]
        size = spatial_size(levels[0])
        levels = [levels[0]] + [resize(x, size, align_corners=False) for x in levels[1:]]
        return self.classifier(self.dropout(self.fusion(paddle.concat(levels, axis=1))))


@MODELS.register()
class UPerNet(Segmenter):
    """Image N×C×H×W of any size → logits N×K×H×W; with ``aux_head`` a second one of them while training.

    The defaults are mmsegmentation's UPerHead with its FCNHead beside it, whose loss has the weight 0.4. That of
    segmentation_models.pytorch has ``channels: 256``, ``dropout: 0``, ``norm_maps``, ``align_corners`` and no
    auxiliary head.

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        backbone: name, mapping or built encoder.
        channels: width of the head.
        dropout: of whole channels, before the classifier.
        norm_maps: each of the encoder's maps first goes through a layer norm.
        aux_head: a second output from the encoder's last map but one, while training.
        aux_channels: of its 3×3 convolution.
        align_corners: of the last up-sampling, to the image's size; those inside the head are between half-pixel
            centres in all programs.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "SwinB",
        channels: int = 512,
        dropout: float = 0.1,
        norm_maps: bool = False,
        aux_head: bool = True,
        aux_channels: int = 256,
        align_corners: bool = False,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        self.backbone = build_backbone(backbone, in_channels=in_channels, with_cp=with_cp)
        widths = list(self.backbone.out_channels)
        self.num_classes, self.in_channels = num_classes, self.backbone.in_channels
        self.min_multiple, self.align_corners = max(self.backbone.strides), align_corners
        self.head = UPerHead(widths, num_classes, channels, dropout, norm_maps)
        self.aux_head = FCNHead(widths[-2], num_classes, aux_channels) if aux_head else None

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.backbone(x)
        outputs = [self.head(features)]
        if self.training and self.aux_head is not None:
            outputs.append(self.aux_head(features[-2]))
        return outputs
