"""Heads that several networks share."""

from __future__ import annotations

import paddle
import paddle.nn as nn

from paddle_rsseg.models.layers import conv2d, conv_bn_relu


class FCNHead(nn.Layer):
    """A 3×3 convolution with BatchNorm and ReLU, dropout of whole channels, and a classifier: N×C×h×w → N×K×h×w."""

    def __init__(self, in_channels: int, num_classes: int, channels: int = 256, dropout: float = 0.1):
        super().__init__()
        self.conv = conv_bn_relu(in_channels, channels, 3, init="relu")
        self.dropout = nn.Dropout2D(dropout)
        self.classifier = conv2d(channels, num_classes, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.classifier(self.dropout(self.conv(x)))
