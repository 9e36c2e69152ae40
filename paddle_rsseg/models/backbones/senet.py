"""SE-ResNet, SE-ResNeXt and SENet-154: residual networks whose blocks weigh their channels by a look at the whole map.

Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, in the form of the Caffe release: their max-pooling rounds
down, and SE-ResNet has the stride in the first 1×1 convolution of a block. Parameter names are those of Cadene's
pretrained-models, which timm (``legacy_se…``) and segmentation_models.pytorch share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.models.backbones.halving import half_of
from paddle_rsseg.models.backbones.residual import Place, ResidualBlock, ResidualEncoder, plan_stages, register_variant
from paddle_rsseg.models.backbones.resnet import conv
from paddle_rsseg.models.layers import batch_norm
from paddle_rsseg.models.squeeze import ChannelSqueeze

Kind = Literal["resnet", "resnext", "senet"]


class SEBottleneck(ResidualBlock):
    """1×1, 3×3, 1×1 to four times the channels, weighed; plus the shortcut.

    Args:
        kind: ``resnet``: the first convolution has the stride, the 3×3 no groups; ``resnext``: the 3×3 has both, and
            twice the channels in 32 groups; ``senet``: it has four times the channels in 64 groups.
    """

    expansion = 4

    def __init__(self, kind: Kind, place: Place, frozen_norm: bool):
        super().__init__()
        before, inside, groups = {"resnet": (1, 1, 1), "resnext": (2, 2, 32), "senet": (2, 4, 64)}[kind]
        first_stride, second_stride = (place.stride, 1) if kind == "resnet" else (1, place.stride)
        channels, wide = place.channels, place.channels * self.expansion
        self.conv1 = conv(place.in_channels, channels * before, 1, stride=first_stride)
        self.bn1 = batch_norm(channels * before, frozen_norm)
        self.conv2 = conv(
            channels * before, channels * inside, 3, stride=second_stride, dilation=place.dilations[0], groups=groups
        )
        self.bn2 = batch_norm(channels * inside, frozen_norm)
        self.conv3 = conv(channels * inside, wide, 1)
        self.bn3 = batch_norm(wide, frozen_norm)
        self.se_module = ChannelSqueeze(wide)
        self.downsample = place.shortcut

    def branch(self, x: paddle.Tensor) -> paddle.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return self.se_module(self.bn3(self.conv3(out)))


class SENet(ResidualEncoder):
    """Image N×C×H×W → four maps, at strides (4, 8, 16, 32), (4, 8, 16, 16) or (4, 8, 8, 8).

    The first map has ⌊⌈H/2⌉/2⌋ rows: one fewer than other encoders where ⌈H/2⌉ is odd; later stages round up.

    Args:
        kind: of the blocks, see :class:`SEBottleneck`; ``senet`` also has three 3×3 convolutions to 128 channels as
            its stem, and 3×3 shortcuts.
        depths: blocks of the four stages.
        in_channels, output_stride, freeze_at, batchnorm_trainable, with_cp, contract_dilation, finest_stride: as in
            :class:`paddle_rsseg.models.backbones.resnet.ResNet`.
    """

    def __init__(
        self,
        kind: Kind,
        depths: Sequence[int],
        in_channels: int = 3,
        output_stride: Literal[8, 16, 32] = 32,
        freeze_at: Literal[0, 1, 2, 3, 4, 5] = 0,
        batchnorm_trainable: bool = True,
        with_cp: bool | Sequence[bool] = False,
        contract_dilation: bool = True,
        finest_stride: Literal[2, 4] = 4,
    ):
        super().__init__(in_channels, with_cp, finest_stride)
        frozen_norm = not batchnorm_trainable
        width = 128 if kind == "senet" else 64
        # (channels in, out, kernel, stride) of the stem's convolutions
        stem = [(in_channels, 64, 3, 2), (64, 64, 3, 1), (64, width, 3, 1)]
        if kind != "senet":
            stem = [(in_channels, width, 7, 2)]
        self.layer0 = nn.Sequential()
        for i, (before, after, kernel, stride) in enumerate(stem, 1):
            self.layer0.add_sublayer(f"conv{i}", conv(before, after, kernel, stride=stride))
            self.layer0.add_sublayer(f"bn{i}", batch_norm(after, frozen_norm))
            self.layer0.add_sublayer(f"relu{i}", nn.ReLU())

        def block(place: Place) -> nn.Layer:
            return SEBottleneck(kind, place, frozen_norm)

        def shortcut(in_channels: int, out_channels: int, stride: int, dilation: int) -> nn.Layer:
            in_first_stage = in_channels == width
            kernel = 3 if kind == "senet" and not in_first_stage else 1
            return nn.Sequential(
                conv(in_channels, out_channels, kernel, stride=stride, dilation=dilation),
                batch_norm(out_channels, frozen_norm),
            )

        stages = plan_stages(depths, output_stride, contract_dilation)
        self.add_stages(stages, width, SEBottleneck.expansion, block, shortcut)
        self.freeze_first(freeze_at, self.layer0)

    def stem(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.layer0(x)

    def pool(self, x: paddle.Tensor) -> paddle.Tensor:
        # windows of 3 that begin at every second pixel; where the last one reaches over the border, zeros change
        # nothing, since nothing is below them after a ReLU
        pooled = F.max_pool2d(F.pad(x, [0, 2, 0, 2]), 3, stride=2)
        return half_of(x, pooled)


for number, layers in {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}.items():
    register_variant(f"SEResNet{number}", SENet, kind="resnet", depths=layers)
register_variant("SEResNeXt50_32x4d", SENet, kind="resnext", depths=(3, 4, 6, 3))
register_variant("SEResNeXt101_32x4d", SENet, kind="resnext", depths=(3, 4, 23, 3))
register_variant("SENet154", SENet, kind="senet", depths=(3, 8, 36, 3))
