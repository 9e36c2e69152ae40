"""VGG-16 with BatchNorm, in torchvision's layout and names.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015.
"""

from __future__ import annotations

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.models.backbones.halving import half_of
from paddle_rsseg.models.backbones.recomputation import checkpointed
from paddle_rsseg.models.layers import batch_norm, conv2d
from paddle_rsseg.registry import BACKBONES

#: of each stage: channels, in units of the first one's, and convolutions; a max-pooling of 2×2 follows each
STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))


@BACKBONES.register("VGG16_bn")
class VGG16BN(nn.Layer):
    """Image N×C×H×W → six maps at strides 1 to 32: each stage before its pooling, and what the last pooling gives.

    Poolings round down, so a map has ⌊H/stride⌋ rows, but at least one.

    Args:
        in_channels: bands of the image.
        width: channels of the first stage; 64 in VGG-16 itself.
        with_cp: recompute the activations of a stage in the backward pass instead of keeping them.

    Attributes:
        out_channels, strides: of the six maps.
    """

    def __init__(self, in_channels: int = 3, with_cp: bool = False, width: int = 64):
        super().__init__()
        self.in_channels = in_channels
        self.with_cp = with_cp
        self.out_channels = [width * factor for factor, _ in (*STAGES, STAGES[-1])]
        self.strides = [2**i for i in range(len(STAGES) + 1)]
        self.features = nn.Sequential()
        self.ends: list[int] = []  # of the stages, in self.features, where torchvision has the poolings
        channels = in_channels
        for factor, convolutions in STAGES:
            for _ in range(convolutions):
                after = width * factor
                for part in (conv2d(channels, after, 3, init="relu"), batch_norm(after), nn.ReLU()):
                    self.features.add_sublayer(str(len(self.features)), part)
                channels = after
            self.ends.append(len(self.features))
            self.features.add_sublayer(str(len(self.features)), nn.Identity())

    @property
    def stages(self) -> list[nn.Layer]:
        """The convolutions between the poolings."""
        begins = [0, *self.ends[:-1]]
        return [self.features[begin:end] for begin, end in zip(begins, self.ends, strict=True)]

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        maps = []
        for stage in self.stages:
            recomputed = self.with_cp and self.training and not x.stop_gradient
            x = checkpointed(stage, x) if recomputed else stage(x)
            maps.append(x)
            x = half_of(x, F.max_pool2d(x, 2, stride=2, ceil_mode=True))
        return [*maps, x]
