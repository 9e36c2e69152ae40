"""DANet: attention of pixels and attention of channels side by side (Fu et al., "Dual Attention Network for Scene
Segmentation", CVPR 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn

from paddle_rsseg.models.attention import ChannelAttention, PositionAttention
from paddle_rsseg.models.backbones import accepts, build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.heads import FCNHead
from paddle_rsseg.models.layers import conv2d, conv_bn_relu
from paddle_rsseg.models.squeeze import SCSE
from paddle_rsseg.registry import MODELS


class DualAttentionHead(nn.Layer):
    """Two branches, 3×3 convolution, attention, 3×3 convolution; their sum is classified: N×C×h×w → N×K×h×w.

    Args:
        channels: of both branches.
        reduction: of the attention of pixels.
        dropout: before the classifier.
        dropout_channels: it drops whole channels.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 512,
        reduction: int = 8,
        dropout: float = 0.1,
        dropout_channels: bool = False,
    ):
        super().__init__()

        def branch(attention: nn.Layer) -> nn.Sequential:
            before = conv_bn_relu(in_channels, channels, 3, init="relu")
            return nn.Sequential(before, attention, conv_bn_relu(channels, channels, 3, init="relu"))

        self.position = branch(PositionAttention(channels, reduction))
        self.channel = branch(ChannelAttention())
        self.dropout = nn.Dropout2D(dropout) if dropout_channels else nn.Dropout(dropout)
        self.classifier = conv2d(channels, num_classes, 1)

    def branches(self, x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """The maps of pixels' and of channels' attention, each N×channels×h×w."""
        return self.position(x), self.channel(x)

    def classify(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.classifier(self.dropout(x))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        position, channel = self.branches(x)
        return self.classify(position + channel)


@MODELS.register()
class DANet(Segmenter):
    """Image N×C×H×W of any size → logits N×K×H×W; while training also those of ``branch_heads`` and ``aux_head``.

    The defaults are NAIC_AI-RS's network, which has one output. mmsegmentation's DAHead with its FCNHead beside it has
    ``branch_heads``, ``aux_head``, ``dropout_channels`` and ``align_corners: false`` on a ``ResNet101_vc``, and four
    outputs of which the last has a loss of weight 0.4.

    With ``squeeze: 4`` and a ``ResNeXt101_32x8d`` it is the SE-DANet that NAIC_AI-RS describes; theirs as published
    leaves the squeeze out and cannot run, its classifier being made for other channels.

    Memory grows with the square of the pixels of the last map, that is with the fourth power of the image's side.

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        backbone: name, mapping or built encoder.
        output_stride: of the encoder's last map. None: what the backbone's mapping says, else 8, which an encoder that
            has no such argument, or is already built, leaves aside.
        channels: of both branches.
        reduction: the attention of pixels compares vectors of ``channels / reduction``.
        squeeze: the encoder's last map first goes through :class:`.squeeze.SCSE` with this reduction. None: it does
            not.
        dropout: before the classifiers.
        dropout_channels: it drops whole channels.
        branch_heads: two more outputs while training, of the pixels' branch and of the channels'.
        aux_head: one more output while training, from the encoder's last map but one.
        aux_channels: of its 3×3 convolution.
        align_corners: of the last up-sampling.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet101",
        output_stride: Literal[8, 16, 32] | None = None,
        channels: int = 512,
        reduction: int = 8,
        squeeze: int | None = None,
        dropout: float = 0.1,
        dropout_channels: bool = False,
        branch_heads: bool = False,
        aux_head: bool = False,
        aux_channels: int = 256,
        align_corners: bool = True,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        if output_stride is None and accepts(backbone, "output_stride"):
            output_stride = 8
        self.backbone = build_backbone(
            backbone,
            in_channels=in_channels,
            output_stride=output_stride,
            with_cp=with_cp,
        )
        widths = self.backbone.out_channels
        self.num_classes, self.in_channels = num_classes, self.backbone.in_channels
        self.min_multiple, self.align_corners = max(self.backbone.strides), align_corners
        self.squeeze = SCSE(widths[-1], squeeze) if squeeze else None
        self.head = DualAttentionHead(widths[-1], num_classes, channels, reduction, dropout, dropout_channels)
        self.branch_heads = nn.LayerList(conv2d(channels, num_classes, 1) for _ in range(2)) if branch_heads else None
        self.aux_head = FCNHead(widths[-2], num_classes, aux_channels) if aux_head else None

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.backbone(x)
        coarse = features[-1] if self.squeeze is None else self.squeeze(features[-1])
        position, channel = self.head.branches(coarse)
        outputs = [self.head.classify(position + channel)]
        if self.training and self.branch_heads is not None:
            outputs += [
                self.branch_heads[0](self.head.dropout(position)),
                self.branch_heads[1](self.head.dropout(channel)),
            ]
        if self.training and self.aux_head is not None:
            outputs.append(self.aux_head(features[-2]))
        return outputs
