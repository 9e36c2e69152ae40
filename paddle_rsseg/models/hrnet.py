"""HRNet for segmentation: all four maps at 1/4 of the input, side by side, and one pixel-wise head.

Sun et al., "High-Resolution Representations for Labeling Pixels and Regions", 2019. Four projects wire the same network
differently; a ``wiring`` names one of them, and each of its options can be set alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import paddle
import paddle.nn as nn

from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.backbones.hrnet import Fuse, Padding, small_weights
from paddle_rsseg.models.base import Heritage, Segmenter
from paddle_rsseg.models.heads import FCNHead
from paddle_rsseg.models.layers import resize, spatial_size
from paddle_rsseg.models.wiring import wired
from paddle_rsseg.registry import MODELS


class Wiring(NamedTuple):
    """In what the projects differ.

    Attributes:
        align_corners: of the bilinear up-sampling of the maps before they are concatenated, and of the output.
        fuse, padding: of the encoder (:class:`paddle_rsseg.models.backbones.hrnet.HRNet`).
        head_bias: bias in the convolution of HRNet's head, before its norm.
        ocr_bias: the same in OCR's auxiliary head and its 3×3 convolution.
        attention_bias: the same in OCR's attention and after it.
        dropout: of whole channels before OCR's classifier.
    """

    align_corners: bool
    fuse: Fuse
    padding: Padding
    head_bias: bool
    ocr_bias: bool
    attention_bias: bool
    dropout: float


#: HRNet/HRNet-Semantic-Segmentation (whose OCR is also NAIC_AI-RS's), Shuai-Xie/SegHZ, mmsegmentation, PaddleSeg
WIRINGS = {
    "official": Wiring(True, "corners", "symmetric", True, True, False, 0.05),
    "seghz": Wiring(True, "corners", "symmetric", False, True, False, 0.05),
    "mmseg": Wiring(False, "centres", "symmetric", False, False, False, 0.0),
    "paddleseg": Wiring(False, "centres", "same", True, True, True, 0.1),
}
WiringName = Literal["official", "seghz", "mmseg", "paddleseg"]


def concatenated(maps: Sequence[paddle.Tensor], align_corners: bool) -> paddle.Tensor:
    """All maps at the size of the first, bilinear, along the channels."""
    size = spatial_size(maps[0])
    return paddle.concat([maps[0], *[resize(x, size, align_corners) for x in maps[1:]]], axis=1)


def pixel_head(width: int, num_classes: int, bias: bool) -> FCNHead:
    """HRNet's: 1×1 convolution to as many channels, norm, ReLU, 1×1 classifier."""
    return FCNHead(width, num_classes, width, dropout=0.0, kernel=1, bias=bias, init="default")


#: How a network whose ``aux_head`` is HRNet's head starts from a trained plain HRNet: the convolution of that head has
#: a bias in some wirings, and the new main head begins at random.
FROM_PLAIN_HRNET = Heritage(
    marker=r"^head\.conv\.0\.weight$",
    rename=(r"^head\.", "aux_head."),
    zero=r"^aux_head\.conv\.0\.bias$",
    anew=r"^head\.",
)


class HRNetSegmenter(Segmenter):
    """What HRNet and its relatives share: the encoder, and its maps concatenated at 1/4 of the input.

    Attributes:
        width: channels of :meth:`features`, 15 times the encoder's.
    """

    def __init__(self, num_classes: int, in_channels: int, backbone: Any, wiring: Wiring, with_cp: Any):
        super().__init__()
        built = isinstance(backbone, nn.Layer)
        self.num_classes = num_classes
        self.align_corners = wiring.align_corners
        self.backbone = build_backbone(
            backbone,
            in_channels=None if built else in_channels,
            fuse=None if built else wiring.fuse,
            padding=None if built else wiring.padding,
            with_cp=with_cp,
        )
        self.in_channels = self.backbone.in_channels
        self.width = sum(self.backbone.out_channels)

    def features(self, x: paddle.Tensor) -> paddle.Tensor:
        return concatenated(self.backbone(x), self.align_corners)


@MODELS.register("HRNet")
class HRNet(HRNetSegmenter):
    """HRNet with the pixel-wise head.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        backbone: name, ``{"type": …}`` mapping, or an encoder that is already built.
        wiring: whose network: ``official``, ``seghz`` (no bias before the head's norm), ``mmseg`` (FCNHead of one 1×1
            convolution) or ``paddleseg`` (FCN on HRNet); needed for the same numbers from their weights.
        align_corners, fuse, padding, head_bias: single options of the wiring (:class:`Wiring`); None: as it has them.
        with_cp: recompute the encoder's activations in the backward pass.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "HRNetV2_W48",
        wiring: WiringName = "official",
        align_corners: bool | None = None,
        fuse: Fuse | None = None,
        padding: Padding | None = None,
        head_bias: bool | None = None,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        options = wired(WIRINGS, wiring, align_corners=align_corners, fuse=fuse, padding=padding, head_bias=head_bias)
        super().__init__(num_classes, in_channels, backbone, options, with_cp)
        self.head = pixel_head(self.width, num_classes, options.head_bias)
        small_weights(self.head)

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.head(self.features(x))]
