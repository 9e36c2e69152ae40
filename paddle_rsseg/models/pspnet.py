"""PSPNet: averages over parts of the image beside the encoder's last map (Zhao et al., "Pyramid Scene Parsing
Network", CVPR 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn

from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.heads import FCNHead
from paddle_rsseg.models.layers import conv2d
from paddle_rsseg.models.pooling import PyramidPooling
from paddle_rsseg.registry import MODELS


@MODELS.register()
class PSPNet(Segmenter):
    """Image N×C×H×W of any size → logits N×K×H×W; with ``aux_head`` a second one of them while training.

    The defaults are NAIC_AI-RS's network, whose encoder is not dilated; both its outputs have the same weight in the
    loss. mmsegmentation's PSPHead with its FCNHead beside it has ``output_stride: 8``, ``channels: 512``,
    ``aux_channels: 256`` and ``align_corners: false`` on a ``ResNet101_vc``, and 0.4 for its second output.

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        backbone: name, mapping or built encoder.
        output_stride: of the encoder's last map. None: what the backbone's mapping says, else the encoder's default.
        bins: the image is averaged over this number of parts along each side.
        channels: of the fusion.
        pool_channels: of each average; None: as ``channels``.
        dropout: of whole channels, before the classifier.
        aux_head: a second output from the encoder's last map but one, while training.
        aux_channels: of its 3×3 convolution.
        align_corners: of all bilinear resizing.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet101",
        output_stride: Literal[8, 16, 32] | None = None,
        bins: Sequence[int] = (1, 2, 3, 6),
        channels: int = 256,
        pool_channels: int | None = None,
        dropout: float = 0.1,
        aux_head: bool = True,
        aux_channels: int = 512,
        align_corners: bool = True,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        self.backbone = build_backbone(
            backbone,
            in_channels=in_channels,
            output_stride=output_stride,
            with_cp=with_cp,
        )
        widths = self.backbone.out_channels
        self.num_classes, self.in_channels = num_classes, self.backbone.in_channels
        self.min_multiple, self.align_corners = max(self.backbone.strides), align_corners
        pooling = PyramidPooling(
            widths[-1], pool_channels or channels, channels, bins, dropout, align_corners, fusion_kernel=3
        )
        self.head = nn.Sequential(("pooling", pooling), ("classifier", conv2d(channels, num_classes, 1)))
        self.aux_head = FCNHead(widths[-2], num_classes, aux_channels) if aux_head else None

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.backbone(x)
        outputs = [self.head(features[-1])]
        if self.training and self.aux_head is not None:
            outputs.append(self.aux_head(features[-2]))
        return outputs
