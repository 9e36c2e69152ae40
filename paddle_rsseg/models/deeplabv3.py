"""DeepLabV3: encoder and ASPP, without a decoder (Chen et al., "Rethinking Atrous Convolution for Semantic Image
Segmentation", 2017).

What the public programs differ in are arguments; a ``wiring`` names the set of arguments of one program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn

from paddle_rsseg.models.aspp import ASPP, JointASPP, conv_unit
from paddle_rsseg.models.backbones import accepts, build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.heads import FCNHead
from paddle_rsseg.models.layers import conv2d, set_momentum
from paddle_rsseg.models.wiring import wired
from paddle_rsseg.registry import MODELS

WIRINGS: dict[str, dict[str, Any]] = {
    "torchvision": {
        "encoder": {"output_stride": 8},
        "channels": 256,
        "pool_first": False,
        "joint_norm": False,
        "fusion_kernel": 1,
        "aspp_dropout": 0.5,
        "conv": True,
        "dropout": 0.0,
        "aux_head": True,
        "align_corners": False,
        "norm_momentum": None,
    },
}
# JasmineRain/NAIC_AI-RS, whose ASPP is mapillary's
WIRINGS["naic"] = {
    **WIRINGS["torchvision"],
    "encoder": {"output_stride": 16, "contract_dilation": False},
    "joint_norm": True,
    "aspp_dropout": 0.0,
    "conv": False,
    "aux_head": False,
    "align_corners": True,
    "norm_momentum": 0.99,
}
# mmsegmentation's ASPPHead with its FCNHead beside it
WIRINGS["mmseg"] = {
    **WIRINGS["torchvision"],
    "channels": 512,
    "pool_first": True,
    "fusion_kernel": 3,
    "aspp_dropout": 0.0,
    "conv": False,
    "dropout": 0.1,
}
# segmentation_models.pytorch
WIRINGS["smp"] = {
    **WIRINGS["torchvision"],
    "encoder": {"output_stride": 8, "contract_dilation": False, "dilation": "whole_stage"},
    "aux_head": False,
    "align_corners": True,
}


class DeepLabV3Head(nn.Layer):
    """N×C×h×w → N×K×h×w; for the arguments see :class:`DeepLabV3`."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        rates: Sequence[int],
        channels: int,
        pool_first: bool,
        joint_norm: bool,
        fusion_kernel: Literal[1, 3],
        aspp_dropout: float,
        conv: bool,
        dropout: float,
    ):
        super().__init__()
        if joint_norm:
            self.aspp = JointASPP(in_channels, channels, rates)
        else:
            self.aspp = ASPP(in_channels, channels, rates, pool_first, False, fusion_kernel, aspp_dropout)
        self.conv = conv_unit(channels, channels) if conv else nn.Identity()
        self.dropout = nn.Dropout2D(dropout)
        self.classifier = conv2d(channels, num_classes, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.classifier(self.dropout(self.conv(self.aspp(x))))


@MODELS.register()
class DeepLabV3(Segmenter):
    """Image N×C×H×W of any size → logits N×K×H×W; with ``aux_head`` a second one of them while training.

    ``wiring`` names a public program and stands for the values that its network has; each can be given apart. The
    encoder's arguments that come with it hold where the backbone's mapping does not say otherwise.

    =========== ============================================ ==========================================================
    wiring      program                                      its encoder
    =========== ============================================ ==========================================================
    torchvision ``deeplabv3_resnet50`` and its kin           ``ResNet50``
    naic        NAIC_AI-RS                                   ``{type: ResNet101_vc, stem_channels: 128}``
    mmseg       mmsegmentation's ASPPHead                    ``ResNet50_vc``
    smp         segmentation_models.pytorch's DeepLabV3      any
    =========== ============================================ ==========================================================

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        backbone: name, mapping or built encoder.
        wiring: the program whose values the arguments below have where they are None.
        output_stride: of the encoder's last map. None: what the backbone's mapping says, else the wiring's, which an
            encoder that has no such argument, or is already built, leaves aside.
        rates: dilations of the ASPP; None: 12, 24, 36 at stride 8 and 6, 12, 18 above.
        channels: width of the ASPP.
        pool_first: the ASPP's global mean stands first in its concatenation.
        joint_norm: the ASPP is :class:`.aspp.JointASPP`, for which ``pool_first``, ``fusion_kernel`` and
            ``aspp_dropout`` mean nothing.
        fusion_kernel: of the ASPP's last convolution.
        aspp_dropout: behind the ASPP.
        conv: one more 3×3 convolution behind it.
        dropout: of whole channels, before the classifier.
        aux_head: a second output from the encoder's last map but one, while training.
        aux_channels: of its 3×3 convolution; None: a quarter of that map's.
        align_corners: of the last up-sampling.
        norm_momentum: share of the old running statistics that an update keeps, in the encoder's BatchNorms: 0.99 in
            ``naic``, elsewhere what the encoder has; the head's keep 0.9.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.

    Raises:
        RssegError: unknown wiring.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet50",
        wiring: Literal["torchvision", "naic", "mmseg", "smp"] = "torchvision",
        output_stride: Literal[8, 16, 32] | None = None,
        rates: Sequence[int] | None = None,
        channels: int | None = None,
        pool_first: bool | None = None,
        joint_norm: bool | None = None,
        fusion_kernel: Literal[1, 3] | None = None,
        aspp_dropout: float | None = None,
        conv: bool | None = None,
        dropout: float | None = None,
        aux_head: bool | None = None,
        aux_channels: int | None = None,
        align_corners: bool | None = None,
        norm_momentum: float | None = None,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        options = wired(
            WIRINGS,
            wiring,
            channels=channels,
            pool_first=pool_first,
            joint_norm=joint_norm,
            fusion_kernel=fusion_kernel,
            aspp_dropout=aspp_dropout,
            conv=conv,
            dropout=dropout,
            aux_head=aux_head,
            align_corners=align_corners,
            norm_momentum=norm_momentum,
        )
        flavour = {key: value for key, value in options.pop("encoder").items() if accepts(backbone, key)}
        if output_stride is not None:
            flavour["output_stride"] = output_stride
        self.backbone = build_backbone(
            backbone,
            in_channels=in_channels,
            with_cp=with_cp,
            **flavour,
        )
        widths, strides = self.backbone.out_channels, self.backbone.strides
        self.num_classes, self.in_channels = num_classes, self.backbone.in_channels
        self.min_multiple, self.align_corners = max(strides), options.pop("align_corners")
        has_aux, momentum = options.pop("aux_head"), options.pop("norm_momentum")
        if momentum is not None:
            set_momentum(self.backbone, momentum)
        rates = rates or ((12, 24, 36) if strides[-1] == 8 else (6, 12, 18))
        self.head = DeepLabV3Head(widths[-1], num_classes, rates, **options)
        self.aux_head = FCNHead(widths[-2], num_classes, aux_channels or widths[-2] // 4) if has_aux else None

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.backbone(x)
        outputs = [self.head(features[-1])]
        if self.training and self.aux_head is not None:
            outputs.append(self.aux_head(features[-2]))
        return outputs
