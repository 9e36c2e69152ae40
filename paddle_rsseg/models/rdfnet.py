"""RDFNet: RefineNet on what two encoders see, of which each has its own bands (Park et al., "RDFNet: RGB-D Multi-level
Residual Feature Fusion for Indoor Semantic Segmentation", ICCV 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones import accepts, build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import conv2d, set_momentum
from paddle_rsseg.models.refinenet import HEAD, WIRINGS, ChainedPooling, RefineNetHead, residual_units
from paddle_rsseg.registry import MODELS


class Fusion(nn.Layer):
    """Two maps N×C×h×w of one size → one: each through a bottleneck with residual units, then their sum.

    To what is above 0 of it, the largest of 5×5 neighbours, through a 3×3 convolution, is added.
    """

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.branches = nn.LayerList(
            nn.Sequential(
                conv2d(channels, half, 1, bias_attr=False),
                residual_units(half, 2),
                conv2d(half, channels, 3, bias_attr=False),
            )
            for _ in range(2)
        )
        self.pooling = ChainedPooling(channels, 1)

    def forward(self, first: paddle.Tensor, second: paddle.Tensor) -> paddle.Tensor:
        return self.pooling(F.relu(self.branches[0](first) + self.branches[1](second)))


@MODELS.register()
class RDFNet(Segmenter):
    """Image N×C×H×W of any size → logits N×K×H×W; the bands of two sensors, such as colours and height, together.

    RefineNet's 4-cascade behind a fusion of every map of two encoders of one kind, as NAIC_AI-RS describes it; no
    program of it can be run.

    Args:
        num_classes: K.
        in_channels: C, bands of the image, those of the first sensor in front.
        split: bands of the first encoder; the second one has the others. None: both have all.
        backbone: name or mapping of both encoders. NAIC_AI-RS's is ``{type: ResNet101_vc, stem_channels: 128}``.
        output_stride: of the encoders' last map. None: what the backbone's mapping says, else 16, which an encoder
            that has no such argument leaves aside.
        channels: of the blocks; that of the coarsest map has twice as many.
        norm_momentum: share of the old running statistics that an update keeps, in every BatchNorm.
        align_corners: of the last up-sampling.
        with_cp: of the backbones: recompute activations in the backward pass to save memory.

    Raises:
        RssegError: no band is left for one of the encoders.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        split: int | None = None,
        backbone: str | Mapping[str, Any] = "ResNet101",
        output_stride: Literal[8, 16, 32] | None = None,
        channels: int = 256,
        norm_momentum: float = 0.99,
        align_corners: bool = True,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        if split is not None and not 0 < split < in_channels:
            raise RssegError("model.split", f"{split} of {in_channels} bands", f"1 to {in_channels - 1}")
        cascade = WIRINGS["cascade"]
        flavour = {key: value for key, value in cascade["encoder"].items() if accepts(backbone, key)}
        if output_stride is not None:
            flavour["output_stride"] = output_stride
        bands = (in_channels, in_channels) if split is None else (split, in_channels - split)
        self.split = split
        self.backbone, self.second_backbone = (
            build_backbone(backbone, in_channels=number, with_cp=with_cp, **flavour) for number in bands
        )
        self.num_classes, self.in_channels = num_classes, in_channels
        self.min_multiple, self.align_corners = max(self.backbone.strides), align_corners
        self.fusions = nn.LayerList(Fusion(width) for width in self.backbone.out_channels)
        numbers = {key: cascade[key] for key in HEAD}
        self.head = RefineNetHead(self.backbone.out_channels, num_classes, channels, **numbers)
        set_momentum(self, norm_momentum)

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        first, second = (x, x) if self.split is None else (x[:, : self.split], x[:, self.split :])
        ours, theirs = self.backbone(first), self.second_backbone(second)
        fused = []
        for i, fusion in enumerate(self.fusions):  # not zip(strict=True), which Paddle cannot trace
            fused.append(fusion(ours[i], theirs[i]))
        return [self.head(fused)]
