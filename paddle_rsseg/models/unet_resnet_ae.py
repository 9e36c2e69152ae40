"""A ResNet without its max-pooling, a decoder of residual blocks with squeezes, and a hypercolumn of all levels.

NAIC_AI-RS's network, after those of the salt-identification contest of 2018; the hypercolumn: Hariharan et al.,
"Hypercolumns for Object Segmentation and Fine-grained Localization", CVPR 2015.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
import paddle.nn as nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.backbones.resnet import BasicBlock, Bottleneck, ResNet, projection
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import conv2d, conv_bn_relu, resize, spatial_size
from paddle_rsseg.models.sampling import max_pool
from paddle_rsseg.models.squeeze import SCSE
from paddle_rsseg.registry import MODELS


class Step(nn.Layer):
    """A coarse map at the size of a finer one, beside it, then two residual blocks and a squeeze.

    Args:
        bottleneck: of the blocks: :class:`Bottleneck` or :class:`BasicBlock`.
        inner: channels between the blocks.
    """

    def __init__(self, bottleneck: bool, in_channels: int, inner: int, out_channels: int):
        super().__init__()

        def block(before: int, after: int) -> nn.Layer:
            around = None if before == after else projection(before, after, 1, False, False)
            if bottleneck:
                return Bottleneck(before, after // Bottleneck.expansion, 1, (1, 1), around, False)
            return BasicBlock(before, after, 1, (1, 1), around, False)

        self.blocks = nn.Sequential(block(in_channels, inner), block(inner, out_channels))
        self.squeeze = SCSE(out_channels, merge="sum", spatial_bias=False)

    def forward(self, x: paddle.Tensor, finer: paddle.Tensor | None, size: Any) -> paddle.Tensor:
        x = resize(x, size)
        return self.squeeze(self.blocks(x if finer is None else paddle.concat([x, finer], axis=1)))


@MODELS.register("UNetResNetAE")
class UNetResNetAE(Segmenter):
    """UnetResnetAE of NAIC_AI-RS. The original's dropout is at work in evaluation too; here only in training.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        backbone: name or ``{"type": …}`` mapping of a ResNet, or one that is already built; loses its max-pooling.
        width: channels of each level of the decoder, at least 16, the reduction of the squeezes.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.

    Raises:
        RssegError: the backbone is no ResNet.
    """

    min_multiple = 16

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet101",
        width: int = 64,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__()
        finest = None if isinstance(backbone, nn.Layer) else 2
        self.backbone = build_backbone(backbone, in_channels=in_channels, finest_stride=finest, with_cp=with_cp)
        if not isinstance(self.backbone, ResNet) or self.backbone.finest_stride != 2:
            seen = f"{type(self.backbone).__name__} with maps of strides {self.backbone.strides}"
            raise RssegError("model.backbone", seen, "a ResNet, ResNeXt or Wide-ResNet with finest_stride: 2")
        if width < 16:
            raise RssegError("model.width", str(width), "16 or more")
        self.backbone.maxpool = nn.Identity()
        self.num_classes, self.in_channels = num_classes, self.backbone.in_channels
        stem, *widths = self.backbone.out_channels
        bottleneck = widths[-1] > 512
        self.center = nn.Sequential(
            conv_bn_relu(widths[-1], 8 * width, 3, init="relu"), conv_bn_relu(8 * width, 4 * width, 3, init="relu")
        )
        before = [4 * width, width, width, width]
        self.steps = nn.LayerList(
            [Step(bottleneck, before[i] + widths[-1 - i], (8 * width) >> i, width) for i in range(4)]
        )
        self.last_step = Step(bottleneck, width, width // 2, width)
        self.dropout = nn.Dropout2D(0.5)
        self.fusion = conv_bn_relu(5 * width + stem, width, 3, init="relu")
        self.head = conv2d(width, num_classes, 1)

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        size = spatial_size(x)
        stem, *features = self.backbone(x)
        x = max_pool(self.center(features[-1]))
        levels: list[paddle.Tensor] = []
        for i in range(4):
            finer = features[-1 - i]
            x = self.steps[i](x, finer, spatial_size(finer))
            levels.insert(0, resize(x, size))
        column = [resize(stem, size), self.last_step(x, None, size), *levels]
        return [self.head(self.fusion(self.dropout(paddle.concat(column, axis=1))))]
