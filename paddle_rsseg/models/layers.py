"""Building blocks of the networks: convolutions with their initial values, norms, and exact resizing."""

from __future__ import annotations

import math
from typing import Any

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError

HALF = (paddle.float16, paddle.bfloat16)


def conv2d(in_channels: int, out_channels: int, kernel: int, init: str = "default", **options: Any) -> nn.Conv2D:
    """A convolution that keeps the size (stride 1), with the initial values of the reference networks.

    Paddle's own default differs from PyTorch's by a factor of 2.4 in spread, hence always explicit here.

    Args:
        init: ``default``: PyTorch's, uniform ±1/√fan_in, bias too; ``xavier_like``: uniform ±√(3/fan_in) (Kaiming
            with a = 1), bias 0, the FPN's; ``relu``: normal √(2/fan_out), bias 0, the ResNet's.
        options: of ``nn.Conv2D``; ``bias_attr=False`` for no bias.
    """
    options.setdefault("padding", kernel // 2 * options.get("dilation", 1))
    groups = options.get("groups", 1)
    fan_in = in_channels // groups * kernel * kernel
    fan_out = out_channels // groups * kernel * kernel
    uniform = nn.initializer.Uniform
    weight, bias = {
        "default": (uniform(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in)),) * 2,
        "xavier_like": (uniform(-math.sqrt(3 / fan_in), math.sqrt(3 / fan_in)), nn.initializer.Constant(0.0)),
        "relu": (nn.initializer.Normal(0.0, math.sqrt(2 / fan_out)), nn.initializer.Constant(0.0)),
    }[init]
    options["weight_attr"] = paddle.ParamAttr(initializer=weight)
    if options.get("bias_attr") is not False:
        options["bias_attr"] = paddle.ParamAttr(initializer=bias)
    return nn.Conv2D(in_channels, out_channels, kernel, **options)


class BatchNorm2D(nn.BatchNorm2D):
    """Paddle's, exact in float64 too, which serves comparisons with other programs.

    Paddle's kernel knows epsilon in float32, 2.6e-13 off at 1e-5; where the variance is small, training steps multiply
    that by billions. Here the map is scaled so that epsilon becomes a power of two, which is exact.
    """

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if x.dtype != paddle.float64:
            return nn.BatchNorm2D.forward(self, x)  # not super(), which Paddle 2.6 cannot trace
        epsilon = 2.0 ** round(math.log2(self._epsilon))
        scale = math.sqrt(epsilon / self._epsilon)
        mean, variance = self._mean * scale, self._variance * scale**2
        out = F.batch_norm(
            x * scale, mean, variance, self.weight, self.bias, self.training, self._momentum, epsilon,
            use_global_stats=self._use_global_stats,
        )  # fmt: skip
        if self.training:  # the kernel has updated the scaled statistics
            self._mean.set_value(mean / scale)
            self._variance.set_value(variance / scale**2)
        return out


def batch_norm(channels: int, frozen: bool = False, momentum: float = 0.9, epsilon: float = 1e-5) -> nn.BatchNorm2D:
    """BatchNorm as in most reference networks: eps 1e-5 and statistics that keep 90 % of their old value.

    Paddle's momentum is the weight of the *old* value, PyTorch's that of the new one: 0.9 here is 0.1 there.
    (On CPU Paddle puts the biased variance of the batch into the running one, PyTorch and cuDNN the unbiased:
    a factor of (n-1)/n with n = N·h·w, which matters only for tiny maps.)

    Args:
        frozen: the affine parameters do not train and the running statistics are used, also while training.
        momentum: share of the old running statistics that an update keeps.
    """
    norm = BatchNorm2D(channels, momentum=momentum, epsilon=epsilon, use_global_stats=True if frozen else None)
    if frozen:
        freeze(norm)
    return norm


class LeakyReLU(nn.Layer):
    """x where it is positive, else ``slope`` · x. Paddle's own loses its slope on the way to ONNX."""

    def __init__(self, slope: float):
        super().__init__()
        self.slope = slope

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.maximum(x, self.slope * x)


def set_momentum(layer: nn.Layer, momentum: float) -> None:
    """Every BatchNorm in ``layer`` keeps this share of its old statistics from now on (see :func:`batch_norm`)."""
    for part in layer.sublayers(include_self=True):
        if isinstance(part, nn.BatchNorm2D):
            part._momentum = momentum


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int, **options: Any) -> nn.Sequential:
    """Convolution (no bias unless ``bias_attr`` says so), BatchNorm, ReLU; ``options`` are those of :func:`conv2d`."""
    options.setdefault("bias_attr", False)
    return nn.Sequential(conv2d(in_channels, out_channels, kernel, **options), batch_norm(out_channels), nn.ReLU())


def deconv2d(in_channels: int, out_channels: int, kernel: int, **options: Any) -> nn.Conv2DTranspose:
    """A transposed convolution of stride 2 with PyTorch's initial values; ``options`` are those of the layer."""
    # the fan-in is taken from the weight's second axis there
    bound = 1 / math.sqrt(out_channels * kernel * kernel)
    spread = paddle.ParamAttr(initializer=nn.initializer.Uniform(-bound, bound))
    if options.get("bias_attr") is not False:
        options["bias_attr"] = spread
    return nn.Conv2DTranspose(in_channels, out_channels, kernel, stride=2, weight_attr=spread, **options)


def doubling(in_channels: int, out_channels: int) -> nn.Sequential:
    """N×C×h×w → N×C'×2h×2w: a transposed 4×4 convolution of stride 2 without bias, BatchNorm, ReLU."""
    conv = deconv2d(in_channels, out_channels, 4, padding=1, bias_attr=False)
    return nn.Sequential(conv, batch_norm(out_channels), nn.ReLU())


def make_norm(kind: str, channels: int, num_groups: int = 32) -> nn.Layer:
    """``BatchNorm`` or ``GroupNorm`` (with ``num_groups`` groups) by name."""
    if kind == "BatchNorm":
        return batch_norm(channels)
    if kind == "GroupNorm":
        return nn.GroupNorm(num_groups, channels, epsilon=1e-5)
    raise RssegError("model.norm", repr(kind), "BatchNorm or GroupNorm")


def freeze(layer: nn.Layer) -> None:
    """No parameter of ``layer`` trains from now on."""
    for parameter in layer.parameters():
        parameter.trainable = False


def spatial_size(x: paddle.Tensor) -> Any:
    """(height, width) of an N×C×H×W map: numbers, or a tensor while a graph of dynamic size is traced."""
    return x.shape[2:] if paddle.in_dynamic_mode() else paddle.shape(x)[2:]


def resize(x: paddle.Tensor, size: Any, align_corners: bool = True) -> paddle.Tensor:
    """Bilinear to exactly ``size``: pixel centres of the corners on each other, or (False) half-pixel centres."""
    if x.dtype == paddle.float64:
        # Paddle's kernel computes the sampling positions in float32 even here, an error of 5e-6; float64 serves
        # comparisons with other programs, where that drowns all that is to be seen
        rows, columns = (hat_matrix(x.shape[2 + axis], size[axis], x.dtype, align_corners) for axis in (0, 1))
        return rows @ x @ columns.T
    # align_mode 0 is what other frameworks do with half-pixel centres; Paddle's own default is 1 in places
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners, align_mode=0)


def hat_matrix(length: int, wanted: int, dtype: paddle.dtype, align_corners: bool = True) -> paddle.Tensor:
    """wanted×length matrix of linear interpolation: row i weighs the neighbours of its position."""
    position = paddle.arange(wanted, dtype=dtype)
    if align_corners:
        position = position * ((length - 1) / max(wanted - 1, 1))
    else:
        position = ((position + 0.5) * (length / wanted) - 0.5).clip(0.0, length - 1.0)
    return (1 - (position.unsqueeze(1) - paddle.arange(length, dtype=dtype)).abs()).clip(min=0.0)


def global_mean(x: paddle.Tensor) -> paddle.Tensor:
    """N×C×h×w → N×C×1×1, exact in float64 too: Paddle's pooling has 1/(h·w) in float32 when it computes gradients."""
    return x.mean([2, 3], keepdim=True)


def full_precision(x: paddle.Tensor) -> paddle.Tensor:
    """Half precision becomes float32; float32 and float64 stay as they are."""
    return x.astype("float32") if x.dtype in HALF else x
