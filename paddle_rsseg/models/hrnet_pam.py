"""HRNet with position attention at half the resolution of its maps (github.com/Shuai-Xie/SegHZ).

The attention is that of Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019. At the 1/4 of the image
that HRNet keeps, its table of all pairs of pixels would not fit into memory: hence down, attend, up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
import paddle.nn as nn

from paddle_rsseg.models.attention import PositionAttention
from paddle_rsseg.models.backbones.hrnet import small_weights
from paddle_rsseg.models.hrnet import FROM_PLAIN_HRNET, WIRINGS, HRNetSegmenter, WiringName, pixel_head
from paddle_rsseg.models.layers import conv2d, conv_bn_relu, doubling, spatial_size
from paddle_rsseg.models.wiring import wired
from paddle_rsseg.registry import MODELS


class Hourglass(nn.Layer):
    """Attention at half the resolution: N×C×h×w → N×C/2×h×w.

    Args:
        reduction: of the attention's queries and keys.
    """

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        self.down = conv_bn_relu(channels, channels, 3, stride=2)
        self.attention = PositionAttention(channels, reduction)
        self.up = doubling(channels, channels // 2)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        height, width = spatial_size(x)
        # of an odd size, half is rounded up, and the doubled map has a row or column more
        return self.up(self.attention(self.down(x)))[:, :, :height, :width]


class PAMHead(nn.Layer):
    """A map beside what the hourglass makes of it, and the classifier: N×C×h×w → N×K×h×w."""

    def __init__(self, in_channels: int, num_classes: int, reduction: int):
        super().__init__()
        self.hourglass = Hourglass(in_channels, reduction)
        self.classifier = conv2d(in_channels + in_channels // 2, num_classes, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.classifier(paddle.concat([x, self.hourglass(x)], axis=1))


@MODELS.register("HRNetPAM")
class HRNetPAM(HRNetSegmenter):
    """HRNet with position attention; in training also the logits of HRNet's own head (SegHZ's losses: 1 and 0.4).

    Meant to be fine-tuned from a trained plain HRNet: with ``pretrained`` its head becomes the auxiliary head, and
    only the attention and the new classifier start anew. SegHZ limits the gradient of the attention's γ to ±1, here
    ``grad_clip: {limits: {gamma: 1}}`` of the settings.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        backbone: name, ``{"type": …}`` mapping, or an encoder that is already built.
        wiring: whose HRNet (:class:`paddle_rsseg.models.hrnet.HRNet`).
        reduction: of the attention's queries and keys.
        with_cp: recompute the encoder's activations in the backward pass.
    """

    heritage = FROM_PLAIN_HRNET

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "HRNetV2_W48",
        wiring: WiringName = "seghz",
        reduction: int = 8,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        options = wired(WIRINGS, wiring)
        super().__init__(num_classes, in_channels, backbone, options, with_cp)
        self.aux_head = pixel_head(self.width, num_classes, options.ocr_bias)
        self.head = PAMHead(self.width, num_classes, reduction)
        small_weights(self.aux_head)
        small_weights(self.head)

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.features(x)
        main = self.head(x)
        return [main, self.aux_head(x)] if self.training else [main]
