"""BiSeNet: a shallow path that keeps the place, a deep one that knows the surroundings, and two ways to join them.

Yu et al., "BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation", ECCV 2018, in the form of
github.com/Shuai-Xie/SegHZ, whose *Split* gives the shallow path half of the channels. The helpers of that program are
lost: convolutions are taken to be without bias and followed by BatchNorm and ReLU, as in its author's other programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.attention import PositionAttention
from paddle_rsseg.models.backbones import accepts, build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import conv2d, conv_bn_relu, doubling, resize, spatial_size
from paddle_rsseg.models.pooling import Pyramid
from paddle_rsseg.models.squeeze import ChannelSqueeze
from paddle_rsseg.registry import MODELS

Wiring = Literal["baseline", "split"]

#: what SegHZ's ResNets have, where the encoder takes it and its mapping does not say otherwise
ENCODER = {"output_stride": 16, "multi_grid": (1, 2, 4)}


class FeatureFusion(nn.Layer):
    """3×3 convolution, then as much more of each channel as its mean asks for: x + x · SE(x)."""

    def __init__(self, in_channels: int, out_channels: int, reduction: int = 8):
        super().__init__()
        self.conv = conv_bn_relu(in_channels, out_channels, 3)
        self.squeeze = ChannelSqueeze(out_channels, reduction)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.conv(x)
        return x + self.squeeze(x)


class BiSeNetHead(nn.Layer):
    """The joined paths, position attention at their resolution, and the classifier at twice that.

    Args:
        spatial, context: channels of the two paths.
        channels: of the joined paths.
        wiring: ``baseline`` fuses everything at once; ``split`` first fuses the context alone, to ``context_channels``.
    """

    def __init__(
        self, spatial: int, context: int, num_classes: int, channels: int, context_channels: int, wiring: Wiring
    ):
        super().__init__()
        self.context_alone = wiring == "split"
        if self.context_alone:
            self.fusion = FeatureFusion(context, context_channels)
            joined = spatial + context_channels
        else:
            self.fusion = FeatureFusion(spatial + context, channels)
            joined = channels
        self.conv = conv_bn_relu(joined, channels, 1)
        self.attention = PositionAttention(channels)
        self.up = doubling(channels, channels)
        self.classifier = conv2d(channels, num_classes, 1)

    def forward(self, spatial: paddle.Tensor, context: paddle.Tensor) -> paddle.Tensor:
        """Two maps at 1/8 of the image → logits at 1/4."""
        if self.context_alone:
            x = paddle.concat([spatial, self.fusion(context)], axis=1)
        else:
            x = self.fusion(paddle.concat([spatial, context], axis=1))
        return self.classifier(self.up(self.attention(self.conv(x))))


@MODELS.register()
class BiSeNet(Segmenter):
    """BiSeNet of SegHZ; in training also the logits of the encoder's last two maps, each with a loss of weight 1.

    What SegHZ leaves open was chosen so: the baseline's one fusion gives ``channels``, so that both forms have the same
    head; the pyramid (``bins``) takes the encoder's last map, refined.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        backbone: name, ``{"type": …}`` mapping, or an encoder that is already built. A ResNet has output stride 16 and
            ``multi_grid: [1, 2, 4]`` unless its mapping says otherwise.
        wiring: ``baseline`` fuses 256 shallow channels with all 3072 deep ones; ``split`` first brings the deep ones
            down to ``context_channels``.
        spatial_channels: of the three convolutions of the shallow path.
        channels: of the joined paths, the attention and the map before the classifier.
        context_channels: of the deep path in ``split``.
        bins: parts along each side of the image, of which means stand beside the last map: (1, 2, 3, 6), (1, 3, 6) or
            (1, 2, 3) in SegHZ; together they have as many channels as the map. None: no pyramid.
        align_corners: of all bilinear resizing.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.

    Raises:
        RssegError: unknown wiring, or other than three ``spatial_channels``.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet101",
        wiring: Wiring = "split",
        spatial_channels: Sequence[int] = (64, 128, 256),
        channels: int = 512,
        context_channels: int = 256,
        bins: Sequence[int] | None = None,
        align_corners: bool = True,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        if wiring not in ("baseline", "split"):
            raise RssegError("model.wiring", repr(wiring), "baseline or split")
        if len(spatial_channels) != 3:
            raise RssegError("model.spatial_channels", f"{len(spatial_channels)} numbers", "three: strides 2, 4 and 8")
        self.backbone = build_backbone(
            backbone,
            in_channels=in_channels,
            with_cp=with_cp,
            **{key: value for key, value in ENCODER.items() if accepts(backbone, key)},
        )
        self.num_classes, self.in_channels = num_classes, self.backbone.in_channels
        self.align_corners = align_corners
        self.min_multiple = max(8, *self.backbone.strides)
        widths = [self.in_channels, *spatial_channels]
        self.spatial = nn.Sequential(*[conv_bn_relu(widths[i], widths[i + 1], 3, stride=2) for i in range(3)])
        deep = list(self.backbone.out_channels[-2:])
        self.refinements = nn.LayerList([ChannelSqueeze(width, norm=True) for width in deep])
        self.aux_heads = nn.LayerList([conv2d(width, num_classes, 1) for width in deep])
        self.pyramid = None
        if bins is not None:
            self.pyramid = Pyramid(deep[1], deep[1] // len(bins), bins, align_corners)
            deep[1] = self.pyramid.out_channels
        self.head = BiSeNetHead(widths[-1], sum(deep), num_classes, channels, context_channels, wiring)

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.backbone(x)
        refined = [self.refinements[i](features[i - 2]) for i in range(2)]
        fine, coarse = refined[0], refined[1] if self.pyramid is None else self.pyramid(refined[1])
        spatial = self.spatial(x)
        size = spatial_size(spatial)
        context = [resize(deep, size, self.align_corners) for deep in (fine, coarse)]
        outputs = [self.head(spatial, paddle.concat(context, axis=1))]
        if self.training:
            outputs += [self.aux_heads[i](refined[i]) for i in range(2)]
        return outputs
