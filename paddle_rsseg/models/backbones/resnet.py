"""ResNet-18 … 152, Wide-ResNet and ResNeXt in torchvision's layout and names, for any number of bands.

Also the variants with a stem of three convolutions (v1c) and with a pooled shortcut (v1d), in timm's names; and every
way of dilating the last stages that is in use. Written out because Paddle's own ResNet takes three bands only and has
no dilated stages.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; the variants: He et al., "Bag of Tricks for Image
Classification", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones.deformable import deform
from paddle_rsseg.models.backbones.recomputation import checkpointed
from paddle_rsseg.models.backbones.residual import Place, ResidualBlock, ResidualEncoder, plan_stages, register_variant
from paddle_rsseg.models.layers import batch_norm, conv2d

__all__ = ["BasicBlock", "Bottleneck", "ResNet", "checkpointed"]

conv = partial(conv2d, init="relu", bias_attr=False)


class BasicBlock(ResidualBlock):
    """Two 3×3 convolutions; ``out = relu(f(x) + shortcut(x))``."""

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        dilations: tuple[int, int],
        downsample: nn.Layer | None,
        frozen_norm: bool,
    ):
        super().__init__()
        before, after = dilations
        self.conv1 = conv(in_channels, channels, 3, stride=stride, dilation=before)
        self.bn1 = batch_norm(channels, frozen_norm)
        self.conv2 = conv(channels, channels, 3, dilation=after)
        self.bn2 = batch_norm(channels, frozen_norm)
        self.downsample = downsample

    def branch(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))


class Bottleneck(ResidualBlock):
    """1×1, 3×3 (which carries the stride), 1×1 to four times the channels; plus the shortcut.

    Args:
        groups, width_per_group: of the 3×3 convolution: it has channels · width_per_group / 64 · groups channels.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        dilations: tuple[int, int],
        downsample: nn.Layer | None,
        frozen_norm: bool,
        groups: int = 1,
        width_per_group: int = 64,
    ):
        super().__init__()
        width = channels * width_per_group // 64 * groups
        wide = channels * self.expansion
        self.conv1 = conv(in_channels, width, 1)
        self.bn1 = batch_norm(width, frozen_norm)
        self.conv2 = conv(width, width, 3, stride=stride, dilation=dilations[0], groups=groups)
        self.bn2 = batch_norm(width, frozen_norm)
        self.conv3 = conv(width, wide, 1)
        self.bn3 = batch_norm(wide, frozen_norm)
        self.downsample = downsample

    def branch(self, x: paddle.Tensor) -> paddle.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return self.bn3(self.conv3(out))


class StemEncoder(ResidualEncoder):
    """With ResNet's stem, ``plain`` or ``deep`` (:func:`first_convolution`), and a 3×3 maximum that halves its map."""

    def add_stem(self, kind: str, channels: int, frozen_norm: bool) -> None:
        self.conv1 = first_convolution(kind, self.in_channels, channels, frozen_norm)
        self.bn1 = batch_norm(channels, frozen_norm)
        self.maxpool = nn.MaxPool2D(3, stride=2, padding=1)

    def stem(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu(self.bn1(self.conv1(x)))

    def pool(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.maxpool(x)


class ResNet(StemEncoder):
    """Image N×C×H×W → [c2, c3, c4, c5], at strides (4, 8, 16, 32), (4, 8, 16, 16) or (4, 8, 8, 8).

    Args:
        block: :class:`BasicBlock` or :class:`Bottleneck`.
        depths: blocks of the four stages.
        in_channels: bands of the image.
        output_stride: 32, 16 or 8. Below 32 the last stages keep their resolution and dilate instead.
        freeze_at: 0 trains everything; 1 freezes the parameters of the stem, 2 also of layer1, … 5 of layer4.
        batchnorm_trainable: False freezes the parameters and the statistics of every BatchNorm.
        with_cp: recompute the activations of a stage in the backward pass instead of keeping them: less memory, a
            third more time, the same numbers up to the order of additions. One bool, or one for each stage.
        contract_dilation: True (torchvision, mmsegmentation's default for its weights): the convolution that would
            have had the stride keeps the dilation before it, only all later 3×3 double theirs. False (segmentation_
            models.pytorch, PaddleSeg): all 3×3 of a dilated stage have its dilation.
        multi_grid: one dilation for each block of the last stage, which then has as many blocks as there are
            numbers. They multiply the stage's dilation: (1, 2, 4) gives 2, 4, 8 at output stride 16.
        multi_grid_absolute: they are the dilations themselves, as in mmsegmentation.
        dilate_second: False (mmsegmentation): of the two 3×3 of a :class:`BasicBlock` only the first dilates.
        stem: ``plain`` is one 7×7 convolution, ``deep`` (v1c) three 3×3 of half, half and all ``stem_channels``.
        stem_channels: 64; 128 in the ResNet-101 of PSPNet and its followers.
        project_first: the first block has a convolution in its shortcut even where nothing changes shape there, as in
            PaddleSeg's ResNet18_vd and 34_vd.
        avg_down: (v1d) the shortcut halves the resolution with a 2×2 mean, not by leaving out pixels.
        groups, width_per_group: of :class:`Bottleneck`; ResNeXt-50 32×4d has 32 and 4.
        finest_stride: 4, or 2 for one more map in front, the stem's.
        deformable: for each stage, how many of its last blocks have a deformable 3×3
            (:mod:`paddle_rsseg.models.backbones.deformable`); SegHZ has (0, 4, 6, 3), or (0, 4, 23, 3) in ResNet-101,
            with ``multi_grid`` (1, 2).
        deformable_interval: n: of these blocks only those with the numbers 0, n, 2n, … in their stage, but all of the
            last stage; SegHZ's ResNet-101 has 3.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        in_channels: int = 3,
        output_stride: Literal[8, 16, 32] = 32,
        freeze_at: Literal[0, 1, 2, 3, 4, 5] = 0,
        batchnorm_trainable: bool = True,
        with_cp: bool | Sequence[bool] = False,
        contract_dilation: bool = True,
        multi_grid: Sequence[int] | None = None,
        multi_grid_absolute: bool = False,
        dilate_second: bool = True,
        stem: Literal["plain", "deep"] = "plain",
        stem_channels: int = 64,
        avg_down: bool = False,
        project_first: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        finest_stride: Literal[2, 4] = 4,
        deformable: Sequence[int] | None = None,
        deformable_interval: int = 1,
    ):
        super().__init__(in_channels, with_cp, finest_stride)
        frozen_norm = not batchnorm_trainable
        self.add_stem(stem, stem_channels, frozen_norm)
        grouped = {"groups": groups, "width_per_group": width_per_group} if (groups, width_per_group) != (1, 64) else {}

        def make_block(place: Place) -> nn.Layer:
            first, later = place.dilations
            dilations = (first, later if dilate_second else 1)
            return block(
                place.in_channels, place.channels, place.stride, dilations, place.shortcut, frozen_norm, **grouped
            )

        def make_shortcut(in_channels: int, out_channels: int, stride: int, dilation: int) -> nn.Layer:
            return projection(in_channels, out_channels, stride, frozen_norm, avg_down)

        stages = plan_stages(depths, output_stride, contract_dilation, multi_grid, multi_grid_absolute)
        self.add_stages(stages, stem_channels, block.expansion, make_block, make_shortcut, project_first)
        if deformable is not None:
            deform(self.stages, deformable, deformable_interval)
        self.freeze_first(freeze_at, self.conv1, self.bn1)


def first_convolution(stem: str, in_channels: int, channels: int, frozen_norm: bool) -> nn.Layer:
    """Image → map of stride 2, before its norm: one 7×7 convolution (``plain``) or three 3×3 (``deep``)."""
    if stem == "plain":
        return conv(in_channels, channels, 7, stride=2)
    if stem != "deep":
        raise RssegError("model.stem", repr(stem), "plain or deep")
    half = channels // 2
    return nn.Sequential(
        conv(in_channels, half, 3, stride=2),
        batch_norm(half, frozen_norm),
        nn.ReLU(),
        conv(half, half, 3),
        batch_norm(half, frozen_norm),
        nn.ReLU(),
        conv(half, channels, 3),
    )


def projection(in_channels: int, out_channels: int, stride: int, frozen_norm: bool, avg_down: bool) -> nn.Layer:
    """The way around a block that changes the shape: 1×1 convolution and norm."""
    if not avg_down:
        return nn.Sequential(
            conv(in_channels, out_channels, 1, stride=stride),
            batch_norm(out_channels, frozen_norm),
        )
    # at an odd border half a window is left, whose mean is that of the pixels there are
    mean = nn.AvgPool2D(2, 2, ceil_mode=True, exclusive=True) if stride == 2 else nn.Identity()
    return nn.Sequential(mean, conv(in_channels, out_channels, 1), batch_norm(out_channels, frozen_norm))


FAMILY = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
for number, (kind, layers) in FAMILY.items():
    register_variant(f"ResNet{number}", ResNet, block=kind, depths=layers)
    register_variant(f"ResNet{number}_vc", ResNet, block=kind, depths=layers, stem="deep")
    register_variant(f"ResNet{number}_vd", ResNet, block=kind, depths=layers, stem="deep", avg_down=True)
for name, number, groups, width in [
    ("WideResNet50_2", 50, 1, 128),
    ("WideResNet101_2", 101, 1, 128),
    ("ResNeXt50_32x4d", 50, 32, 4),
    ("ResNeXt101_32x8d", 101, 32, 8),
]:
    kind, layers = FAMILY[number]
    register_variant(name, ResNet, block=kind, depths=layers, groups=groups, width_per_group=width)
