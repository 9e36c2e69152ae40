"""What the transformers share. Their maps are N×H×W×C inside: every linear layer and norm acts on the last axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError


def linear(in_channels: int, out_channels: int, bias: bool = True) -> nn.Linear:
    """A linear layer that starts with a truncated normal of spread 0.02 and bias 0."""
    weight = paddle.ParamAttr(initializer=nn.initializer.TruncatedNormal(std=0.02))
    return nn.Linear(in_channels, out_channels, weight_attr=weight, bias_attr=None if bias else False)


class LayerNorm(nn.LayerNorm):
    """Paddle's, over the last axis, with the right gradient where its scale is frozen.

    Paddle's kernel then takes the scale for 1 on the way back, so that everything before a frozen norm would train
    with a wrong gradient.
    """

    def __init__(self, channels: int, epsilon: float = 1e-5):
        super().__init__(channels, epsilon)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if not self.weight.stop_gradient:
            return nn.LayerNorm.forward(self, x)  # not super(), which Paddle 2.6 cannot trace
        return F.layer_norm(x, x.shape[-1:], epsilon=self._epsilon) * self.weight + self.bias


def drop_path(rate: float) -> nn.Dropout:
    """Stochastic depth (Huang et al. 2016): drop a whole branch of an image, scale it by 1/(1 - rate) if it stays."""
    return nn.Dropout(rate, axis=0)


def drop_path_rates(rate: float, depths: Sequence[int]) -> Iterator[list[float]]:
    """For each stage the rates of its blocks: from 0 at the network's first block to ``rate`` at its last."""
    rates = np.linspace(0.0, rate, sum(depths)).tolist()
    for depth in depths:
        yield rates[:depth]
        rates = rates[depth:]


def four(value: bool | Sequence[bool], name: str) -> tuple[bool, ...]:
    """One bool for each of the four stages."""
    stages = (value,) * 4 if isinstance(value, bool) else tuple(value)
    if len(stages) != 4:
        raise RssegError(f"model.{name}", repr(value), "one bool, or four")
    return stages


def shape_of(x: paddle.Tensor) -> Any:
    """The shape of ``x``: numbers, or a tensor while a graph of dynamic size is traced."""
    return x.shape if paddle.in_dynamic_mode() else paddle.shape(x)


def channels_last(x: paddle.Tensor) -> paddle.Tensor:
    """N×C×H×W → N×H×W×C."""
    return x.transpose([0, 2, 3, 1])


def channels_first(x: paddle.Tensor) -> paddle.Tensor:
    """N×H×W×C → N×C×H×W."""
    return x.transpose([0, 3, 1, 2])
