"""EfficientNet-B0 to B7 (Tan and Le, ICML 2019) with the paddings of TensorFlow, of efficientnet_pytorch, and of
timm and torchvision; for any number of bands. Names are timm's."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones.chain import Dilation, dilated, run_chain
from paddle_rsseg.models.backbones.mobilenet_v2 import multiple_of_8
from paddle_rsseg.models.backbones.residual import register_variant
from paddle_rsseg.models.backbones.transformer import drop_path
from paddle_rsseg.models.layers import batch_norm, conv2d, global_mean, spatial_size

#: (expansion, channels, blocks, stride, kernel) of each stage of B0
STAGES = [
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
]
#: stages whose outputs are maps: at strides 4, 8, 16, 32
TAPPED = (1, 2, 4, 6)
#: factors on channels and on blocks, and the side of the images it was designed for
VARIANTS = {
    "B0": (1.0, 1.0, 224),
    "B1": (1.0, 1.1, 240),
    "B2": (1.1, 1.2, 260),
    "B3": (1.2, 1.4, 300),
    "B4": (1.4, 1.8, 380),
    "B5": (1.6, 2.2, 456),
    "B6": (1.8, 2.6, 528),
    "B7": (2.0, 3.1, 600),
}
#: with the padding for a nominal size a map of one pixel would have no place for the next 3×3
SMALLEST = 32

Padding = Literal["same", "nominal", "symmetric"]


class SqueezeExcite(nn.Layer):
    """Each channel times sigmoid(1×1(swish(1×1(its mean))))."""

    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.conv_reduce = conv2d(channels, squeezed, 1, "relu")
        self.conv_expand = conv2d(squeezed, channels, 1, "relu")

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        mean = global_mean(x)
        return x * F.sigmoid(self.conv_expand(F.silu(self.conv_reduce(mean))))


class InvertedResidual(nn.Layer):
    """1×1 to ``expansion`` times the channels, depthwise, squeeze and excitation, 1×1 back; plus the input."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        dilation: int,
        expansion: int,
        padding: Any,
        norm: Callable[[int], nn.Layer],
        drop_rate: float,
    ):
        super().__init__()
        hidden = in_channels * expansion
        self.conv_pw = None
        if expansion != 1:
            self.conv_pw = conv2d(in_channels, hidden, 1, "relu", bias_attr=False)
            self.bn1 = norm(hidden)
        options = {"stride": stride, "dilation": dilation, "padding": padding, "groups": hidden, "bias_attr": False}
        self.conv_dw = conv2d(hidden, hidden, kernel, "relu", **options)
        self.bn2 = norm(hidden)
        self.se = SqueezeExcite(hidden, max(1, in_channels // 4))
        self.conv_pwl = conv2d(hidden, out_channels, 1, "relu", bias_attr=False)
        self.bn3 = norm(out_channels)
        self.residual = stride == 1 and in_channels == out_channels
        self.drop_path = drop_path(drop_rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        out = x if self.conv_pw is None else F.silu(self.bn1(self.conv_pw(x)))
        out = self.se(F.silu(self.bn2(self.conv_dw(out))))
        out = self.bn3(self.conv_pwl(out))
        return x + self.drop_path(out) if self.residual else out


class EfficientNet(nn.Layer):
    """Image N×C×H×W → maps at strides 4, 8, 16 and 32 (or the output stride).

    Args:
        variant: ``B0`` … ``B7``.
        in_channels: bands of the image.
        output_stride: 32, 16 or 8: no map becomes coarser; blocks dilate instead.
        dilation: which blocks do, :data:`~paddle_rsseg.models.backbones.chain.Dilation`. ``contracted``: timm's;
            ``whole_stage``: segmentation_models_pytorch's.
        padding: of the convolutions that halve the resolution; weights go with the one they were trained with.
            ``same``: TensorFlow's, which depends on the size of the map (timm's ``tf_efficientnet_*``).
            ``nominal``: what ``same`` is for an image of the side the variant was designed for, whatever the image
            (efficientnet_pytorch, and segmentation_models_pytorch's ``efficientnet-b*``); odd maps then lose their
            last row or column, or an even one is padded as if it were odd.
            ``symmetric``: half a kernel on all sides (torchvision, and timm's ``efficientnet_*``).
        epsilon: of BatchNorm. None: TensorFlow's 1e-3, and with ``symmetric`` padding PyTorch's 1e-5, as timm has
            them. torchvision's B5 to B7 have 1e-3 with symmetric padding. Running statistics keep 99 % of their old
            value with TensorFlow's paddings, 90 % else.
        drop_connect: share of the images for which the last block is skipped in training; it grows linearly from 0
            at the first block.
        finest_stride: 4, or 2 for one more map in front, the stem's.
        with_cp: recompute the activations of each block in the backward pass instead of keeping them.

    Attributes:
        out_channels, strides: of the maps, from fine to coarse.
    """

    def __init__(
        self,
        variant: str,
        in_channels: int = 3,
        output_stride: Literal[8, 16, 32] = 32,
        dilation: Dilation = "contracted",
        padding: Padding = "same",
        epsilon: float | None = None,
        drop_connect: float = 0.2,
        finest_stride: Literal[2, 4] = 4,
        with_cp: bool = False,
    ):
        super().__init__()
        if padding not in get_args(Padding):
            raise RssegError("model.padding", repr(padding), f"one of {', '.join(get_args(Padding))}")
        if finest_stride not in (2, 4):
            raise RssegError("model.finest_stride", repr(finest_stride), "2 or 4")
        self.in_channels = in_channels
        self.finest_stride = finest_stride
        self.with_cp = with_cp
        self.at_least = SMALLEST if padding == "nominal" else 1
        tensorflow = padding != "symmetric"
        if epsilon is None:
            epsilon = 1e-3 if tensorflow else 1e-5
        norm = partial(batch_norm, momentum=0.99 if tensorflow else 0.9, epsilon=epsilon)

        width, depth, size = VARIANTS[variant]
        channels = multiple_of_8(32 * width)
        around = conv_padding(padding, 3, 2, 1, size)
        self.conv_stem = conv2d(in_channels, channels, 3, "relu", stride=2, padding=around, bias_attr=False)
        self.bn1 = norm(channels)
        size = math.ceil(size / 2)

        self.out_channels, self.strides, self.ends = [channels], [2], []
        depths = [math.ceil(blocks * depth) for _, _, blocks, _, _ in STAGES]
        plan = dilated(
            [(stage[3], blocks) for stage, blocks in zip(STAGES, depths, strict=True)], 2, output_stride, dilation
        )
        stages = []
        number, total = 0, 2
        for i, (expansion, wide, _, _, kernel) in enumerate(STAGES):
            blocks = []
            for stride, rate in plan[i]:
                wanted = multiple_of_8(wide * width)
                around = conv_padding(padding, kernel, stride, rate, size)
                drop_rate = drop_connect * number / sum(depths)
                blocks.append(
                    InvertedResidual(channels, wanted, kernel, stride, rate, expansion, around, norm, drop_rate)
                )
                channels = wanted
                size = math.ceil(size / stride)
                number += 1
                total *= stride
            stages.append(nn.Sequential(*blocks))
            if i in TAPPED:
                self.ends.append(number - 1)
                self.out_channels.append(channels)
                self.strides.append(total)
        self.blocks = nn.Sequential(*stages)
        if finest_stride == 4:
            del self.out_channels[0], self.strides[0]

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        stem = F.silu(self.bn1(self.conv_stem(enlarged(x, self.at_least))))
        blocks = [block for stage in self.blocks for block in stage]
        maps = run_chain(blocks, stem, self.ends, self.with_cp and self.training)
        return [stem, *maps] if self.finest_stride == 2 else maps


def conv_padding(padding: Padding, kernel: int, stride: int, dilation: int, size: int) -> Any:
    """Padding of a convolution as ``nn.Conv2D`` takes it; ``size`` is the side of the map for the nominal image."""
    if padding == "symmetric" or stride == 1:
        return kernel // 2 * dilation
    if padding == "same":
        return "SAME"
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return [total // 2, total - total // 2] * 2


def enlarged(x: paddle.Tensor, length: int) -> paddle.Tensor:
    """``x`` with zeros below and to the right where it has fewer than ``length`` rows or columns."""
    if length == 1:
        return x
    size = spatial_size(x)
    if paddle.in_dynamic_mode():
        rows, columns = max(length - size[0], 0), max(length - size[1], 0)
        return F.pad(x, [0, columns, 0, rows]) if rows or columns else x
    lack = paddle.clip(length - size, min=0).astype("int32")
    zero = paddle.zeros([1], "int32")
    return F.pad(x, paddle.concat([zero, lack[1:], zero, lack[:1]]))


for _variant in VARIANTS:
    register_variant(f"EfficientNet{_variant}", EfficientNet, variant=_variant)
