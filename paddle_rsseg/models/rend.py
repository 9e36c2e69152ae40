"""NAIC_AI-RS's two networks with point heads: RendDANet and RendUNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones import accepts, build_backbone
from paddle_rsseg.models.danet import DANet
from paddle_rsseg.models.layers import conv2d, conv_bn_relu, resize, spatial_size
from paddle_rsseg.models.point_rend import PointRend, PointSegmenter
from paddle_rsseg.models.points import PointHead, fraction
from paddle_rsseg.models.squeeze import SCSE
from paddle_rsseg.registry import MODELS

#: where the original differs from detectron2; see :class:`.points.PointHead`
NAIC: dict[str, Any] = {"coarse_each_layer": False, "align_corners": True, "coarse": "last"}


@MODELS.register()
class RendDANet(PointRend):
    """DANet refined by points that see the map of ``layer2``, also at 1/8 of the image.

    Outputs as those of :class:`.PointRend`; the losses are a CrossEntropyLoss and ``{type: PointLoss, sampling:
    bilinear}``. The original trains it in two steps: a DANet, then, with ``freeze`` and ``pretrained``, the point head
    alone. There the frozen DANet's norms still follow the batches, here they rest; there
    the point head is made for 15 classes, here for any number.

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        backbone, output_stride, channels, reduction, dropout, with_cp: of the DANet (:class:`.DANet`).
        point_channels: of the point head's hidden layers.
        points, oversample, importance, refined: of the point head.
        centres: True: refined pixels lie half a pixel beside the place where the maps are sampled for them, as in the
            original; trained weights serve both.
        freeze: see :class:`.PointRend`.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet101",
        output_stride: Literal[8, 16, 32] | None = None,
        channels: int = 512,
        reduction: int = 8,
        dropout: float = 0.1,
        point_channels: int = 256,
        points: int = 2048,
        oversample: float = 3,
        importance: float = 0.85,
        refined: int = 512,
        centres: bool = False,
        freeze: bool = False,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        danet = DANet(
            num_classes,
            in_channels,
            backbone,
            output_stride,
            channels,
            reduction,
            dropout=dropout,
            with_cp=with_cp,
        )
        super().__init__(
            danet,
            features=(list(danet.backbone.strides).index(8),),
            steps=int(danet.backbone.strides[-1]).bit_length() - 1,
            channels=point_channels,
            bias=False,
            points=points,
            oversample=oversample,
            importance=importance,
            refined=refined,
            centres=centres,
            freeze=freeze,
            **NAIC,
        )


@MODELS.register()
class RendUNet(PointSegmenter):
    """A squeezed ResNet map at 1/8, classified and refined by one point head at each of 1/4, 1/2 and 1 of the image.

    No U-Net in spite of its name. The heads see ``layer1``, the stem and two convolutions of the image itself. (The
    original holds two more heads, which nothing uses.) In training four outputs: logits, and the points' of the three
    heads; the losses are a CrossEntropyLoss and three times ``{type: PointLoss}``.

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        backbone: name or mapping of an encoder that gives maps of stride 2, 4 and 8, the last of stride 8; ResNets do
            so with ``output_stride: 8`` and ``finest_stride: 2``, which are the defaults for those that have them.
        squeeze: reduction of the encoder's last map's :class:`.squeeze.SCSE`.
        dropout: of whole channels before the classifier.
        channels: of the two convolutions of the image.
        point_channels, points, oversample, importance, refined, centres: of each point head, as in RendDANet.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.

    Raises:
        RssegError: an encoder with other strides.
    """

    point_outputs = 3

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet101",
        squeeze: int = 4,
        dropout: float = 0.1,
        channels: int = 64,
        point_channels: int = 256,
        points: int = 2048,
        oversample: float = 3,
        importance: float = 0.75,
        refined: int = 512,
        centres: bool = False,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        wanted = {"output_stride": 8, "finest_stride": 2}
        self.backbone = build_backbone(
            backbone,
            in_channels=in_channels,
            with_cp=with_cp,
            **{key: value for key, value in wanted.items() if accepts(backbone, key)},
        )
        widths, strides = list(self.backbone.out_channels), list(self.backbone.strides)
        if strides[:2] != [2, 4] or strides[-1] != 8:
            raise RssegError("model.backbone", f"maps of strides {strides}", "2, 4 and then 8 to the last")
        self.num_classes, self.in_channels, self.min_multiple = num_classes, self.backbone.in_channels, 8
        self.image = nn.Sequential(
            conv_bn_relu(self.in_channels, channels, 3, init="relu"),
            conv_bn_relu(channels, channels, 3, init="relu"),
        )
        self.squeeze = SCSE(widths[-1], squeeze)
        self.dropout = nn.Dropout2D(dropout)
        self.head = conv2d(widths[-1], num_classes, 1)
        self.point_heads = nn.LayerList(
            PointHead(
                width,
                num_classes,
                point_channels,
                points=points,
                oversample=oversample,
                importance=importance,
                refined=refined,
                centres=centres,
                **NAIC,
            )
            for width in (widths[1], widths[0], channels)
        )

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        stem, layer1, *_, last = self.backbone(x)
        coarse = logits = self.head(self.dropout(self.squeeze(last)))
        outputs = [coarse]
        fine = (layer1, stem, self.image(x))
        for i, head in enumerate(self.point_heads):
            size = fraction(spatial_size(x), 4 // 2**i)
            if self.training:
                logits = resize(logits, size, self.align_corners)
                outputs.append(head.train_output(logits, [fine[i]], spatial_size(x)))
            else:
                logits = head.refine(logits, coarse, [fine[i]], size)
        return outputs if self.training else [logits]
