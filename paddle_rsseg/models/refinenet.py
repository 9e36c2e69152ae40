"""RefineNet: from coarse to fine, each map of the encoder is joined to what came of the coarser ones (Lin et al.,
"RefineNet: Multi-Path Refinement Networks for High-Resolution Semantic Segmentation", CVPR 2017).

The public programs agree on the blocks and differ in their number; a ``wiring`` names the numbers of one program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.models.backbones import accepts, build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import conv2d, resize, set_momentum, spatial_size
from paddle_rsseg.models.wiring import wired
from paddle_rsseg.registry import MODELS

WIRINGS: dict[str, dict[str, Any]] = {
    # DrSleep/refinenet-pytorch, and NAIC_AI-RS after it
    "drsleep": {
        "encoder": {},
        "path_units": 0,
        "pool_stages": 4,
        "out_units": 3,
        "head_units": 0,
        "head_kernel": 3,
        "dropout": 0.5,
        "align_corners": False,
        "norm_momentum": None,
    },
    # NAIC_AI-RS's second one, thomasjpfan/pytorch_refinenet's on the dilated encoder of PSPNet's followers
    "cascade": {
        "encoder": {"output_stride": 16, "contract_dilation": False},
        "path_units": 2,
        "pool_stages": 2,
        "out_units": 1,
        "head_units": 2,
        "head_kernel": 1,
        "dropout": 0.0,
        "align_corners": True,
        "norm_momentum": 0.99,
    },
}

#: what of these the head is built from
HEAD = ("path_units", "pool_stages", "out_units", "head_units", "head_kernel", "dropout")


class ResidualUnit(nn.Layer):
    """x + two 3×3 convolutions, each of what is above 0; the second has no bias."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = conv2d(channels, channels, 3)
        self.conv2 = conv2d(channels, channels, 3, bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


def residual_units(channels: int, number: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualUnit(channels) for _ in range(number)))


class ChainedPooling(nn.Layer):
    """x plus what each link of a chain gives: the largest of 5×5 neighbours, then a 3×3 convolution."""

    def __init__(self, channels: int, stages: int):
        super().__init__()
        self.convs = nn.LayerList(conv2d(channels, channels, 3, bias_attr=False) for _ in range(stages))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        link = x
        for conv in self.convs:
            link = conv(F.max_pool2d(link, 5, stride=1, padding=2))
            x = x + link
        return x


class RefineBlock(nn.Layer):
    """An encoder's map N×C×h×w, and the path N×C'×h'×w' from the coarser ones → path N×channels×h×w.

    Args:
        in_channels: C.
        path_channels: C'; None: this is the coarsest map, there is no path yet.
        channels: of the block.
        path_units: residual units that the path goes through before it is joined; the encoder's map goes through two.
        pool_stages: links of the chain of poolings.
        out_units: residual units at the end.
    """

    def __init__(
        self,
        in_channels: int,
        path_channels: int | None,
        channels: int,
        path_units: int,
        pool_stages: int,
        out_units: int,
    ):
        super().__init__()
        self.reduce = conv2d(in_channels, channels, 3, bias_attr=False)
        self.units = residual_units(channels, 2)
        self.joins = path_channels is not None
        if path_channels is not None:
            self.conv = conv2d(channels, channels, 3, bias_attr=False)
            self.path_units = residual_units(path_channels, path_units)
            self.path_conv = conv2d(path_channels, channels, 3, bias_attr=False)
        self.pooling = ChainedPooling(channels, pool_stages)
        self.out_units = residual_units(channels, out_units)

    def forward(self, x: paddle.Tensor, path: paddle.Tensor | None = None) -> paddle.Tensor:
        x = self.units(self.reduce(x))
        if self.joins:
            path = self.path_conv(self.path_units(path))
            x = self.conv(x) + resize(path, spatial_size(x), align_corners=True)
        return self.out_units(self.pooling(F.relu(x)))


class RefineNetHead(nn.Layer):
    """An encoder's maps, fine to coarse → N×K×h×w at the size of the finest.

    Args:
        in_channels: of the maps.
        others: see :class:`RefineNet`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        channels: int,
        path_units: int,
        pool_stages: int,
        out_units: int,
        head_units: int,
        head_kernel: int,
        dropout: float,
    ):
        super().__init__()
        last = len(in_channels) - 1
        widths = [channels] * last + [2 * channels]
        paths: list[int | None] = [*widths[1:], None]
        self.blocks = nn.LayerList(
            RefineBlock(in_channels[i], paths[i], widths[i], path_units, pool_stages, out_units)
            for i in range(len(widths))
        )
        self.dropout = nn.Dropout(dropout)
        self.units = residual_units(widths[0], head_units)
        self.classifier = conv2d(widths[0], num_classes, head_kernel)

    def forward(self, features: Sequence[paddle.Tensor]) -> paddle.Tensor:
        last = len(self.blocks) - 1
        path = self.blocks[last](self.dropout(features[last]))
        for i in range(last - 1, -1, -1):
            x = self.dropout(features[i]) if i == last - 1 else features[i]
            path = self.blocks[i](x, path)
        return self.classifier(self.units(self.dropout(path)))


@MODELS.register()
class RefineNet(Segmenter):
    """Image N×C×H×W of any size → logits N×K×H×W.

    ``wiring`` names a public program and stands for the values that its network has; each can be given apart. The
    encoder's arguments that come with it hold where the backbone's mapping does not say otherwise.

    ======= ========================================== ===================================================
    wiring  program                                    its encoder
    ======= ========================================== ===================================================
    drsleep DrSleep/refinenet-pytorch, and NAIC_AI-RS  ``ResNet101``
    cascade NAIC_AI-RS's second one, after thomasjpfan ``{type: ResNet101_vc, stem_channels: 128}``, stride 16
    ======= ========================================== ===================================================

    The second one's program cannot be imported, needs the size of the image when it is built, and brings its coarsest
    path to twice the size of the map that it is added to. This one is what it describes: paths take the size of the
    map that they meet, and the residual units add what they were given, as in the paper.

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        backbone: name, mapping or built encoder, of any number of maps.
        wiring: the program whose values the arguments below have where they are None.
        output_stride: of the encoder's last map. None: what the backbone's mapping says, else the wiring's, which an
            encoder that has no such argument, or is already built, leaves aside.
        channels: of the blocks; that of the coarsest map has twice as many.
        path_units: residual units on the way of the path into a block.
        pool_stages: links of a block's chain of poolings.
        out_units: residual units at the end of a block.
        head_units: residual units before the classifier.
        head_kernel: of the classifier.
        dropout: of the encoder's two coarsest maps, and before the classifier.
        align_corners: of the last up-sampling; inside corners are always aligned.
        norm_momentum: share of the old running statistics that an update keeps, in every BatchNorm of the encoder;
            None: the wiring's, else the encoder's own.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.

    Raises:
        RssegError: unknown wiring.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet101",
        wiring: Literal["drsleep", "cascade"] = "drsleep",
        output_stride: Literal[8, 16, 32] | None = None,
        channels: int = 256,
        path_units: int | None = None,
        pool_stages: int | None = None,
        out_units: int | None = None,
        head_units: int | None = None,
        head_kernel: Literal[1, 3] | None = None,
        dropout: float | None = None,
        align_corners: bool | None = None,
        norm_momentum: float | None = None,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        options = wired(
            WIRINGS,
            wiring,
            path_units=path_units,
            pool_stages=pool_stages,
            out_units=out_units,
            head_units=head_units,
            head_kernel=head_kernel,
            dropout=dropout,
            align_corners=align_corners,
            norm_momentum=norm_momentum,
        )
        flavour = {key: value for key, value in options["encoder"].items() if accepts(backbone, key)}
        if output_stride is not None:
            flavour["output_stride"] = output_stride
        self.backbone = build_backbone(
            backbone,
            in_channels=in_channels,
            with_cp=with_cp,
            **flavour,
        )
        if options["norm_momentum"] is not None:
            set_momentum(self.backbone, options["norm_momentum"])
        self.num_classes, self.in_channels = num_classes, self.backbone.in_channels
        self.min_multiple, self.align_corners = max(self.backbone.strides), options["align_corners"]
        numbers = {key: options[key] for key in HEAD}
        self.head = RefineNetHead(self.backbone.out_channels, num_classes, channels, **numbers)

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.head(self.backbone(x))]
