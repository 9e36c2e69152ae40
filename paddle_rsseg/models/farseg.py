"""FarSeg: foreground-aware relation network (Zheng et al., CVPR 2020).

Parameter names are those of the official release, so its weights load by a plain rename.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import batch_norm, conv2d, full_precision, global_mean, make_norm, resize, spatial_size
from paddle_rsseg.registry import MODELS


class Encoder(nn.Layer):
    """The backbone under the release's name ``en.resnet``."""

    def __init__(self, backbone: nn.Layer):
        super().__init__()
        self.resnet = backbone

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return self.resnet(x)


class FPN(nn.Layer):
    """Feature pyramid without norm or activation: maps from fine to coarse in, as many of ``out_channels`` out."""

    def __init__(self, in_channels: Sequence[int], out_channels: int, bias: bool = True):
        super().__init__()
        options: dict[str, Any] = {} if bias else {"bias_attr": False}
        for i, channels in enumerate(in_channels, 1):
            setattr(self, f"fpn_inner{i}", conv2d(channels, out_channels, 1, "xavier_like", **options))
            setattr(self, f"fpn_layer{i}", conv2d(out_channels, out_channels, 3, "xavier_like", **options))

    def forward(self, features: Sequence[paddle.Tensor], strides: Sequence[int]) -> list[paddle.Tensor]:
        top = None
        outputs: list[paddle.Tensor] = []
        for i in reversed(range(len(features))):
            lateral = getattr(self, f"fpn_inner{i + 1}")(features[i])
            if top is not None:
                if strides[i] != strides[i + 1]:
                    # to the exact size: ×2 where sizes are even, cut at the border where the finer map is odd
                    top = F.interpolate(top, size=spatial_size(lateral), mode="nearest")
                lateral = lateral + top
            top = lateral
            outputs.append(getattr(self, f"fpn_layer{i + 1}")(top))
        return outputs[::-1]


class SceneRelation(nn.Layer):
    """Foreground-scene relation: each level is re-encoded and weighed by its similarity to the whole scene.

    Args:
        scene_channels: of the scene vector.
        channels: of the pyramid's maps.
        out_channels: of the relation space and of the output.
        levels: of the pyramid.
        scale_aware: one projection of the scene for each level (True) or one for all.
    """

    def __init__(self, scene_channels: int, channels: int, out_channels: int, levels: int, scale_aware: bool):
        super().__init__()

        def project_scene() -> nn.Layer:
            return nn.Sequential(
                conv2d(scene_channels, out_channels, 1), nn.ReLU(), conv2d(out_channels, out_channels, 1)
            )

        def encode() -> nn.Layer:
            return nn.Sequential(conv2d(channels, out_channels, 1), batch_norm(out_channels), nn.ReLU())

        self.scale_aware = scale_aware
        self.scene_encoder = nn.LayerList([project_scene() for _ in range(levels)]) if scale_aware else project_scene()
        self.content_encoders = nn.LayerList([encode() for _ in range(levels)])
        self.feature_reencoders = nn.LayerList([encode() for _ in range(levels)])

    def forward(self, scene: paddle.Tensor, features: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        """N×S×1×1 scene vector and N×C×h×w maps → N×C'×h×w maps."""
        levels = len(features)
        scenes = (
            [encode(scene) for encode in self.scene_encoder]
            if self.scale_aware
            else [self.scene_encoder(scene)] * levels
        )
        outputs = []
        for i, feature in enumerate(features):
            relation = self.relation(scenes[i], self.content_encoders[i](feature))
            encoded = self.feature_reencoders[i](feature)
            product = relation.astype(encoded.dtype) * encoded
            # no factor is negative, so a ReLU changes nothing; but with one Paddle Inference computes the product in
            # the layout of its convolutions, and saves copying a map of 256 channels there and back
            outputs.append(product if self.training else F.relu(product))
        return outputs

    @staticmethod
    def relation(scene: paddle.Tensor, content: paddle.Tensor) -> paddle.Tensor:
        """sigmoid(⟨scene, content⟩), N×1×h×w.

        The sum over 256 channels is not scaled by their number and overflows float16, so it stays in float32. As a
        product of matrices it needs no N×256×h×w intermediate.
        """
        with paddle.amp.auto_cast(enable=False):
            scene, content = full_precision(scene), full_precision(content)
            size = spatial_size(content)
            products = paddle.matmul(scene.flatten(1).unsqueeze(1), content.flatten(2))
            return F.sigmoid(products.reshape([-1, 1, size[0], size[1]]))


class AsymmetricDecoder(nn.Layer):
    """Every level through 3×3 convolutions and ×2 up-samplings to the finest one's size; their mean.

    Args:
        strides: of the levels, from fine to coarse; a coarse level passes through the sizes of the finer ones.
    """

    def __init__(self, in_channels: int, out_channels: int, strides: Sequence[int], norm: str, num_groups: int):
        super().__init__()
        self.paths = [resolutions_up(stride, strides) for stride in strides]
        self.blocks = nn.LayerList()
        for path in self.paths:
            units = [
                nn.Sequential(
                    conv2d(in_channels if j == 0 else out_channels, out_channels, 3, bias_attr=False),
                    make_norm(norm, out_channels, num_groups),
                    nn.ReLU(),
                )
                for j in range(max(len(path), 1))
            ]
            self.blocks.append(nn.Sequential(*units))

    def forward(self, features: Sequence[paddle.Tensor]) -> paddle.Tensor:
        fine: Any = None
        coarse: Any = None
        for i, path in enumerate(self.paths):
            x = features[i]
            for j, unit in enumerate(self.blocks[i]):
                x = unit(x)
                if j + 1 < len(path):
                    x = resize(x, spatial_size(features[path[j]]))
            if path:
                coarse = x if coarse is None else coarse + x
            else:
                fine = x if fine is None else fine + x
        # the last step up is linear and the same for all coarser levels: their sum takes it, once
        if coarse is not None:
            fine = fine + resize(coarse, spatial_size(features[0]))
        return fine / len(self.paths)


def resolutions_up(stride: int, strides: Sequence[int]) -> list[int]:
    """Indices of the levels whose sizes a map of ``stride`` takes on its way to ``strides[0]``, halving each time."""
    path = []
    while stride > strides[0]:
        stride //= 2
        if stride not in strides:
            raise RssegError("model.backbone", f"strides {list(strides)}", "a map for every power of two between them")
        path.append(list(strides).index(stride))
    return path


@MODELS.register()
class FarSeg(Segmenter):
    """Image N×C×H×W of any size → [logits N×K×H×W].

    For sizes that are not multiples of 32 every up-sampling goes to the exact size of the finer map; for multiples
    of 32 that is the ×2 of the paper.

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        backbone: name (``ResNet18/34/50/101``), ``{"type": name, **arguments}``, or an encoder with ``out_channels``
            and ``strides`` that returns its maps from fine to coarse.
        fpn_out_channels: of the pyramid.
        fsr_out_channels: of the relation space.
        scale_aware_proj: one scene projection for each level; False: one for all.
        scene_relation: False leaves the relation out: the paper's FPN baseline.
        decoder_out_channels: of the decoder.
        norm: of the decoder, ``BatchNorm`` or ``GroupNorm`` of ``num_groups`` groups.
        output_stride, freeze_at, batchnorm_trainable, with_cp: of the backbone
            (:class:`paddle_rsseg.models.backbones.resnet.ResNet`); None: as the backbone has it.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet50",
        fpn_out_channels: int = 256,
        fsr_out_channels: int = 256,
        scale_aware_proj: bool = True,
        scene_relation: bool = True,
        decoder_out_channels: int = 128,
        norm: Literal["BatchNorm", "GroupNorm"] = "BatchNorm",
        num_groups: int = 32,
        output_stride: Literal[8, 16, 32] | None = None,
        freeze_at: Literal[0, 1, 2, 3, 4, 5] | None = None,
        batchnorm_trainable: bool | None = None,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        self.num_classes = num_classes
        encoder = build_backbone(
            backbone,
            in_channels=in_channels,
            output_stride=output_stride,
            freeze_at=freeze_at,
            batchnorm_trainable=batchnorm_trainable,
            with_cp=with_cp,
        )
        self.in_channels = encoder.in_channels
        self.strides = list(encoder.strides)
        levels = len(self.strides)
        self.en = Encoder(encoder)
        self.fpn = FPN(encoder.out_channels, fpn_out_channels)
        features = fsr_out_channels if scene_relation else fpn_out_channels
        self.decoder = AsymmetricDecoder(features, decoder_out_channels, self.strides, norm, num_groups)
        self.cls_pred_conv = conv2d(decoder_out_channels, num_classes, 1)
        self.sr = None
        if scene_relation:
            scene_channels = encoder.out_channels[-1]
            self.sr = SceneRelation(scene_channels, fpn_out_channels, fsr_out_channels, levels, scale_aware_proj)

    @property
    def backbone(self) -> nn.Layer:
        """The encoder without the release's name around it."""
        return self.en.resnet

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.en(x)
        pyramid = self.fpn(features, self.strides)
        if self.sr is not None:
            pyramid = self.sr(global_mean(features[-1]), pyramid)
        return [self.cls_pred_conv(self.decoder(pyramid))]
