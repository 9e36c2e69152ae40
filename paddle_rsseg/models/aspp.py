"""Atrous spatial pyramid pooling (Chen et al., 2017), in the variants of the public DeepLabs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import paddle
import paddle.nn as nn

from paddle_rsseg.models.layers import LeakyReLU, batch_norm, conv2d, conv_bn_relu, global_mean, spatial_size

#: what stands between the depthwise and the pointwise half of a separable convolution
Between = Literal["nothing", "norm", "norm_relu"]


class SeparableConv(nn.Layer):
    """Depthwise 3×3, then pointwise 1×1 with BatchNorm and ReLU.

    Args:
        dilation: of the depthwise half.
        between: ``nothing`` between the halves, a BatchNorm (``norm``), or BatchNorm and ReLU (``norm_relu``).
        bias: of both convolutions.
    """

    def __init__(
        self, in_channels: int, out_channels: int, dilation: int = 1, between: Between = "norm", bias: bool = False
    ):
        super().__init__()
        has_bias = None if bias else False
        options = {"groups": in_channels, "dilation": dilation, "bias_attr": has_bias}
        depthwise: list[nn.Layer] = [conv2d(in_channels, in_channels, 3, "relu", **options)]
        if between != "nothing":
            depthwise.append(batch_norm(in_channels))
        if between == "norm_relu":
            depthwise.append(nn.ReLU())
        self.depthwise = nn.Sequential(*depthwise)
        self.pointwise = conv_bn_relu(in_channels, out_channels, 1, init="relu", bias_attr=has_bias)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.pointwise(self.depthwise(x))


def conv_unit(
    in_channels: int,
    out_channels: int,
    kernel: int = 3,
    dilation: int = 1,
    separable: Between | Literal[False] = False,
    bias: bool = False,
) -> nn.Layer:
    """Convolution, BatchNorm, ReLU; a 3×3 is :class:`SeparableConv` where ``separable`` says what its halves have."""
    if separable and kernel == 3:
        return SeparableConv(in_channels, out_channels, dilation, separable, bias)
    has_bias = None if bias else False
    return conv_bn_relu(in_channels, out_channels, kernel, init="relu", dilation=dilation, bias_attr=has_bias)


class ASPP(nn.Layer):
    """One map seen at several dilations and as a whole: N×C×h×w → N×C'×h×w.

    A 1×1 convolution, a 3×3 for each rate and the global mean through a 1×1, all of ``out_channels`` and with
    BatchNorm and ReLU, are concatenated and fused.

    Args:
        rates: dilations of the 3×3 branches.
        pool_first: the mean stands before (True) or after the other branches in the concatenation.
        separable: the 3×3 branches are depthwise separable, with this between their halves; False: they are not.
        fusion_kernel: of the convolution that brings the concatenation back to ``out_channels``.
        dropout: after the fusion.
        bias: of all convolutions but that of the mean.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        rates: Sequence[int] = (6, 12, 18),
        pool_first: bool = False,
        separable: Between | Literal[False] = False,
        fusion_kernel: Literal[1, 3] = 1,
        dropout: float = 0.1,
        bias: bool = False,
    ):
        super().__init__()
        self.pool_first = pool_first
        branches = [conv_unit(in_channels, out_channels, 1, bias=bias)]
        branches += [conv_unit(in_channels, out_channels, 3, rate, separable, bias) for rate in rates]
        self.branches = nn.LayerList(branches)
        self.pool = conv_unit(in_channels, out_channels, 1)
        self.fusion = conv_unit(out_channels * (len(branches) + 1), out_channels, fusion_kernel, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        outputs = [branch(x) for branch in self.branches]
        size = spatial_size(x)
        # one value a channel: every way of resizing it is this copy
        mean = self.pool(global_mean(x)).expand([-1, -1, size[0], size[1]])
        outputs = [mean, *outputs] if self.pool_first else [*outputs, mean]
        return self.dropout(self.fusion(paddle.concat(outputs, axis=1)))


class JointASPP(nn.Layer):
    """ASPP whose branches share one norm, the global mean being added behind it: N×C×h×w → N×C'×h×w.

    The wiring of mapillary's in-place norms: a 1×1 convolution and a 3×3 for each rate are concatenated before one
    BatchNorm and leaky ReLU, and reduced; the mean, through a 1×1 of its own with the same, is reduced likewise and
    added; the sum gets the last norm and leaky ReLU. No convolution has a bias.

    Args:
        channels: of every branch and of the result.
        rates: dilations of the 3×3 branches.
    """

    def __init__(self, in_channels: int, channels: int = 256, rates: Sequence[int] = (6, 12, 18)):
        super().__init__()

        def conv(a: int, b: int, kernel: int = 1, dilation: int = 1) -> nn.Layer:
            return conv2d(a, b, kernel, "relu", dilation=dilation, bias_attr=False)

        def norm(width: int) -> nn.Layer:
            return nn.Sequential(batch_norm(width), LeakyReLU(0.01))

        branches = [conv(in_channels, channels)] + [conv(in_channels, channels, 3, rate) for rate in rates]
        self.branches = nn.LayerList(branches)
        width = channels * len(branches)
        self.reduction = nn.Sequential(norm(width), conv(width, channels))
        self.pool = nn.Sequential(conv(in_channels, channels), norm(channels), conv(channels, channels))
        self.norm = norm(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        together = paddle.concat([branch(x) for branch in self.branches], axis=1)
        return self.norm(self.reduction(together) + self.pool(global_mean(x)))


class DenseASPP(nn.Layer):
    """Dilated convolutions that each see the results of all before: N×C×h×w → N×(C + rates · growth)×h×w.

    Yang et al., "DenseASPP for Semantic Segmentation in Street Scenes", CVPR 2018. A block is a 1×1 convolution to
    ``hidden`` channels and a dilated 3×3 to ``growth``, each with bias, BatchNorm and ReLU, and dropout; what it gives
    stands in front of what it was given.

    Args:
        rates: dilations of the blocks, in their order.
        hidden, growth: channels inside a block, and of what it gives.
        dropout: behind each block.
    """

    def __init__(
        self,
        in_channels: int,
        rates: Sequence[int] = (3, 6, 12, 18, 24),
        hidden: int = 256,
        growth: int = 64,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.out_channels = in_channels
        blocks = []
        for rate in rates:
            squeeze = conv_unit(self.out_channels, hidden, 1, bias=True)
            blocks.append(nn.Sequential(squeeze, conv_unit(hidden, growth, 3, rate, bias=True), nn.Dropout(dropout)))
            self.out_channels += growth
        self.blocks = nn.LayerList(blocks)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        for block in self.blocks:
            x = paddle.concat([block(x), x], axis=1)
        return x
