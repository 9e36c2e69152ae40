"""HRNet-OCR: every pixel is described anew by the object regions it resembles.

Yuan et al., "Segmentation Transformer: Object-Contextual Representations for Semantic Segmentation", ECCV 2020
(github.com/HRNet/HRNet-Semantic-Segmentation, branch HRNet-OCR).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.models.backbones.hrnet import Fuse, Padding
from paddle_rsseg.models.hrnet import FROM_PLAIN_HRNET, WIRINGS, HRNetSegmenter, WiringName, pixel_head
from paddle_rsseg.models.layers import conv2d, conv_bn_relu, full_precision, spatial_size
from paddle_rsseg.models.wiring import wired
from paddle_rsseg.registry import MODELS


def region_vectors(pixels: paddle.Tensor, soft_regions: paddle.Tensor) -> paddle.Tensor:
    """One vector a class: the mean of the pixels' vectors, weighted by how much each pixel belongs to the class.

    The weights are a softmax over the *pixels*. Their many small numbers are kept in float32.

    Args:
        pixels: N×C×h×w.
        soft_regions: N×K×h×w logits.

    Returns:
        N×C×K×1.
    """
    with paddle.amp.auto_cast(enable=False):
        weights = F.softmax(full_precision(soft_regions).flatten(2), axis=2)
        vectors = paddle.matmul(full_precision(pixels).flatten(2), weights, transpose_y=True)
    return vectors.unsqueeze(3).astype(pixels.dtype)


class ObjectAttention(nn.Layer):
    """Every pixel asks all regions and gets their values mixed: softmax_k(query · key_k / √d) over the K regions.

    Args:
        channels: C, of the pixels' and regions' vectors and of the output.
        key_channels: d.
        bias: in the convolutions, which all have norm and ReLU after them.
    """

    def __init__(self, channels: int, key_channels: int, bias: bool):
        super().__init__()

        def project(*widths: int) -> nn.Sequential:
            return nn.Sequential(
                *[conv_bn_relu(a, b, 1, bias_attr=None if bias else False) for a, b in pairwise(widths)]
            )

        self.scale = key_channels**-0.5
        self.query = project(channels, key_channels, key_channels)
        self.key = project(channels, key_channels, key_channels)
        self.value = project(channels, key_channels)
        self.out = project(key_channels, channels)

    def forward(self, pixels: paddle.Tensor, regions: paddle.Tensor) -> paddle.Tensor:
        """N×C×h×w and N×C×K×1 → N×C×h×w."""
        height, width = spatial_size(pixels)
        query = self.query(pixels).flatten(2) * self.scale
        key, value = self.key(regions).flatten(2), self.value(regions).flatten(2)
        resemblance = F.softmax(paddle.matmul(key, query, transpose_x=True), axis=1)  # N×K×hw
        context = paddle.matmul(value, resemblance)
        return self.out(context.reshape([0, value.shape[1], height, width]))


class OCRHead(nn.Layer):
    """Pixels' vectors, their object context, both joined, and the classifier.

    Args:
        in_channels: of the features.
        channels, key_channels: of the pixels' vectors and of the attention.
        bias: in the 3×3 convolution.
        attention_bias: in the attention and the convolution after it.
        dropout: of whole channels before the classifier.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int,
        key_channels: int,
        bias: bool,
        attention_bias: bool,
        dropout: float,
    ):
        super().__init__()
        self.pixels = conv_bn_relu(in_channels, channels, 3, bias_attr=None if bias else False)
        self.attention = ObjectAttention(channels, key_channels, attention_bias)
        self.join = conv_bn_relu(2 * channels, channels, 1, bias_attr=None if attention_bias else False)
        self.dropout = nn.Dropout2D(dropout)
        self.classifier = conv2d(channels, num_classes, 1)

    def forward(self, x: paddle.Tensor, soft_regions: paddle.Tensor) -> paddle.Tensor:
        pixels = self.pixels(x)
        context = self.attention(pixels, region_vectors(pixels, soft_regions))
        return self.classifier(self.dropout(self.join(paddle.concat([context, pixels], axis=1))))


@MODELS.register("HRNetOCR")
class HRNetOCR(HRNetSegmenter):
    """HRNet-OCR; in training also the logits of the auxiliary head, whose soft regions the attention uses.

    Give both outputs a loss: 1 and 0.4 in most recipes, 1 and 1 in NAIC_AI-RS. From random weights it trains badly;
    start from the ImageNet weights of HRNet, or from a trained plain HRNet: with ``pretrained`` its head becomes the
    auxiliary head, and only the attention starts anew.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        backbone: name, ``{"type": …}`` mapping, or an encoder that is already built.
        wiring: whose network: ``official`` (also NAIC_AI-RS), ``seghz``, ``mmseg`` (cascade of FCNHead and OCRHead) or
            ``paddleseg`` (OCRNet); needed for the same numbers from their weights.
        ocr_channels, key_channels: of the pixels' vectors and of the attention.
        align_corners, fuse, padding, ocr_bias, attention_bias, dropout: single options of the wiring
            (:class:`paddle_rsseg.models.hrnet.Wiring`); None: as it has them.
        with_cp: recompute the encoder's activations in the backward pass.
    """

    heritage = FROM_PLAIN_HRNET

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "HRNetV2_W48",
        wiring: WiringName = "official",
        ocr_channels: int = 512,
        key_channels: int = 256,
        align_corners: bool | None = None,
        fuse: Fuse | None = None,
        padding: Padding | None = None,
        ocr_bias: bool | None = None,
        attention_bias: bool | None = None,
        dropout: float | None = None,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        options = wired(
            WIRINGS,
            wiring,
            align_corners=align_corners,
            fuse=fuse,
            padding=padding,
            ocr_bias=ocr_bias,
            attention_bias=attention_bias,
            dropout=dropout,
        )
        super().__init__(num_classes, in_channels, backbone, options, with_cp)
        self.aux_head = pixel_head(self.width, num_classes, options.ocr_bias)
        self.head = OCRHead(
            self.width,
            num_classes,
            ocr_channels,
            key_channels,
            options.ocr_bias,
            options.attention_bias,
            options.dropout,
        )

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        main, auxiliary = self.both(x)
        return [main, auxiliary] if self.training else [main]

    def both(self, x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Logits of the main and the auxiliary head at 1/4 of the input, in either mode."""
        x = self.features(x)
        soft_regions = self.aux_head(x)
        return self.head(x, soft_regions), soft_regions
