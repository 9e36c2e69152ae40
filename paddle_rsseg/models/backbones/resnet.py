"""ResNet-18/34/50/101 in torchvision's layout and names, for any number of bands and output stride 32, 16 or 8.

Written out because Paddle's own ResNet takes three bands only and has no dilated stages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F
from paddle.distributed.fleet.utils import recompute

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.layers import batch_norm, conv2d, freeze
from paddle_rsseg.registry import BACKBONES


class BasicBlock(nn.Layer):
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
        self.conv1 = conv2d(in_channels, channels, 3, "relu", stride=stride, dilation=before, bias_attr=False)
        self.bn1 = batch_norm(channels, frozen_norm)
        self.conv2 = conv2d(channels, channels, 3, "relu", dilation=after, bias_attr=False)
        self.bn2 = batch_norm(channels, frozen_norm)
        self.downsample = downsample

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Layer):
    """1×1, 3×3 (which carries the stride), 1×1 to four times the channels; plus the shortcut."""

    expansion = 4

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
        wide = channels * self.expansion
        self.conv1 = conv2d(in_channels, channels, 1, "relu", bias_attr=False)
        self.bn1 = batch_norm(channels, frozen_norm)
        self.conv2 = conv2d(channels, channels, 3, "relu", stride=stride, dilation=dilations[0], bias_attr=False)
        self.bn2 = batch_norm(channels, frozen_norm)
        self.conv3 = conv2d(channels, wide, 1, "relu", bias_attr=False)
        self.bn3 = batch_norm(wide, frozen_norm)
        self.downsample = downsample

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Layer):
    """Image N×C×H×W → [c2, c3, c4, c5], at strides (4, 8, 16, 32), (4, 8, 16, 16) or (4, 8, 8, 8).

    Args:
        block: :class:`BasicBlock` or :class:`Bottleneck`.
        depths: blocks of the four stages.
        in_channels: bands of the image.
        output_stride: 32, 16 or 8. Below 32 the last stages keep their resolution and dilate instead: the
            convolution that would have had the stride keeps the dilation before it, all later 3×3 double theirs.
        freeze_at: 0 trains everything; 1 freezes the parameters of the stem, 2 also of layer1, … 5 of layer4.
        batchnorm_trainable: False freezes the parameters and the statistics of every BatchNorm.
        with_cp: recompute the activations of a stage in the backward pass instead of keeping them: less memory, a
            third more time, the same numbers up to the order of additions. One bool, or one for each stage.

    Attributes:
        out_channels, strides: of the four maps.
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
    ):
        super().__init__()
        if output_stride not in (8, 16, 32):
            raise RssegError("model.output_stride", repr(output_stride), "8, 16 or 32")
        if not 0 <= freeze_at <= 5:
            raise RssegError("model.freeze_at", repr(freeze_at), "0 (nothing) to 5 (all stages)")
        self.with_cp = (with_cp,) * 4 if isinstance(with_cp, bool) else tuple(with_cp)
        if len(self.with_cp) != 4:
            raise RssegError("model.with_cp", repr(with_cp), "one bool, or four")
        self.in_channels = in_channels
        frozen_norm = not batchnorm_trainable

        self.conv1 = conv2d(in_channels, 64, 7, "relu", stride=2, bias_attr=False)
        self.bn1 = batch_norm(64, frozen_norm)
        self.maxpool = nn.MaxPool2D(3, stride=2, padding=1)

        self.out_channels: list[int] = []
        self.strides: list[int] = []
        width, total_stride, dilation = 64, 4, 1
        for stage, depth in enumerate(depths):
            channels = 64 * 2**stage
            stride = 1 if stage == 0 else 2
            before = dilation
            if total_stride * stride > output_stride:
                stride, dilation = 1, dilation * stride
            blocks = []
            for i in range(depth):
                step = stride if i == 0 else 1
                shortcut = None
                if step != 1 or width != channels * block.expansion:
                    shortcut = nn.Sequential(
                        conv2d(width, channels * block.expansion, 1, "relu", stride=step, bias_attr=False),
                        batch_norm(channels * block.expansion, frozen_norm),
                    )
                dilations = (before if i == 0 else dilation, dilation)
                blocks.append(block(width, channels, step, dilations, shortcut, frozen_norm))
                width = channels * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            total_stride *= stride
            self.out_channels.append(width)
            self.strides.append(total_stride)

        for part in (self.conv1, self.bn1)[: 2 * freeze_at]:
            freeze(part)
        for stage in self.stages[: max(freeze_at - 1, 0)]:
            freeze(stage)

    @property
    def stages(self) -> list[nn.Sequential]:
        return [self.layer1, self.layer2, self.layer3, self.layer4]

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        features = []
        for i, stage in enumerate(self.stages):  # not zip(strict=True), which Paddle cannot trace
            # without a gradient to pass on there is nothing to recompute
            recomputed = self.with_cp[i] and self.training and not x.stop_gradient
            x = checkpointed(stage, x) if recomputed else stage(x)
            features.append(x)
        return features


def checkpointed(stage: nn.Layer, x: paddle.Tensor) -> paddle.Tensor:
    """``stage(x)``, its activations recomputed in the backward pass; same output, gradients and statistics."""
    runs = 0

    def run(x: paddle.Tensor) -> paddle.Tensor:
        nonlocal runs
        runs += 1
        if runs == 1:
            return stage(x)
        with statistics_kept(stage):
            return stage(x)

    return recompute(run, x)


@contextmanager
def statistics_kept(layer: nn.Layer) -> Iterator[None]:
    """Inside, BatchNorm still normalises with the batch but leaves its running statistics alone.

    Else a recomputed stage would count every batch twice.
    """
    norms = [norm for norm in layer.sublayers() if isinstance(norm, nn.layer.norm._BatchNormBase)]
    momenta = [norm._momentum for norm in norms]
    for norm in norms:
        norm._momentum = 1.0  # new = 1 · old + 0 · batch
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm._momentum = momentum


def _register(name: str, block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, ...]) -> None:
    @BACKBONES.register(name)
    def build(
        in_channels: int = 3,
        output_stride: Literal[8, 16, 32] = 32,
        freeze_at: Literal[0, 1, 2, 3, 4, 5] = 0,
        batchnorm_trainable: bool = True,
        with_cp: bool | Sequence[bool] = False,
    ) -> ResNet:
        return ResNet(block, depths, in_channels, output_stride, freeze_at, batchnorm_trainable, with_cp)

    build.__doc__ = f"{name}; the arguments are those of :class:`ResNet`."


_register("ResNet18", BasicBlock, (2, 2, 2, 2))
_register("ResNet34", BasicBlock, (3, 4, 6, 3))
_register("ResNet50", Bottleneck, (3, 4, 6, 3))
_register("ResNet101", Bottleneck, (3, 4, 23, 3))
