"""What ResNet and its relatives share: four stages of residual blocks, and the ways of dilating them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones.recomputation import checkpointed
from paddle_rsseg.models.layers import freeze
from paddle_rsseg.registry import BACKBONES


@dataclass(frozen=True)
class Stage:
    """Strides and dilations of one stage.

    Attributes:
        stride: of the first block; the others have 1.
        dilations: for each block, those of its first and of its later 3×3 convolutions.
        total_stride: of the stage's map.
    """

    stride: int
    dilations: tuple[tuple[int, int], ...]
    total_stride: int


@dataclass(frozen=True)
class Place:
    """Where in the network a block is.

    Attributes:
        in_channels: that come into the block.
        channels: of its stage, 64, 128, 256, 512; the block gives ``expansion`` times as many.
        stride: of the block.
        dilations: of its first and of its later 3×3 convolutions.
        shortcut: leads around the block where it changes the shape.
        opening: it is the first of a stage that is not the first: there the resolution is or would be halved.
    """

    in_channels: int
    channels: int
    stride: int
    dilations: tuple[int, int]
    shortcut: nn.Layer | None
    opening: bool


class ResidualBlock(nn.Layer):
    """``relu(branch(x) + shortcut(x))``; ``downsample``, as everybody calls it, is the shortcut, None for x itself."""

    downsample: nn.Layer | None

    def branch(self, x: paddle.Tensor) -> paddle.Tensor:
        raise NotImplementedError

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu(self.branch(x) + (x if self.downsample is None else self.downsample(x)))


def plan_stages(
    depths: Sequence[int],
    output_stride: int,
    contract_dilation: bool = True,
    multi_grid: Sequence[int] | None = None,
    multi_grid_absolute: bool = False,
) -> list[Stage]:
    """The stages of a network of stride 4 whose later stages halve the resolution until ``output_stride``.

    From there on they keep the resolution and double the dilation instead; see :class:`.resnet.ResNet`.
    """
    if output_stride not in (8, 16, 32):
        raise RssegError("model.output_stride", repr(output_stride), "8, 16 or 32")
    stages = []
    total_stride, dilation = 4, 1
    for number, depth in enumerate(depths, 1):
        stride = 1 if number == 1 else 2
        before = dilation
        if total_stride * stride > output_stride:
            stride, dilation = 1, dilation * stride
        total_stride *= stride
        first = before if contract_dilation else dilation
        dilations = [(first, dilation)] + [(dilation, dilation)] * (depth - 1)
        if multi_grid is not None and number == len(depths):
            unit = 1 if multi_grid_absolute else dilation
            dilations = [(unit * factor, unit * factor) for factor in multi_grid]
        stages.append(Stage(stride, tuple(dilations), total_stride))
    return stages


class ResidualEncoder(nn.Layer):
    """Image N×C×H×W → the maps of ``layer1`` … ``layer4``, with ``finest_stride`` 2 that of the stem in front of them.

    A family of networks builds its stem, calls :meth:`add_stages`, and implements :meth:`stem` and :meth:`pool`.

    Attributes:
        in_channels: bands of the image.
        out_channels, strides: of the maps.
    """

    def __init__(self, in_channels: int, with_cp: bool | Sequence[bool], finest_stride: Literal[2, 4] = 4):
        super().__init__()
        if finest_stride not in (2, 4):
            raise RssegError("model.finest_stride", repr(finest_stride), "2 or 4")
        self.finest_stride = finest_stride
        self.in_channels = in_channels
        self.out_channels: list[int] = []
        self.strides: list[int] = []
        self.with_cp = (with_cp,) * 4 if isinstance(with_cp, bool) else tuple(with_cp)
        if len(self.with_cp) != 4:
            raise RssegError("model.with_cp", repr(with_cp), "one bool, or four")

    def add_stages(
        self,
        stages: Sequence[Stage],
        width: int,
        expansion: int,
        block: Callable[[Place], nn.Layer],
        shortcut: Callable[[int, int, int, int], nn.Layer],
        project_first: bool = False,
    ) -> None:
        """Append the four stages.

        Args:
            width: channels that the stem gives.
            expansion: of a block: its output has ``expansion`` times its channels, which are 64, 128, 256, 512.
            block: its place → block.
            shortcut: (in_channels, out_channels, stride, dilation) → what leads around a block that changes shape.
            project_first: also around the very first block.
        """
        if self.finest_stride == 2:
            self.out_channels.append(width)
            self.strides.append(2)
        for number, stage in enumerate(stages):
            channels = 64 * 2**number
            wide = channels * expansion
            blocks = []
            for i, dilations in enumerate(stage.dilations):
                stride = stage.stride if i == 0 else 1
                around = None
                if stride != 1 or width != wide or (project_first and number == i == 0):
                    around = shortcut(width, wide, stride, dilations[0])
                blocks.append(block(Place(width, channels, stride, dilations, around, i == 0 and number > 0)))
                width = wide
            self.add_sublayer(f"layer{number + 1}", nn.Sequential(*blocks))
            self.out_channels.append(wide)
            self.strides.append(stage.total_stride)

    def freeze_first(self, freeze_at: int, *stem: nn.Layer) -> None:
        """Freeze nothing (0), the parts of the stem (1), also layer1 (2), … also layer4 (5)."""
        if not 0 <= freeze_at <= 5:
            raise RssegError("model.freeze_at", repr(freeze_at), "0 (nothing) to 5 (all stages)")
        for part in [*(stem if freeze_at else ()), *self.stages[: max(freeze_at - 1, 0)]]:
            freeze(part)

    @property
    def stages(self) -> list[nn.Layer]:
        return [self.layer1, self.layer2, self.layer3, self.layer4]

    def stem(self, x: paddle.Tensor) -> paddle.Tensor:
        """Image → map of stride 2."""
        raise NotImplementedError

    def pool(self, x: paddle.Tensor) -> paddle.Tensor:
        """The stem's map → map of stride 4."""
        raise NotImplementedError

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.stem(x)
        features = [x] if self.finest_stride == 2 else []
        x = self.pool(x)
        for i, stage in enumerate(self.stages):  # not zip(strict=True), which Paddle cannot trace
            # without a gradient to pass on there is nothing to recompute
            recomputed = self.with_cp[i] and self.training and not x.stop_gradient
            x = checkpointed(stage, x) if recomputed else stage(x)
            features.append(x)
        return features


def register_variant(name: str, network: type[nn.Layer], **fixed: Any) -> None:
    """Register ``network`` with some arguments fixed; the others keep their names, types and defaults."""

    def build(**options: Any) -> nn.Layer:
        return network(**fixed, **options)

    signature = inspect.signature(network.__init__, eval_str=True)
    open_ones = [p for p in signature.parameters.values() if p.name != "self" and p.name not in fixed]
    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in open_ones]
    build.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    build.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    build.__name__ = name
    build.__doc__ = f"{name}; the arguments are those of :class:`{network.__module__}.{network.__qualname__}`."
    BACKBONES.register(name)(build)
