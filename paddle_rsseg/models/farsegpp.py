"""FarSeg++: FarSeg with pyramid pooling, a stronger relation, and an objectness branch (Zheng et al., TPAMI 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.farseg import FPN, AsymmetricDecoder, SceneRelation
from paddle_rsseg.models.layers import conv2d, conv_bn_relu, global_mean
from paddle_rsseg.models.pooling import PyramidPooling
from paddle_rsseg.registry import MODELS

Wiring = Literal["parallel", "seg_obj_cascade", "obj_seg_cascade"]


class ForegroundRelation(nn.Layer):
    """Foreground-scene relation: each level beside itself, re-encoded and weighed by its similarity to the scene.

    Args:
        scene_channels: of the scene vector.
        channels: of the pyramid's maps.
        out_channels: of the relation space and of the output.
        levels: of the pyramid.
        scale_aware: one projection of the scene for each level (True) or one for all.
        dropout: of whole channels of the output.
    """

    def __init__(
        self, scene_channels: int, channels: int, out_channels: int, levels: int, scale_aware: bool, dropout: float
    ):
        super().__init__()

        def project_scene() -> nn.Layer:
            return nn.Sequential(
                conv2d(scene_channels, out_channels, 1),
                nn.GroupNorm(32, out_channels, epsilon=1e-5),
                nn.ReLU(),
                conv2d(out_channels, out_channels, 1),
                nn.GroupNorm(32, out_channels, epsilon=1e-5),
                nn.ReLU(),
            )

        def encode() -> nn.Layer:
            return conv_bn_relu(channels, out_channels, 1, bias_attr=None)

        self.scale_aware = scale_aware
        self.scene_encoder = nn.LayerList([project_scene() for _ in range(levels)]) if scale_aware else project_scene()
        self.content_encoders = nn.LayerList([encode() for _ in range(levels)])
        self.feature_reencoders = nn.LayerList([encode() for _ in range(levels)])
        self.project = nn.LayerList([conv_bn_relu(out_channels + channels, out_channels, 1) for _ in range(levels)])
        self.dropout = nn.Dropout2D(dropout)

    def forward(self, scene: paddle.Tensor, features: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        """N×S×1×1 scene vector and N×C×h×w maps → N×C'×h×w maps."""
        shared = None if self.scale_aware else self.scene_encoder(scene)
        outputs = []
        for i, feature in enumerate(features):
            projected = self.scene_encoder[i](scene) if shared is None else shared
            relation = SceneRelation.relation(projected, self.content_encoders[i](feature))
            encoded = self.feature_reencoders[i](feature)
            both = paddle.concat([relation.astype(encoded.dtype) * encoded, feature], axis=1)
            outputs.append(self.dropout(self.project[i](both)))
        return outputs


class Branch(nn.Layer):
    """A decoder and the 3×3 classifier on its features."""

    def __init__(self, in_channels: int, channels: int, strides: Sequence[int], classes: int):
        super().__init__()
        self.decoder = AsymmetricDecoder(in_channels, channels, strides, "BatchNorm", num_groups=32)
        self.classifier = conv2d(channels, classes, 3)


@MODELS.register()
class FarSegPP(Segmenter):
    """Image N×C×H×W of any size → [logits N×K×H×W], in training also the objectness logits N×1×H×W.

    Objectness, whether a pixel belongs to any class but the background, is an auxiliary output: its loss
    (:mod:`paddle_rsseg.losses.objectness`) takes the same label. The release cannot be run as published; this follows
    its arithmetic with the line repaired that stops it.

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        backbone: name (``MiTB2``), ``{"type": name, **arguments}``, or an encoder with ``out_channels`` and
            ``strides`` that returns its maps from fine to coarse. The release's ResNet is ``{"type": "ResNet50",
            "stem": "deep"}``.
        wiring: which branch sees the other's features: none (``parallel``), objectness those of the semantic one
            (``seg_obj_cascade``, the published configuration) or the other way round (``obj_seg_cascade``).
        pool_channels: of the pyramid pooling, each average and result; None: a quarter of the last map's channels.
        fpn_out_channels: of the pyramid.
        fsr_out_channels: of the relation space.
        scale_aware_proj: one scene projection for each level; False: one for all.
        decoder_out_channels: of both decoders.
        dropout: of whole channels behind the pyramid pooling and the relation.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "MiTB2",
        wiring: Wiring = "seg_obj_cascade",
        pool_channels: int | None = None,
        fpn_out_channels: int = 256,
        fsr_out_channels: int = 256,
        scale_aware_proj: bool = True,
        decoder_out_channels: int = 128,
        dropout: float = 0.1,
    ):
        super().__init__()
        if wiring not in ("parallel", "seg_obj_cascade", "obj_seg_cascade"):
            raise RssegError("model.wiring", repr(wiring), "parallel, seg_obj_cascade or obj_seg_cascade")
        self.num_classes, self.wiring = num_classes, wiring
        self.backbone = build_backbone(backbone, in_channels=in_channels)
        self.in_channels = self.backbone.in_channels
        self.strides = list(self.backbone.strides)
        *widths, deepest = self.backbone.out_channels
        pooled = pool_channels or deepest // 4
        self.pooling = PyramidPooling(deepest, pooled, pooled, dropout=dropout)
        self.fpn = FPN([*widths, pooled], fpn_out_channels, bias=False)
        levels = len(self.strides)
        self.relation = ForegroundRelation(
            deepest, fpn_out_channels, fsr_out_channels, levels, scale_aware_proj, dropout
        )
        # the branch that sees the other's features has them as one more level, as fine as the finest
        more = [self.strides[0], *self.strides]
        self.head = Branch(
            fsr_out_channels, decoder_out_channels, more if wiring == "obj_seg_cascade" else self.strides, num_classes
        )
        self.aux_head = Branch(
            fsr_out_channels, decoder_out_channels, more if wiring == "seg_obj_cascade" else self.strides, 1
        )
        if wiring != "parallel":
            self.cascade = conv_bn_relu(decoder_out_channels, fsr_out_channels, 1)

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.backbone(x)
        scene = global_mean(features[-1])
        pyramid = self.fpn([*features[:-1], self.pooling(features[-1])], self.strides)
        levels = self.relation(scene, pyramid)
        if self.wiring == "obj_seg_cascade":
            objects = self.aux_head.decoder(levels)
            semantic = self.head.decoder([self.cascade(objects), *levels])
            logits = [self.head.classifier(semantic)]
            return [*logits, self.aux_head.classifier(objects)] if self.training else logits
        semantic = self.head.decoder(levels)
        logits = [self.head.classifier(semantic)]
        if not self.training:
            return logits
        if self.wiring == "seg_obj_cascade":
            levels = [self.cascade(semantic), *levels]
        return [*logits, self.aux_head.classifier(self.aux_head.decoder(levels))]
