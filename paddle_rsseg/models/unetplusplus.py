"""U-Net++: between the two sides of a U-Net lies a triangle of nodes, each fed by all before it on its level.

Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import paddle
import paddle.nn as nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import conv2d, spatial_size
from paddle_rsseg.models.unet import Deconv, UpResize, descend, double_conv
from paddle_rsseg.models.wiring import wired
from paddle_rsseg.registry import MODELS


class Wiring(NamedTuple):
    """In what the projects differ.

    Attributes:
        widths: channels of the levels, the finest first.
        up: ``bilinear``: the coarser map as it is; ``bilinear_conv``: then a 1×1 convolution to the finer map's
            channels; ``deconv``: a transposed 2×2 convolution to them.
        align_corners: of the bilinear up-sampling.
        coarse_first: the coarser map is in front of the finer ones in their concatenation.
        node_norm: BatchNorm in the nodes' convolutions; the encoder's always have it.
        heads: ``one``: on the last node of the finest level; ``four``: one on each, auxiliary outputs in training;
            ``mean``: one on each, whose mean is the output.
    """

    widths: Sequence[int]
    up: Literal["bilinear", "bilinear_conv", "deconv"]
    align_corners: bool
    coarse_first: bool
    node_norm: bool
    heads: Literal["one", "four", "mean"]


#: PaddleSeg; 4uiiurz1/pytorch-nested-unet, with twice its widths in NAIC_AI-RS; UNet_Nested of ZJUGiveLab/UNet-Version
WIRINGS = {
    "paddleseg": Wiring((32, 64, 128, 256, 512), "bilinear_conv", False, True, True, "mean"),
    "naic": Wiring((64, 128, 256, 512, 1024), "bilinear", False, False, True, "one"),
    "nested": Wiring((32, 64, 128, 256, 512), "deconv", False, True, False, "mean"),
}


def plain_double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3×3 convolutions with ReLU."""
    first = conv2d(in_channels, out_channels, 3, init="relu")
    second = conv2d(out_channels, out_channels, 3, init="relu")
    return nn.Sequential(nn.Sequential(first, nn.ReLU()), nn.Sequential(second, nn.ReLU()))


class Node(nn.Layer):
    """Maps of one level and the map below them → a map of the level.

    Args:
        coarse: channels of the map below.
        channels: of the level.
        count: maps of the level.
    """

    def __init__(self, coarse: int, channels: int, count: int, wiring: Wiring):
        super().__init__()
        self.coarse_first = wiring.coarse_first
        if wiring.up == "deconv":
            self.up, coarse = Deconv(coarse, channels), channels
        else:
            self.up = UpResize(wiring.align_corners)
        self.narrow = None
        if wiring.up == "bilinear_conv":
            self.narrow, coarse = conv2d(coarse, channels, 1), channels
        block = double_conv if wiring.node_norm else plain_double_conv
        self.block = block(coarse + count * channels, channels)

    def forward(self, coarse: paddle.Tensor, maps: list[paddle.Tensor]) -> paddle.Tensor:
        if self.narrow is not None:  # before the up-sampling: the same numbers in a quarter of the time
            coarse = self.narrow(coarse)
        coarse = self.up(coarse, spatial_size(maps[0]))
        return self.block(paddle.concat([coarse, *maps] if self.coarse_first else [*maps, coarse], axis=1))


@MODELS.register("UNetPlusPlus")
class UNetPlusPlus(Segmenter):
    """U-Net++ with plain convolutions as its encoder.

    With ``heads`` "four" the auxiliary outputs in training are those of the earlier nodes, the last but one first;
    give each a loss.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        wiring: whose network: ``paddleseg`` (8.4 M parameters), ``naic`` (36.6 M) or ``nested`` (UNet_Nested, 9.0 M).
        widths: channels of the levels, the finest first; as many levels as there are numbers.
        use_deconv: PaddleSeg's option: transposed convolutions instead of bilinear up-sampling.
        align_corners, heads: single options of the wiring (:class:`Wiring`); None: as it has them.

    Raises:
        RssegError: unknown wiring or heads, fewer than two widths.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        wiring: Literal["paddleseg", "naic", "nested"] = "paddleseg",
        widths: Sequence[int] | None = None,
        use_deconv: bool = False,
        align_corners: bool | None = None,
        heads: Literal["one", "four", "mean"] | None = None,
    ):
        super().__init__()
        if heads not in (None, "one", "four", "mean"):
            raise RssegError("model.heads", repr(heads), "one, four or mean")
        up = "deconv" if use_deconv else None
        options = wired(WIRINGS, wiring, widths=widths, up=up, align_corners=align_corners, heads=heads)
        channels = list(options.widths)
        if len(channels) < 2:
            raise RssegError("model.widths", repr(widths), "channels of two levels or more")
        self.num_classes, self.in_channels = num_classes, in_channels
        self.min_multiple = 2 ** (len(channels) - 1)
        self.mean_of_heads = options.heads == "mean"
        before = [in_channels, *channels[:-1]]
        self.encoder = nn.LayerList([double_conv(a, b) for a, b in zip(before, channels, strict=True)])
        #: nodes[j - 1][i] is X(i, j): level i, counted from the finest, j-th after the encoder's
        self.nodes = nn.LayerList()
        for j in range(1, len(channels)):
            column = [Node(channels[i + 1], channels[i], j, options) for i in range(len(channels) - j)]
            self.nodes.append(nn.LayerList(column))
        self.head = conv2d(channels[0], num_classes, 1)
        earlier = 0 if options.heads == "one" else len(channels) - 2
        self.aux_heads = nn.LayerList([conv2d(channels[0], num_classes, 1) for _ in range(earlier)])

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        levels = [[level] for level in descend(self.encoder, x)]
        for column in self.nodes:
            for i in range(len(column)):
                levels[i].append(column[i](levels[i + 1][-1], levels[i]))
        last, earlier = levels[0][-1], levels[0][-2:0:-1]
        logits = [self.head(last)]
        if self.mean_of_heads or self.training:
            logits += [self.aux_heads[i](earlier[i]) for i in range(len(self.aux_heads))]
        return [sum(logits[1:], logits[0]) / len(logits)] if self.mean_of_heads else logits
