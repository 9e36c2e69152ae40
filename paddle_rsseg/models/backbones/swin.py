"""Swin Transformer T, S, B, L (Liu et al., ICCV 2021) for images of any size.

Parameter names are those of the authors' segmentation release, which PaddleSeg shares; every map has a norm of its
own. Arithmetic as there and in mmsegmentation: a map is filled up with zeros at the right and bottom to whole windows
*after* the block's first norm; filled-up places are keys like all others in windows that are not shifted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.models.backbones.recomputation import checkpointed
from paddle_rsseg.models.backbones.transformer import (
    LayerNorm,
    channels_first,
    channels_last,
    drop_path,
    drop_path_rates,
    four,
    linear,
    shape_of,
)
from paddle_rsseg.models.layers import conv2d
from paddle_rsseg.registry import BACKBONES

#: added to the attention between places that the shift made neighbours
APART = -100.0


def fill_up(x: paddle.Tensor, multiple: int) -> paddle.Tensor:
    """Zeros at the right and bottom of N×H×W×C until height and width are multiples of ``multiple``."""
    if paddle.in_dynamic_mode():
        height, width = x.shape[1:3]
        bottom, right = -height % multiple, -width % multiple
        return F.pad(x, [0, right, 0, bottom], data_format="NHWC") if bottom or right else x
    # How much is not known while the graph is traced: fill up by the most it can be, and cut. By tiles of zeros, for
    # F.pad becomes ONNX operators behind which nobody knows how many axes the map has, as later ones must.
    size = whole(shape_of(x)[1:3], multiple)
    x = paddle.concat([x, paddle.zeros_like(x[:, :1]).tile([1, multiple - 1, 1, 1])], axis=1)
    x = paddle.concat([x, paddle.zeros_like(x[:, :, :1]).tile([1, 1, multiple - 1, 1])], axis=2)
    return x[:, : size[0], : size[1]]


def whole(length: Any, multiple: int) -> Any:
    """The next multiple."""
    return (length + multiple - 1) // multiple * multiple


def to_windows(x: paddle.Tensor, side: int) -> paddle.Tensor:
    """N×H×W×C → (N·windows)×side²×C, the windows row by row; H and W are multiples of ``side``."""
    size = shape_of(x)
    windows = x.reshape([-1, size[1] // side, side, size[2] // side, side, x.shape[3]])
    return windows.transpose([0, 1, 3, 2, 4, 5]).reshape([-1, side * side, x.shape[3]])


def from_windows(windows: paddle.Tensor, like: paddle.Tensor, side: int) -> paddle.Tensor:
    """The inverse of :func:`to_windows`: a map of the shape of ``like``."""
    size = shape_of(like)
    x = windows.reshape([-1, size[1] // side, size[2] // side, side, side, like.shape[3]])
    return x.transpose([0, 1, 3, 2, 4, 5]).reshape(size)


def shift_mask(x: paddle.Tensor, side: int, shift: int) -> paddle.Tensor:
    """windows×side²×side² for N×H×W×C: 0 between places that were neighbours before the shift, else :data:`APART`.

    The shift brings the first ``shift`` rows and columns to the end, into one window with others.
    """
    size = shape_of(x)
    bands = []
    for axis in (1, 2):
        length = whole(size[axis], side)
        place = paddle.arange(length, dtype="int64")
        # 0: windows without foreign places; in the last one 1: its own places, 2: those that came from the beginning
        bands.append((place >= length - side).astype("int64") + (place >= length - shift).astype("int64"))
    region = 3 * bands[0].unsqueeze(1) + bands[1].unsqueeze(0)
    region = to_windows(region.unsqueeze([0, 3]), side).squeeze(2)
    return (region.unsqueeze(1) != region.unsqueeze(2)).astype(x.dtype) * APART


def relative_positions(side: int) -> paddle.Tensor:
    """side⁴ indices into the table of biases: one for each pair (query, key) of places in a window."""
    place = paddle.arange(side * side)
    row, column = place // side, place % side
    down = row.unsqueeze(1) - row.unsqueeze(0) + side - 1
    right = column.unsqueeze(1) - column.unsqueeze(0) + side - 1
    return (down * (2 * side - 1) + right).flatten()


class WindowAttention(nn.Layer):
    """Self attention among the places of a window, with a learned bias for each relative position and head."""

    def __init__(self, channels: int, heads: int, side: int):
        super().__init__()
        self.heads, self.width, self.side = heads, channels // heads, side
        self.relative_position_bias_table = self.create_parameter(
            [(2 * side - 1) ** 2, heads], default_initializer=nn.initializer.TruncatedNormal(std=0.02)
        )
        self.register_buffer("positions", relative_positions(side), persistable=False)
        self.qkv = linear(channels, 3 * channels)
        self.proj = linear(channels, channels)

    def forward(self, x: paddle.Tensor, mask: paddle.Tensor | None) -> paddle.Tensor:
        """(N·windows)×side²×C and windows×side²×side² → (N·windows)×side²×C."""
        places, channels = self.side**2, self.heads * self.width
        triple = self.qkv(x).reshape([-1, places, 3, self.heads, self.width]).transpose([2, 0, 3, 1, 4])
        query, key, value = triple[0] * self.width**-0.5, triple[1], triple[2]
        bias = self.relative_position_bias_table[self.positions].reshape([places, places, self.heads])
        logits = paddle.matmul(query, key, transpose_y=True) + bias.transpose([2, 0, 1])
        if mask is not None:
            by_image = logits.reshape([-1, shape_of(mask)[0], self.heads, places, places]) + mask.unsqueeze(1)
            logits = by_image.reshape([-1, self.heads, places, places])
        mixed = paddle.matmul(F.softmax(logits, axis=-1), value)
        return self.proj(mixed.transpose([0, 2, 1, 3]).reshape([-1, places, channels]))


class MLP(nn.Layer):
    """Linear to four times the channels, GELU, linear back."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = linear(channels, 4 * channels)
        self.fc2 = linear(4 * channels, channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Layer):
    """``x + attention(norm(x))`` in windows, shifted by ``shift``; then ``x + mlp(norm(x))``."""

    def __init__(self, channels: int, heads: int, side: int, shift: int, drop: float):
        super().__init__()
        self.side, self.shift = side, shift
        self.norm1 = LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, side)
        self.norm2 = LayerNorm(channels)
        self.mlp = MLP(channels)
        self.drop_path = drop_path(drop)

    def forward(self, x: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
        x = x + self.drop_path(self.attend(self.norm1(x), mask))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def attend(self, x: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
        size = shape_of(x)
        x = fill_up(x, self.side)
        if self.shift:
            x = paddle.roll(x, [-self.shift, -self.shift], [1, 2])
        x = from_windows(self.attn(to_windows(x, self.side), mask if self.shift else None), x, self.side)
        if self.shift:
            x = paddle.roll(x, [self.shift, self.shift], [1, 2])
        return x[:, : size[1], : size[2]]


class Merging(nn.Layer):
    """N×H×W×C → N×H/2×W/2×2C: the four neighbours side by side (column by column), norm, linear."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = LayerNorm(4 * channels)
        self.reduction = linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = fill_up(x, 2)
        neighbours = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(paddle.concat(neighbours, axis=3)))


class Blocks(nn.LayerList):
    """The blocks of a stage, in turn without and with shift."""

    def __init__(self, channels: int, heads: int, side: int, drops: Sequence[float]):
        self.side = side
        super().__init__([Block(channels, heads, side, i % 2 * (side // 2), drop) for i, drop in enumerate(drops)])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        mask = shift_mask(x, self.side, self.side // 2)
        for block in self:
            x = block(x, mask)
        return x


class Stage(nn.Layer):
    """Blocks, then (but for the last stage) the merging that leads to the next stage."""

    def __init__(self, channels: int, heads: int, side: int, drops: Sequence[float], last: bool):
        super().__init__()
        self.blocks = Blocks(channels, heads, side, drops)
        self.downsample = None if last else Merging(channels)


class PatchEmbedding(nn.Layer):
    """4×4 patches to vectors; the image is filled up with zeros at the right and bottom."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.proj = conv2d(in_channels, channels, 4, stride=4, padding=[0, 3, 0, 3])
        self.norm = LayerNorm(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.norm(channels_last(self.proj(x)))


class Swin(nn.Layer):
    """Image N×C×H×W → four maps at strides 4, 8, 16, 32.

    Args:
        channels: of the first map; each further one has twice as many.
        depths: blocks of the four stages.
        heads: of the first stage's attention; each further stage has twice as many.
        window_size: side of a window in places: 7, or 12 for the weights trained at 384 pixels.
        in_channels: bands of the image.
        drop_path_rate: of the last block; it grows linearly from 0 at the first.
        with_cp: recompute the activations of a stage in the backward pass instead of keeping them. One bool, or one
            for each stage.

    Attributes:
        out_channels, strides: of the maps.
    """

    def __init__(
        self,
        channels: int,
        depths: Sequence[int],
        heads: int,
        window_size: int = 7,
        in_channels: int = 3,
        drop_path_rate: float = 0.3,
        with_cp: bool | Sequence[bool] = False,
    ):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = [channels * 2**i for i in range(4)]
        self.strides = [4, 8, 16, 32]
        self.with_cp = four(with_cp, "with_cp")
        self.patch_embed = PatchEmbedding(in_channels, channels)
        self.layers = nn.LayerList(
            [
                Stage(channels * 2**i, heads * 2**i, window_size, drops, last=i == 3)
                for i, drops in enumerate(drop_path_rates(drop_path_rate, depths))
            ]
        )
        for i, width in enumerate(self.out_channels):
            setattr(self, f"norm{i}", LayerNorm(width))

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.patch_embed(x)
        features = []
        for i, stage in enumerate(self.layers):
            # without a gradient to pass on there is nothing to recompute
            recomputed = self.with_cp[i] and self.training and not x.stop_gradient
            x = checkpointed(stage.blocks, x) if recomputed else stage.blocks(x)
            features.append(channels_first(getattr(self, f"norm{i}")(x)))
            if stage.downsample is not None:
                x = stage.downsample(x)
        return features


def _register(name: str, channels: int, depths: tuple[int, ...], heads: int) -> None:
    @BACKBONES.register(name)
    def build(
        window_size: int = 7,
        in_channels: int = 3,
        drop_path_rate: float = 0.3,
        with_cp: bool | Sequence[bool] = False,
    ) -> Swin:
        return Swin(channels, depths, heads, window_size, in_channels, drop_path_rate, with_cp)

    build.__doc__ = f"{name}; the arguments are those of :class:`Swin`."


_register("SwinT", 96, (2, 2, 6, 2), 3)
_register("SwinS", 96, (2, 2, 18, 2), 3)
_register("SwinB", 128, (2, 2, 18, 2), 4)
_register("SwinL", 192, (2, 2, 18, 2), 6)
