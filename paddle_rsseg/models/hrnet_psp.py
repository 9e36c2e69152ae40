"""HRNet with pyramid pooling: every pixel also sees means over parts of the whole image (github.com/Shuai-Xie/SegHZ).

Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, on Sun et al., "High-Resolution Representations for Labeling
Pixels and Regions", 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
import paddle.nn as nn

from paddle_rsseg.models.backbones.hrnet import small_weights
from paddle_rsseg.models.hrnet import FROM_PLAIN_HRNET, WIRINGS, HRNetSegmenter, WiringName, pixel_head
from paddle_rsseg.models.layers import conv2d
from paddle_rsseg.models.pooling import Pyramid
from paddle_rsseg.models.wiring import wired
from paddle_rsseg.registry import MODELS


class PSPHead(nn.Layer):
    """The pyramid of a map, and the classifier: N×C×h×w → N×K×h×w."""

    def __init__(
        self, in_channels: int, num_classes: int, pool_channels: int, bins: Sequence[int], align_corners: bool
    ):
        super().__init__()
        self.pyramid = Pyramid(in_channels, pool_channels, bins, align_corners)
        self.classifier = conv2d(self.pyramid.out_channels, num_classes, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.classifier(self.pyramid(x))


@MODELS.register("HRNetPSP")
class HRNetPSP(HRNetSegmenter):
    """HRNet whose maps, concatenated, go through a pyramid of means and then to the classifier.

    With ``aux_head``, a second output while training (SegHZ's losses: 1 and 0.8); such a network can also start from a
    trained plain HRNet: with ``pretrained`` its head becomes the auxiliary head, and only the new head starts anew.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        backbone: name, ``{"type": …}`` mapping, or an encoder that is already built.
        wiring: whose HRNet (:class:`paddle_rsseg.models.hrnet.HRNet`).
        bins: parts along each side of the image, of which means are taken; SegHZ tried (1, 2, 3, 6), (1, 3, 6) and
            (1, 2, 3).
        pool_channels: of each of these means; None: all together have half as many as the map.
        aux_head: HRNet's own head beside the new one, while training.
        with_cp: recompute the encoder's activations in the backward pass.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "HRNetV2_W48",
        wiring: WiringName = "seghz",
        bins: Sequence[int] = (1, 2, 3, 6),
        pool_channels: int | None = None,
        aux_head: bool = False,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        options = wired(WIRINGS, wiring)
        super().__init__(num_classes, in_channels, backbone, options, with_cp)
        if pool_channels is None:
            pool_channels = self.width // (2 * len(bins))
        self.head = PSPHead(self.width, num_classes, pool_channels, bins, self.align_corners)
        small_weights(self.head)
        self.aux_head = None
        if aux_head:
            self.heritage = FROM_PLAIN_HRNET
            self.aux_head = pixel_head(self.width, num_classes, options.ocr_bias)
            small_weights(self.aux_head)

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.features(x)
        outputs = [self.head(x)]
        if self.training and self.aux_head is not None:
            outputs.append(self.aux_head(x))
        return outputs
