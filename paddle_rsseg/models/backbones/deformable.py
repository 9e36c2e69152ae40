"""Deformable convolution (Zhu et al., "Deformable ConvNets v2: More Deformable, Better Results", CVPR 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle
import paddle.nn as nn
from paddle.vision.ops import deform_conv2d

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.layers import full_precision


class DeformableConv2D(nn.Conv2D):
    """A 3×3 convolution without bias whose nine taps move, and weigh, as another 3×3 convolution says.

    At output pixel p it is ``Σ_k w_k · m_k(p) · x(p·stride + d_k + o_k(p))`` over the taps k, with d_k the place of the
    tap in the dilated 3×3, the offset o_k in pixels (bilinear between pixels, 0 outside the map) and the weight m_k in
    (0, 1). The second convolution begins at 0: all offsets are 0 and all weights ½.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1):
        relu = nn.initializer.Normal(0.0, math.sqrt(2 / (out_channels * 9)))
        super().__init__(
            in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation,
            weight_attr=paddle.ParamAttr(initializer=relu), bias_attr=False,
        )  # fmt: skip
        zero = paddle.ParamAttr(initializer=nn.initializer.Constant(0.0))
        #: for each tap its offsets down and to the right, then the logits of all weights
        self.taps = nn.Conv2D(
            in_channels, 27, 3, stride, padding=dilation, dilation=dilation, weight_attr=zero, bias_attr=zero
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        with paddle.amp.auto_cast(enable=False):  # places in half precision would be off by pixels
            wide = full_precision(x)
            taps = self.taps(wide)
            weights = nn.functional.sigmoid(taps[:, 18:])
            out = deform_conv2d(
                wide, taps[:, :18], self.weight, stride=self._stride, padding=self._dilation, dilation=self._dilation,
                mask=weights,
            )  # fmt: skip
        return out.astype(x.dtype)


def deform(stages: Sequence[nn.Sequential], last: Sequence[int], interval: int) -> None:
    """Make the 3×3 convolutions of bottleneck blocks deformable.

    Args:
        stages: of a ResNet.
        last: for each stage, how many of its last blocks.
        interval: of these only the blocks 0, ``interval``, 2 · ``interval``, …; in the last stage all the same.

    Raises:
        RssegError: not one number a stage, or blocks that are no bottlenecks.
    """
    if len(last) != len(stages) or interval < 1:
        raise RssegError(
            "model.deformable", f"{list(last)}, every {interval}", f"{len(stages)} numbers of blocks, every 1 or more"
        )
    for stage, count in zip(stages, last, strict=True):
        for i in range(max(len(stage) - count, 0), len(stage)):
            if i % interval == 0 or stage is stages[-1]:
                block = stage[i]
                if not hasattr(block, "conv3") or block.conv2._groups != 1:
                    raise RssegError(
                        "model.deformable", "blocks of another kind", "a plain ResNet of 50 or more layers"
                    )
                old = block.conv2
                block.conv2 = DeformableConv2D(old._in_channels, old._out_channels, old._stride[0], old._dilation[0])
