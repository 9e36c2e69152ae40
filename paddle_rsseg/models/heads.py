"""Heads that several networks share."""

from __future__ import annotations

import paddle
import paddle.nn as nn

from paddle_rsseg.models.layers import conv2d, conv_bn_relu


class FCNHead(nn.Layer):
    """A convolution with BatchNorm and ReLU, dropout of whole channels, and a classifier: N×C×h×w → N×K×h×w.

    Args:
        channels: of the convolution.
        kernel: of the convolution; with 1, pixels see nothing but themselves, as in HRNet's head.
        bias: in the convolution, although a BatchNorm follows it.
        dropout: of whole channels before the classifier.
        init: of the convolution (:func:`paddle_rsseg.models.layers.conv2d`).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 256,
        dropout: float = 0.1,
        kernel: int = 3,
        bias: bool = False,
        init: str = "relu",
    ):
        super().__init__()
        self.conv = conv_bn_relu(in_channels, channels, kernel, bias_attr=None if bias else False, init=init)
        self.dropout = nn.Dropout2D(dropout)
        self.classifier = conv2d(channels, num_classes, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.classifier(self.dropout(self.conv(x)))
