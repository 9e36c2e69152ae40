"""A network so small that a scene of 20,000 × 20,000 pixels takes minutes on two cores; for memory, not for maps."""

from __future__ import annotations

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.registry import MODELS


@MODELS.register()
class SmallNetwork(nn.Layer):
    """Three convolutions at an eighth of the size, logits brought back to full size as the large ones do it."""

    min_multiple = 8

    def __init__(self, num_classes: int, in_channels: int = 3):
        super().__init__()
        self.num_classes, self.in_channels = num_classes, in_channels
        self.stem = nn.Conv2D(in_channels, 16, 5, stride=4, padding=2)
        self.body = nn.Conv2D(16, 32, 3, stride=2, padding=1)
        self.head = nn.Conv2D(32, num_classes, 1)

    def forward(self, image: paddle.Tensor) -> list[paddle.Tensor]:
        logits = self.head(F.relu(self.body(F.relu(self.stem(image)))))
        return [F.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=False)]
