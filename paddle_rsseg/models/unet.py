"""U-Net and its relatives with attention gates and recurrent convolutions.

Ronneberger et al., "U-Net", MICCAI 2015; Oktay et al., "Attention U-Net", MIDL 2018; Alom et al., "Recurrent Residual
Convolutional Neural Network based on U-Net", 2018. All are one plan: blocks with max-poolings between them go down,
and on the way up each finer map joins what comes from below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import batch_norm, conv2d, conv_bn_relu, deconv2d, resize, spatial_size
from paddle_rsseg.models.sampling import fit, max_pool, nearest
from paddle_rsseg.models.wiring import wired
from paddle_rsseg.registry import MODELS

Up = Literal["bilinear", "nearest", "deconv"]


class Wiring(NamedTuple):
    """In what the projects' U-Nets differ.

    Attributes:
        widths: channels of the levels, the finest first.
        up: ``bilinear``: the coarser map as it is; ``nearest``: its pixels repeated, then a 3×3 convolution to the
            finer map's channels; ``deconv``: a transposed 2×2 convolution.
        align_corners: of the bilinear up-sampling.
        skip_first: the finer map is in front of the coarser one in their concatenation.
        classifier_kernel: side of the last convolution.
        bias: in the convolutions, although a BatchNorm follows each.
    """

    widths: Sequence[int]
    up: Up
    align_corners: bool
    skip_first: bool
    classifier_kernel: int
    bias: bool


#: PaddleSeg; LeeJunHyun/Image_Segmentation, whose network is also NAIC_AI-RS's; the first milesial/Pytorch-UNet
WIRINGS = {
    "paddleseg": Wiring((64, 128, 256, 512, 512), "bilinear", False, False, 3, True),
    "leejunhyun": Wiring((64, 128, 256, 512, 1024), "nearest", True, True, 1, True),
    "milesial": Wiring((64, 128, 256, 512, 512), "bilinear", True, True, 1, True),
}


def double_conv(in_channels: int, out_channels: int, bias: bool = True) -> nn.Sequential:
    """Two 3×3 convolutions with BatchNorm and ReLU."""
    conv = partial(conv_bn_relu, kernel=3, bias_attr=None if bias else False)
    return nn.Sequential(conv(in_channels, out_channels), conv(out_channels, out_channels))


def descend(blocks: nn.LayerList, x: paddle.Tensor) -> list[paddle.Tensor]:
    """The maps of the blocks, with a max-pooling between each two."""
    maps = [blocks[0](x)]
    for block in blocks[1:]:
        maps.append(block(max_pool(maps[-1])))
    return maps


class UpConv(nn.Layer):
    """A coarse map at a finer one's size, then a 3×3 convolution with BatchNorm and ReLU.

    Args:
        mode: ``nearest`` or ``bilinear`` (corners on each other).
    """

    def __init__(self, in_channels: int, out_channels: int, mode: Literal["nearest", "bilinear"] = "nearest"):
        super().__init__()
        self.mode = mode
        self.conv = conv_bn_relu(in_channels, out_channels, 3, bias_attr=None)

    def forward(self, x: paddle.Tensor, size: Any) -> paddle.Tensor:
        return self.conv(nearest(x, size) if self.mode == "nearest" else resize(x, size))


class UpResize(nn.Layer):
    """A coarse map, bilinear at a finer one's size."""

    def __init__(self, align_corners: bool):
        super().__init__()
        self.align_corners = align_corners

    def forward(self, x: paddle.Tensor, size: Any) -> paddle.Tensor:
        return resize(x, size, self.align_corners)


class Deconv(nn.Layer):
    """A transposed 2×2 convolution of stride 2, cut or continued by a pixel to a finer map's size."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = deconv2d(in_channels, out_channels, 2)

    def forward(self, x: paddle.Tensor, size: Any) -> paddle.Tensor:
        return fit(self.conv(x), size)


class AttentionGate(nn.Layer):
    """``skip`` scaled pixel by pixel: σ(BN(1×1(ReLU(BN(1×1 gate) + BN(1×1 skip))))); N×C×h×w both, and the result.

    Args:
        channels: C.
        inner: channels of the sum.
    """

    def __init__(self, channels: int, inner: int):
        super().__init__()

        def conv_bn(in_channels: int, out_channels: int) -> nn.Sequential:
            return nn.Sequential(conv2d(in_channels, out_channels, 1), batch_norm(out_channels))

        self.gate, self.skip = conv_bn(channels, inner), conv_bn(channels, inner)
        self.psi = conv_bn(inner, 1)

    def forward(self, gate: paddle.Tensor, skip: paddle.Tensor) -> paddle.Tensor:
        return skip * F.sigmoid(self.psi(F.relu(self.gate(gate) + self.skip(skip))))


class RecurrentConv(nn.Layer):
    """y = f(x), then t times y = f(x + y), with one and the same convolution (3×3, BatchNorm, ReLU) f."""

    def __init__(self, channels: int, t: int):
        super().__init__()
        self.t = t
        self.conv = conv_bn_relu(channels, channels, 3, bias_attr=None)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.conv(x)
        for _ in range(self.t):
            y = self.conv(x + y)
        return y


class RecurrentBlock(nn.Layer):
    """A 1×1 convolution, and two recurrent ones around which its result is added."""

    def __init__(self, in_channels: int, out_channels: int, t: int):
        super().__init__()
        self.enter = conv2d(in_channels, out_channels, 1)
        self.recurrent = nn.Sequential(RecurrentConv(out_channels, t), RecurrentConv(out_channels, t))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.enter(x)
        return x + self.recurrent(x)


class UNetPlan(Segmenter):
    """What U-Net and its relatives share.

    Args:
        block: (channels in, channels out) → block of a level.
        gated: attention gates on the finer maps.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        wiring: Wiring,
        block: Callable[[int, int], nn.Layer],
        gated: bool = False,
    ):
        super().__init__()
        widths = list(wiring.widths)
        if len(widths) < 2:
            raise RssegError("model.widths", repr(wiring.widths), "channels of two levels or more")
        self.num_classes, self.in_channels = num_classes, in_channels
        self.min_multiple = 2 ** (len(widths) - 1)
        self.skip_first = wiring.skip_first
        self.encoder = nn.LayerList([block(a, b) for a, b in zip([in_channels, *widths], widths, strict=False)])
        # from coarse to fine
        self.ups, self.decoder, self.gates = nn.LayerList(), nn.LayerList(), nn.LayerList()
        coarse = widths[-1]
        for level in range(len(widths) - 2, -1, -1):
            skip = widths[level]
            if wiring.up == "nearest":
                up, joined, out = UpConv(coarse, skip), 2 * skip, skip
            else:
                # narrowed already here to what the next finer map has, since nothing else does it
                out = widths[max(level - 1, 0)]
                if wiring.up == "deconv":
                    up, joined = Deconv(coarse, out // 2), skip + out // 2
                else:
                    up, joined = UpResize(wiring.align_corners), coarse + skip
            self.ups.append(up)
            self.decoder.append(block(joined, out))
            if gated:
                self.gates.append(AttentionGate(skip, skip // 2))
            coarse = out
        self.head = conv2d(coarse, num_classes, wiring.classifier_kernel)

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        *skips, x = descend(self.encoder, x)
        for i in range(len(self.ups)):
            skip = skips[-1 - i]
            x = self.ups[i](x, spatial_size(skip))
            if len(self.gates):
                skip = self.gates[i](x, skip)
            x = self.decoder[i](paddle.concat([skip, x] if self.skip_first else [x, skip], axis=1))
        return [self.head(x)]


@MODELS.register("UNet")
class UNet(UNetPlan):
    """U-Net.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        wiring: whose network: ``paddleseg`` (13.4 M parameters), ``leejunhyun`` (34.5 M; also NAIC_AI-RS's) or
            ``milesial`` (13.4 M; also in NAIC_AI-RS, as well as with ``bias`` False).
        widths: channels of the levels, the finest first; as many levels as there are numbers.
        use_deconv: PaddleSeg's option: a transposed convolution instead of bilinear up-sampling.
        align_corners, bias: single options of the wiring (:class:`Wiring`); None: as it has them.

    Raises:
        RssegError: unknown wiring, fewer than two widths.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        wiring: Literal["paddleseg", "leejunhyun", "milesial"] = "paddleseg",
        widths: Sequence[int] | None = None,
        use_deconv: bool = False,
        align_corners: bool | None = None,
        bias: bool | None = None,
    ):
        up = "deconv" if use_deconv else None
        options = wired(WIRINGS, wiring, widths=widths, align_corners=align_corners, bias=bias, up=up)
        super().__init__(num_classes, in_channels, options, partial(double_conv, bias=options.bias))


def leejunhyun(widths: Sequence[int]) -> Wiring:
    """The plan of the relatives."""
    return WIRINGS["leejunhyun"]._replace(widths=widths)


WIDTHS = (64, 128, 256, 512, 1024)


@MODELS.register("AttUNet")
class AttUNet(UNetPlan):
    """Attention U-Net of LeeJunHyun/Image_Segmentation: what comes from below says which pixels of a finer map count.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        widths: channels of the levels, the finest first.
    """

    def __init__(self, num_classes: int = 16, in_channels: int = 3, widths: Sequence[int] = WIDTHS):
        super().__init__(num_classes, in_channels, leejunhyun(widths), double_conv, gated=True)


@MODELS.register("R2UNet")
class R2UNet(UNetPlan):
    """Recurrent residual U-Net of LeeJunHyun/Image_Segmentation.

    Args:
        num_classes: K.
        in_channels: bands of the image.
        t: how often each shared convolution is repeated: it is applied t + 1 times.
        widths: channels of the levels, the finest first.
    """

    def __init__(self, num_classes: int = 16, in_channels: int = 3, t: int = 2, widths: Sequence[int] = WIDTHS):
        super().__init__(num_classes, in_channels, leejunhyun(widths), partial(RecurrentBlock, t=t))


@MODELS.register("R2AttUNet")
class R2AttUNet(UNetPlan):
    """R2UNet with the gates of AttUNet; arguments as there."""

    def __init__(self, num_classes: int = 16, in_channels: int = 3, t: int = 2, widths: Sequence[int] = WIDTHS):
        super().__init__(num_classes, in_channels, leejunhyun(widths), partial(RecurrentBlock, t=t), gated=True)
