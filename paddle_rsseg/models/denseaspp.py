"""DenseASPP: densely connected dilated convolutions on an encoder of stride 16, or 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn

from paddle_rsseg.models import aspp
from paddle_rsseg.models.backbones import accepts, build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import conv2d, set_momentum
from paddle_rsseg.registry import MODELS

#: PSPNet's ResNet-101 with a stem of three convolutions and 128 channels, whose dilated stage dilates throughout
DEEP_STEM: Mapping[str, Any] = {"type": "ResNet101_vc", "stem_channels": 128, "contract_dilation": False}


@MODELS.register()
class DenseASPP(Segmenter):
    """Image N×C×H×W of any size → logits N×K×H×W; NAIC_AI-RS's network.

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        backbone: name, mapping or built encoder.
        output_stride: of the encoder's last map. None: what the backbone's mapping says, else 16, which an encoder
            that has no such argument, or is already built, leaves aside.
        rates: dilations of the blocks, in their order.
        hidden, growth: channels inside a block, and those that it adds.
        dropout: behind each block, and before the classifier.
        norm_momentum: share of the old running statistics that an update keeps, in the encoder's BatchNorms; the head's
            keep 0.9.
        align_corners: of the last up-sampling.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = DEEP_STEM,
        output_stride: Literal[8, 16, 32] | None = None,
        rates: Sequence[int] = (3, 6, 12, 18, 24),
        hidden: int = 256,
        growth: int = 64,
        dropout: float = 0.1,
        norm_momentum: float = 0.99,
        align_corners: bool = True,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        if output_stride is None and accepts(backbone, "output_stride"):
            output_stride = 16
        self.backbone = build_backbone(
            backbone,
            in_channels=in_channels,
            output_stride=output_stride,
            with_cp=with_cp,
        )
        set_momentum(self.backbone, norm_momentum)
        self.num_classes, self.in_channels = num_classes, self.backbone.in_channels
        self.min_multiple, self.align_corners = max(self.backbone.strides), align_corners
        dense = aspp.DenseASPP(self.backbone.out_channels[-1], rates, hidden, growth, dropout)
        classifier = conv2d(dense.out_channels, num_classes, 1)
        self.head = nn.Sequential(("aspp", dense), ("dropout", nn.Dropout(dropout)), ("classifier", classifier))

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.head(self.backbone(x)[-1])]
