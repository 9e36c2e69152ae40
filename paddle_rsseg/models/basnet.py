"""BASNet: an encoder that begins at full resolution, a decoder all of whose stages are supervised, and a small second
network that refines the finest map (Qin et al., "BASNet: Boundary-Aware Salient Object Detection", CVPR 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones.resnet import BasicBlock, projection
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import conv2d, conv_bn_relu, resize, spatial_size
from paddle_rsseg.registry import MODELS

#: stages behind those of a ResNet, and their blocks
MORE_STAGES, MORE_BLOCKS = 2, 3


def half(x: paddle.Tensor) -> paddle.Tensor:
    """The largest of 2×2 pixels; at an odd border of those there are."""
    return F.max_pool2d(x, 2, stride=2, ceil_mode=True)


def join(coarse: paddle.Tensor, fine: paddle.Tensor, align_corners: bool) -> paddle.Tensor:
    """``coarse`` at the size of ``fine``, and ``fine`` behind it."""
    return paddle.concat([resize(coarse, spatial_size(fine), align_corners), fine], axis=1)


class FullSizeResNet(nn.Layer):
    """Image N×C×H×W → six maps at strides 1, 2, 4, 8, 16, 32.

    The four stages of a ResNet of basic blocks, on a 3×3 convolution instead of its stem, and two more stages that
    begin with a max-pooling and have the last one's width. ``layer1`` … ``layer4`` are named as torchvision's.

    Args:
        widths: of the ResNet's stages.
        depths: blocks of them.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], depths: Sequence[int]):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = [*widths, *[widths[-1]] * MORE_STAGES]
        self.strides = [2**i for i in range(len(self.out_channels))]
        self.stem = conv_bn_relu(in_channels, widths[0], 3, bias_attr=None)
        before = widths[0]
        for i, depth in enumerate([*depths, *[MORE_BLOCKS] * MORE_STAGES]):
            width, stride = self.out_channels[i], 2 if 0 < i < len(widths) else 1
            around = projection(before, width, stride, False, False) if (stride, width) != (1, before) else None
            blocks = [BasicBlock(before, width, stride, (1, 1), around, False)]
            blocks += [BasicBlock(width, width, 1, (1, 1), None, False) for _ in range(depth - 1)]
            self.add_sublayer(f"layer{i + 1}", nn.Sequential(*blocks))
            before = width

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.stem(x)
        features = []
        for i in range(len(self.out_channels)):
            if i >= len(self.out_channels) - MORE_STAGES:
                x = half(x)
            x = getattr(self, f"layer{i + 1}")(x)
            features.append(x)
        return features


class Refiner(nn.Layer):
    """Logits N×K×H×W → better ones: what a U-Net of four levels and one width makes of them is added.

    Half-pixel centres in its up-sampling, whatever the network around it has.
    """

    def __init__(self, num_classes: int, width: int, levels: int = 4):
        super().__init__()
        self.stem = conv2d(num_classes, width, 3)
        # the last one is the bottom
        self.down = nn.LayerList(conv_bn_relu(width, width, 3, bias_attr=None) for _ in range(levels + 1))
        self.up = nn.LayerList(conv_bn_relu(2 * width, width, 3, bias_attr=None) for _ in range(levels))
        self.out = conv2d(width, num_classes, 3)

    def forward(self, logits: paddle.Tensor) -> paddle.Tensor:
        maps = [self.down[0](self.stem(logits))]
        for conv in self.down[1:]:
            maps.append(conv(half(maps[-1])))
        x = maps[-1]
        for i in range(len(self.up) - 1, -1, -1):
            x = self.up[i](join(x, maps[i], align_corners=False))
        return logits + self.out(x)


def stage(in_channels: int, channels: int, out_channels: int, dilations: Sequence[int]) -> nn.Sequential:
    """Three 3×3 convolutions with bias, BatchNorm and ReLU."""
    widths = [in_channels, channels, channels, out_channels]
    return nn.Sequential(
        *(conv_bn_relu(widths[i], widths[i + 1], 3, bias_attr=None, dilation=dilations[i]) for i in range(3))
    )


@MODELS.register()
class BASNet(Segmenter):
    """Image N×C×H×W of any size → logits N×K×H×W; while training, with them those of all stages, finest first.

    The eight training outputs are the refined map, the one before it, those of the five coarser stages, and that of
    the bridge; BASNetLoss with ``coef: [1, 1, 1, 1, 1, 1, 1, 1]`` is the paper's. The defaults are NAIC_AI-RS's
    network; NathanUA/BASNet has ``align_corners: false`` and, with one sigmoid channel, ``num_classes: 1``.

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        widths: of the encoder's four stages at strides 1, 2, 4, 8; two more have the last one's. The decoder mirrors
            them. The defaults are ResNet-34's.
        depths: blocks of the encoder's four stages.
        refiner_width: of the second network.
        align_corners: of all bilinear resizing but the refiner's.

    Raises:
        RssegError: widths and depths of different numbers of stages.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        widths: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (3, 4, 6, 3),
        refiner_width: int = 64,
        align_corners: bool = True,
    ):
        super().__init__()
        if not widths or len(widths) != len(depths):
            raise RssegError("model.depths", f"{len(depths)} for {len(widths)} widths", "one for each width")
        self.num_classes, self.in_channels, self.align_corners = num_classes, in_channels, align_corners
        self.backbone = FullSizeResNet(in_channels, widths, depths)
        self.min_multiple = max(self.backbone.strides)
        wide = self.backbone.out_channels
        # a stage ends with the width of the next finer one
        ends = [wide[0], *wide[:-1]]
        last = len(wide) - 1
        self.bridge = stage(wide[last], wide[last], wide[last], (2, 2, 2))
        self.decoder = nn.LayerList(
            stage(2 * wide[i], wide[i], ends[i], (1, 2, 2) if i == last else (1, 1, 1)) for i in range(len(wide))
        )
        self.head = conv2d(ends[0], num_classes, 3)
        self.refiner = Refiner(num_classes, refiner_width)
        self.aux_heads = nn.LayerList(conv2d(width, num_classes, 3) for width in [*ends[1:], wide[last]])

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.backbone(x)
        coarse_first = [self.bridge(features[-1])]
        for i in range(len(features) - 1, -1, -1):
            coarse_first.append(self.decoder[i](join(coarse_first[-1], features[i], self.align_corners)))
        finest, *others = coarse_first[::-1]
        logits = self.head(finest)
        outputs = [self.refiner(logits)]
        if self.training:
            outputs.append(logits)
            for i, head in enumerate(self.aux_heads):
                outputs.append(head(others[i]))
        return outputs
