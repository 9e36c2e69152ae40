"""Mix Transformer MiT-B0…B5, SegFormer's encoder (Xie et al., NeurIPS 2021).

Parameter names are those of the official release, which FarSeg++, PaddleSeg and segmentation_models.pytorch share.
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

HEADS = (1, 2, 5, 8)
#: how many times smaller the keys' and values' map is, by stage
REDUCTIONS = (8, 4, 2, 1)
#: of the norms of blocks and stages; those behind a convolution have ``embed_epsilon``
BLOCK_EPSILON = 1e-6


def at_least_one(length: Any) -> Any:
    return max(length, 1) if isinstance(length, int) else paddle.maximum(length, paddle.full([], 1, length.dtype))


class PatchEmbedding(nn.Layer):
    """A strided convolution with overlapping windows, N×C×H×W → N×h×w×C', and a norm over the channels."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, epsilon: float):
        super().__init__()
        self.proj = conv2d(in_channels, out_channels, kernel, "relu", stride=stride)
        self.norm = LayerNorm(out_channels, epsilon=epsilon)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.norm(channels_last(self.proj(x)))


class Attention(nn.Layer):
    """Self attention whose keys and values are of a map ``reduction`` times smaller.

    A remainder of the map that does not fill a ``reduction``×``reduction`` patch is left out of keys and values, as
    in the original; a map smaller than one patch, for which the original fails, is filled up with zeros.
    """

    def __init__(self, channels: int, heads: int, reduction: int, epsilon: float):
        super().__init__()
        self.heads, self.width, self.reduction = heads, channels // heads, reduction
        self.q = linear(channels, channels)
        self.kv = linear(channels, 2 * channels)
        self.proj = linear(channels, channels)
        if reduction > 1:
            # filled up at the right and bottom only
            padding = [0, reduction - 1, 0, reduction - 1]
            self.sr = conv2d(channels, channels, reduction, "relu", stride=reduction, padding=padding)
            self.norm = LayerNorm(channels, epsilon=epsilon)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        query = self.q(x).reshape([0, -1, self.heads, self.width]).transpose([0, 2, 1, 3])
        pair = self.kv(self.reduced(x)).reshape([0, -1, 2, self.heads, self.width]).transpose([2, 0, 3, 1, 4])
        key, value = pair[0], pair[1]
        weights = F.softmax(paddle.matmul(query, key, transpose_y=True) * self.width**-0.5, axis=-1)
        return self.proj(paddle.matmul(weights, value).transpose([0, 2, 1, 3]).reshape(shape_of(x)))

    def reduced(self, x: paddle.Tensor) -> paddle.Tensor:
        """N×H×W×C → N×h×w×C, h = H // reduction but at least 1."""
        if self.reduction == 1:
            return x
        height, width = (at_least_one(length // self.reduction) for length in shape_of(x)[1:3])
        patches = self.sr(channels_first(x))[:, :, :height, :width]
        return self.norm(channels_last(patches))


class DepthwiseConvolution(nn.Layer):
    """3×3 within each channel, which tells the transformer about positions."""

    def __init__(self, channels: int):
        super().__init__()
        self.dwconv = conv2d(channels, channels, 3, "relu", groups=channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return channels_last(self.dwconv(channels_first(x)))


class MixFFN(nn.Layer):
    """Linear to four times the channels, 3×3 depth-wise convolution, GELU, linear back."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = linear(channels, 4 * channels)
        self.dwconv = DepthwiseConvolution(4 * channels)
        self.fc2 = linear(4 * channels, channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc2(F.gelu(self.dwconv(self.fc1(x))))


class Block(nn.Layer):
    """``x + attention(norm(x))``, then ``x + ffn(norm(x))``."""

    def __init__(self, channels: int, heads: int, reduction: int, drop: float, epsilon: float):
        super().__init__()
        self.norm1 = LayerNorm(channels, epsilon=BLOCK_EPSILON)
        self.attn = Attention(channels, heads, reduction, epsilon)
        self.norm2 = LayerNorm(channels, epsilon=BLOCK_EPSILON)
        self.mlp = MixFFN(channels)
        self.drop_path = drop_path(drop)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class MiT(nn.Layer):
    """Image N×C×H×W → four maps at strides 4, 8, 16, 32.

    Args:
        channels: of the four maps.
        depths: blocks of the four stages.
        in_channels: bands of the image.
        drop_path_rate: of the last block; it grows linearly from 0 at the first.
        embed_epsilon: of the norms behind patch embeddings and spatial reductions: 1e-5 in the official release,
            1e-6 in mmsegmentation.
        with_cp: recompute the activations of a stage in the backward pass instead of keeping them. One bool, or one
            for each stage.

    Attributes:
        out_channels, strides: of the maps.
    """

    def __init__(
        self,
        channels: Sequence[int],
        depths: Sequence[int],
        in_channels: int = 3,
        drop_path_rate: float = 0.1,
        embed_epsilon: float = 1e-5,
        with_cp: bool | Sequence[bool] = False,
    ):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = list(channels)
        self.strides = [4, 8, 16, 32]
        self.with_cp = four(with_cp, "with_cp")
        before = in_channels
        for i, rates in enumerate(drop_path_rates(drop_path_rate, depths)):
            width = channels[i]
            kernel, stride = (7, 4) if i == 0 else (3, 2)
            embed = PatchEmbedding(before, width, kernel, stride, embed_epsilon)
            blocks = [Block(width, HEADS[i], REDUCTIONS[i], rate, embed_epsilon) for rate in rates]
            setattr(self, f"patch_embed{i + 1}", embed)
            setattr(self, f"block{i + 1}", nn.Sequential(*blocks))
            setattr(self, f"norm{i + 1}", LayerNorm(width, epsilon=BLOCK_EPSILON))
            before = width

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        features = []
        for i in range(4):
            x = getattr(self, f"patch_embed{i + 1}")(x)
            blocks = getattr(self, f"block{i + 1}")
            # without a gradient to pass on there is nothing to recompute
            recomputed = self.with_cp[i] and self.training and not x.stop_gradient
            x = checkpointed(blocks, x) if recomputed else blocks(x)
            x = channels_first(getattr(self, f"norm{i + 1}")(x))
            features.append(x)
        return features


def _register(name: str, channels: tuple[int, ...], depths: tuple[int, ...]) -> None:
    @BACKBONES.register(name)
    def build(
        in_channels: int = 3,
        drop_path_rate: float = 0.1,
        embed_epsilon: float = 1e-5,
        with_cp: bool | Sequence[bool] = False,
    ) -> MiT:
        return MiT(channels, depths, in_channels, drop_path_rate, embed_epsilon, with_cp)

    build.__doc__ = f"{name}; the arguments are those of :class:`MiT`."


NARROW, WIDE = (32, 64, 160, 256), (64, 128, 320, 512)
_register("MiTB0", NARROW, (2, 2, 2, 2))
_register("MiTB1", WIDE, (2, 2, 2, 2))
_register("MiTB2", WIDE, (3, 4, 6, 3))
_register("MiTB3", WIDE, (3, 4, 18, 3))
_register("MiTB4", WIDE, (3, 8, 27, 3))
_register("MiTB5", WIDE, (3, 6, 40, 3))
