"""HRNetV2: branches at strides 4, 8, 16, 32 side by side, which exchange what they know again and again.

Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", PAMI 2020. Parameter names are those
of the official repositories, which timm and mmsegmentation share. These projects enlarge the coarse maps in different
ways where branches exchange, and PaddleSeg pads differently too: the same weights then give other numbers, so both
are arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones.resnet import BasicBlock, Bottleneck, checkpointed
from paddle_rsseg.models.layers import batch_norm, conv2d, conv_bn_relu, resize, spatial_size
from paddle_rsseg.registry import BACKBONES

Fuse = Literal["corners", "centres", "nearest"]
Padding = Literal["symmetric", "same"]
Maps = tuple[paddle.Tensor, ...]


class HighResolutionModule(nn.Layer):
    """Residual blocks in every branch, then the exchange: each branch becomes the sum of all, brought to its size.

    Args:
        widths: channels of the branches, from fine to coarse.
        blocks: in each branch.
        fuse, padding: see :class:`HRNet`.
    """

    def __init__(self, widths: Sequence[int], blocks: int, fuse: Fuse, padding: Padding):
        super().__init__()
        self.fuse = fuse
        self.branches = nn.LayerList([nn.Sequential(*[basic_block(width) for _ in range(blocks)]) for width in widths])
        self.fuse_layers = nn.LayerList()
        for i, target in enumerate(widths):
            others = {str(j): exchange(width, target, i - j, padding) for j, width in enumerate(widths) if j != i}
            self.fuse_layers.append(nn.LayerDict(others))

    def forward(self, maps: Maps) -> Maps:
        maps = tuple([self.branches[i](x) for i, x in enumerate(maps)])
        return tuple([self.fused(i, maps) for i in range(len(maps))])

    def fused(self, i: int, maps: Maps) -> paddle.Tensor:
        size = spatial_size(maps[i])
        total = maps[i]
        for j in [j for j in range(len(maps)) if j != i]:
            other = self.fuse_layers[i][str(j)](maps[j])
            total = total + (self.enlarged(other, size) if j > i else other)
        return F.relu(total)

    def enlarged(self, x: paddle.Tensor, size: Any) -> paddle.Tensor:
        if self.fuse == "nearest":
            return F.interpolate(x, size=size, mode="nearest")
        return resize(x, size, align_corners=self.fuse == "corners")


def exchange(in_channels: int, out_channels: int, halvings: int, padding: Padding) -> nn.Sequential:
    """From branch to branch: ``halvings`` 3×3 convolutions of stride 2, or (if negative) a 1×1 before enlarging."""
    if halvings < 0:
        return nn.Sequential(conv2d(in_channels, out_channels, 1, bias_attr=False), batch_norm(out_channels))
    steps = [halving(in_channels, in_channels, padding) for _ in range(halvings - 1)]
    last = halving(in_channels, out_channels, padding)
    return nn.Sequential(*steps, nn.Sequential(last[0], last[1]))  # the ReLU comes after the sum


def halving(in_channels: int, out_channels: int, padding: Padding) -> nn.Sequential:
    """3×3 convolution of stride 2, norm, ReLU; a side of n pixels becomes ⌈n/2⌉ with either padding."""
    return conv_bn_relu(in_channels, out_channels, 3, stride=2, padding="SAME" if padding == "same" else 1)


def basic_block(width: int) -> BasicBlock:
    return BasicBlock(width, width, 1, (1, 1), downsample=None, frozen_norm=False)


def bottlenecks(in_channels: int, width: int, blocks: int) -> nn.Sequential:
    wide = width * Bottleneck.expansion
    shortcut = nn.Sequential(conv2d(in_channels, wide, 1, bias_attr=False), batch_norm(wide))
    first = Bottleneck(in_channels, width, 1, (1, 1), downsample=shortcut, frozen_norm=False)
    rest = [Bottleneck(wide, width, 1, (1, 1), downsample=None, frozen_norm=False) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class HRNet(nn.Layer):
    """Image N×C×H×W → four maps at strides 4, 8, 16, 32 with w, 2w, 4w, 8w channels.

    Args:
        width: w, channels of the finest branch.
        in_channels: bands of the image.
        fuse: how a coarse map is enlarged where branches exchange: ``corners``, bilinear with align_corners (the
            official segmentation code); ``centres``, bilinear of half-pixel centres (mmsegmentation, PaddleSeg);
            ``nearest`` (the official classification code, timm).
        padding: of the 3×3 convolutions of stride 2: ``symmetric``, one pixel on each side; ``same``, on sides of even
            length only after the last pixel, as TensorFlow does (PaddleSeg).
        with_cp: recompute activations in the backward pass, one module at a time, instead of keeping them: less
            memory, a third more time, the same numbers up to the order of additions. One bool, or one for each of the
            four stages.
        first_width, first_blocks: of the bottlenecks before the branches.
        modules: exchanges in the stages of two, three and four branches.
        blocks: in each branch before an exchange.

    Attributes:
        out_channels, strides: of the four maps.
    """

    def __init__(
        self,
        width: int,
        in_channels: int = 3,
        fuse: Fuse = "corners",
        padding: Padding = "symmetric",
        with_cp: bool | Sequence[bool] = False,
        first_width: int = 64,
        first_blocks: int = 4,
        modules: tuple[int, int, int] = (1, 4, 3),
        blocks: int = 4,
    ):
        super().__init__()
        if fuse not in ("corners", "centres", "nearest"):
            raise RssegError("backbone.fuse", repr(fuse), "corners, centres or nearest")
        if padding not in ("symmetric", "same"):
            raise RssegError("backbone.padding", repr(padding), "symmetric or same")
        self.with_cp = (with_cp,) * 4 if isinstance(with_cp, bool) else tuple(with_cp)
        if len(self.with_cp) != 4:
            raise RssegError("backbone.with_cp", repr(with_cp), "one bool, or four")
        self.in_channels = in_channels
        self.out_channels = [width * 2**i for i in range(4)]
        self.strides = [4, 8, 16, 32]

        self.conv1, self.bn1, _ = halving(in_channels, 64, padding)
        self.conv2, self.bn2, _ = halving(64, 64, padding)
        self.layer1 = bottlenecks(64, first_width, first_blocks)
        before = [first_width * Bottleneck.expansion]
        for stage, count in enumerate(modules, 2):
            widths = self.out_channels[:stage]
            # every stage adds a branch, made of the coarsest map so far; the first also changes the finest one's width
            grown: dict[str, nn.Layer] = {str(stage - 1): nn.Sequential(halving(before[-1], widths[-1], padding))}
            if before[0] != widths[0]:
                grown["0"] = conv_bn_relu(before[0], widths[0], 3)
            setattr(self, f"transition{stage - 1}", nn.LayerDict(grown))
            units = [HighResolutionModule(widths, blocks, fuse, padding) for _ in range(count)]
            setattr(self, f"stage{stage}", nn.Sequential(*units))
            before = widths
        small_weights(self)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        maps: Maps = (self.run(0, self.layer1, x),)
        for i, transition in enumerate([self.transition1, self.transition2, self.transition3], 1):
            new_branch = transition[str(i)](maps[-1])
            finest = transition["0"](maps[0]) if "0" in transition else maps[0]
            maps = (finest, *maps[1:], new_branch)
            for module in getattr(self, f"stage{i + 1}"):
                maps = self.run(i, module, maps)
        return list(maps)

    def run(self, stage: int, part: nn.Layer, x: Any) -> Any:
        """``part(x)`` of a map or a tuple of maps, recomputed in the backward pass where ``with_cp`` says so."""
        first = x[0] if isinstance(x, tuple) else x
        # without a gradient to pass on there is nothing to recompute
        recomputed = self.with_cp[stage] and self.training and not first.stop_gradient
        return checkpointed(part, x) if recomputed else part(x)


def small_weights(layer: nn.Layer, spread: float = 0.001) -> None:
    """HRNet's initial values: the weights of all convolutions are normal with this standard deviation."""
    for part in layer.sublayers():
        if isinstance(part, nn.Conv2D):
            nn.initializer.Normal(0.0, spread)(part.weight)


def _register(name: str, width: int, **shape: Any) -> None:
    @BACKBONES.register(name)
    def build(
        in_channels: int = 3,
        fuse: Fuse = "corners",
        padding: Padding = "symmetric",
        with_cp: bool | Sequence[bool] = False,
    ) -> HRNet:
        return HRNet(width, in_channels, fuse, padding, with_cp, **shape)

    build.__doc__ = f"{name}; the arguments are those of :class:`HRNet`."


for _width in (18, 30, 32, 40, 44, 48, 60, 64):
    _register(f"HRNetV2_W{_width}", _width)
# the two "small" ones of the official repository: timm's hrnet_w18_small, and its hrnet_w18_small_v2, which is
# mmsegmentation's hrnetv2_w18_small
_register("HRNetV2_W18_Small_V1", 16, first_width=32, first_blocks=1, modules=(1, 1, 1), blocks=2)
_register("HRNetV2_W18_Small_V2", 18, first_blocks=2, modules=(1, 3, 2), blocks=2)
