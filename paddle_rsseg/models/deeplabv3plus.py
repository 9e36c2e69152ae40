"""DeepLabV3+: encoder, ASPP and a decoder that adds the detail of a finer map (Chen et al., ECCV 2018).

The public programs agree on this plan and on little else, so what they differ in are arguments, and a ``wiring``
names the set of arguments of one program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.aspp import ASPP, Between, conv_unit
from paddle_rsseg.models.backbones import accepts, build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.heads import FCNHead
from paddle_rsseg.models.layers import conv2d, resize, spatial_size
from paddle_rsseg.models.wiring import wired
from paddle_rsseg.registry import MODELS

#: stride of the map whose detail the decoder adds
LOW_LEVEL = 4

#: what all wirings but those that say otherwise have
COMMON: dict[str, Any] = {
    "output_stride": 16,
    "encoder": {},
    "channels": 256,
    "low_level_channels": 48,
    "pool_first": False,
    "separable": False,
    "fusion_kernel": 1,
    "aspp_conv": False,
    "decoder_convs": 2,
    "aspp_dropout": 0.5,
    "decoder_dropout": (0.0, 0.0),
    "dropout_channels": False,
    "bias": False,
    "aux_head": False,
    "aux_channels": 256,
    "align_corners": True,
}

WIRINGS: dict[str, dict[str, Any]] = {
    # jfzhang95/pytorch-deeplab-xception, and SegHZ after it
    "jfzhang95": {**COMMON, "decoder_dropout": (0.5, 0.1)},
    # JasmineRain/NAIC_AI-RS
    "naic": {**COMMON, "encoder": {"contract_dilation": False}, "pool_first": True, "aspp_dropout": 0.1},
    # mmsegmentation's DepthwiseSeparableASPPHead with its FCNHead beside it
    "mmseg": {
        **COMMON,
        "output_stride": 8,
        "channels": 512,
        "pool_first": True,
        "separable": "norm_relu",
        "fusion_kernel": 3,
        "aspp_dropout": 0.0,
        "decoder_dropout": (0.0, 0.1),
        "dropout_channels": True,
        "aux_head": True,
        "align_corners": False,
    },
    # PaddleSeg 2.8's DeepLabV3P
    "paddleseg": {
        **COMMON,
        "output_stride": 8,
        "encoder": {"contract_dilation": False, "dilation": "whole_stage"},
        "separable": "norm",
        "aspp_dropout": 0.1,
        "bias": True,
        "align_corners": False,
    },
    # segmentation_models.pytorch's DeepLabV3Plus
    "smp": {
        **COMMON,
        "encoder": {"contract_dilation": False, "dilation": "whole_stage"},
        "rates": (12, 24, 36),
        "separable": "nothing",
        "aspp_conv": True,
        "decoder_convs": 1,
    },
}


class DeepLabV3PlusHead(nn.Layer):
    """ASPP of the coarse map, brought to the size of the fine one and fused with it.

    Args:
        in_channels: of the fine and of the coarse map.
        others: see :class:`DeepLabV3Plus`.
    """

    def __init__(
        self,
        in_channels: tuple[int, int],
        num_classes: int,
        channels: int,
        low_level_channels: int,
        rates: Sequence[int],
        pool_first: bool,
        separable: Between | Literal[False],
        fusion_kernel: Literal[1, 3],
        aspp_conv: bool,
        decoder_convs: int,
        aspp_dropout: float,
        decoder_dropout: Sequence[float],
        dropout_channels: bool,
        bias: bool,
        align_corners: bool,
    ):
        super().__init__()
        fine, coarse = in_channels
        self.align_corners = align_corners
        self.aspp = ASPP(coarse, channels, rates, pool_first, separable, fusion_kernel, aspp_dropout, bias)
        self.aspp_conv = conv_unit(channels, channels, separable=separable, bias=bias) if aspp_conv else None
        self.low_level = conv_unit(fine, low_level_channels, 1, bias=bias)
        self.convs = nn.LayerList(
            conv_unit(channels + (0 if i else low_level_channels), channels, separable=separable, bias=bias)
            for i in range(decoder_convs)
        )
        dropout = nn.Dropout2D if dropout_channels else nn.Dropout
        self.dropouts = nn.LayerList(dropout(rate) for rate in decoder_dropout[:decoder_convs])
        self.classifier = conv2d(channels, num_classes, 1)

    def forward(self, fine: paddle.Tensor, coarse: paddle.Tensor) -> paddle.Tensor:
        x = self.aspp(coarse)
        if self.aspp_conv is not None:
            x = self.aspp_conv(x)
        x = resize(x, spatial_size(fine), self.align_corners)
        x = paddle.concat([x, self.low_level(fine)], axis=1)
        for i, conv in enumerate(self.convs):  # not zip(strict=True), which Paddle cannot trace
            x = self.dropouts[i](conv(x))
        return self.classifier(x)


@MODELS.register()
class DeepLabV3Plus(Segmenter):
    """Image N×C×H×W of any size → logits N×K×H×W; with ``aux_head`` a second one of them while training.

    ``wiring`` names a public program and stands for the values that its network has; each can be given apart. Its
    weights give its numbers where the encoder, too, is as that program has it. Arguments of the encoder that all its
    encoders share come with the wiring, where the backbone's mapping does not say otherwise; others are to be given:

    ========== ============================================= ===========================================================
    wiring     program                                       the encoder's arguments
    ========== ============================================= ===========================================================
    jfzhang95  pytorch-deeplab-xception, SegHZ               ResNet: ``multi_grid: [1, 2, 4]``; MobileNetV2:
                                                             ``dilation: next_stage``, ``zeros: block``
    naic       NAIC_AI-RS                                    ResNeSt: ``output_stride: 8``, ``contract_dilation: true``,
                                                             and here ``rates: [6, 12, 18]``
    mmseg      mmsegmentation's DepthwiseSeparableASPPHead   ResNeSt: ``pool_dilated: false``
    paddleseg  PaddleSeg 2.8's DeepLabV3P                    ``multi_grid`` as in its configuration
    smp        segmentation_models.pytorch's DeepLabV3Plus   MobileNetV2: ``last_conv: true``
    ========== ============================================= ===========================================================

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        backbone: name, mapping or built encoder, with a map of stride 4.
        wiring: the program whose values the arguments below have where they are None.
        output_stride: of the encoder's last map. None: what the backbone's mapping says, else the wiring's, which an
            encoder that has no such argument, or is already built, leaves aside.
        rates: dilations of the ASPP; None: those of the wiring, else 12, 24, 36 at stride 8 and 6, 12, 18 above.
        channels: width of the ASPP and the decoder.
        low_level_channels: to which the map of stride 4 is reduced.
        pool_first: the ASPP's global mean stands first in its concatenation.
        separable: the 3×3 convolutions of the head are depthwise separable, with ``nothing``, a BatchNorm (``norm``)
            or BatchNorm and ReLU (``norm_relu``) between the halves; ``False``: they are not.
        fusion_kernel: of the ASPP's last convolution.
        aspp_conv: one more 3×3 behind the ASPP.
        decoder_convs: 3×3 convolutions after the two maps are joined.
        aspp_dropout: behind the ASPP.
        decoder_dropout: behind each convolution of the decoder.
        dropout_channels: the decoder's dropout drops whole channels.
        bias: the head's convolutions have one although a BatchNorm follows (but for the global mean's).
        aux_head: a second output from the encoder's last map but one, while training.
        aux_channels: of its 3×3 convolution.
        align_corners: of all bilinear resizing.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.

    Raises:
        RssegError: unknown wiring, or an encoder without a map of stride 4.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet50",
        wiring: Literal["jfzhang95", "naic", "mmseg", "paddleseg", "smp"] = "jfzhang95",
        output_stride: Literal[8, 16, 32] | None = None,
        rates: Sequence[int] | None = None,
        channels: int | None = None,
        low_level_channels: int | None = None,
        pool_first: bool | None = None,
        separable: Between | Literal[False] | None = None,
        fusion_kernel: Literal[1, 3] | None = None,
        aspp_conv: bool | None = None,
        decoder_convs: Literal[1, 2] | None = None,
        aspp_dropout: float | None = None,
        decoder_dropout: Sequence[float] | None = None,
        dropout_channels: bool | None = None,
        bias: bool | None = None,
        aux_head: bool | None = None,
        aux_channels: int | None = None,
        align_corners: bool | None = None,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        options = wired(
            WIRINGS,
            wiring,
            output_stride=output_stride,
            rates=rates,
            channels=channels,
            low_level_channels=low_level_channels,
            pool_first=pool_first,
            separable=separable,
            fusion_kernel=fusion_kernel,
            aspp_conv=aspp_conv,
            decoder_convs=decoder_convs,
            aspp_dropout=aspp_dropout,
            decoder_dropout=decoder_dropout,
            dropout_channels=dropout_channels,
            bias=bias,
            aux_head=aux_head,
            aux_channels=aux_channels,
            align_corners=align_corners,
        )
        stride, has_aux, aux_channels = (options.pop(key) for key in ("output_stride", "aux_head", "aux_channels"))
        flavour = {key: value for key, value in options.pop("encoder").items() if accepts(backbone, key)}
        if output_stride is None and not accepts(backbone, "output_stride"):
            stride = None
        self.backbone = build_backbone(
            backbone,
            in_channels=in_channels,
            output_stride=stride,
            with_cp=with_cp,
            **flavour,
        )
        widths, strides = list(self.backbone.out_channels), list(self.backbone.strides)
        if LOW_LEVEL not in strides[:-1]:
            raise RssegError("model.backbone", f"maps of strides {strides}", f"one of stride {LOW_LEVEL} and a coarser")
        self.num_classes, self.in_channels = num_classes, self.backbone.in_channels
        self.min_multiple, self.align_corners = max(strides), options["align_corners"]
        self.low_level = max(i for i, stride in enumerate(strides) if stride == LOW_LEVEL)
        options.setdefault("rates", (12, 24, 36) if strides[-1] == 8 else (6, 12, 18))
        self.head = DeepLabV3PlusHead((widths[self.low_level], widths[-1]), num_classes, **options)
        self.aux_head = FCNHead(widths[-2], num_classes, aux_channels) if has_aux else None

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.backbone(x)
        outputs = [self.head(features[self.low_level], features[-1])]
        if self.training and self.aux_head is not None:
            outputs.append(self.aux_head(features[-2]))
        return outputs
