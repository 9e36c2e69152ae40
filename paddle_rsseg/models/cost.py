"""Size and arithmetic of a network."""

from __future__ import annotations

import math
from typing import Any

import paddle
import paddle.nn as nn


def learnable(model: nn.Layer) -> dict[str, paddle.Tensor]:
    """The parameters by name, frozen ones too, without BatchNorm's running statistics, which Paddle lists as well."""
    statistics = {
        id(tensor)
        for norm in model.sublayers(include_self=True)
        if isinstance(norm, nn.layer.norm._BatchNormBase)
        for tensor in (norm._mean, norm._variance)
    }
    return {name: tensor for name, tensor in model.named_parameters() if id(tensor) not in statistics}


def count(model: nn.Layer, height: int, width: int) -> tuple[int, int]:
    """(parameters, multiply-adds) of ``model`` for one image of ``height`` × ``width`` pixels.

    Multiply-adds are those of the convolutions and linear layers, which is all but a few per cent of the whole.
    Parameters are trainable and frozen ones; running statistics are not counted.
    """
    total = 0

    def conv(layer: nn.Layer, inputs: tuple[Any, ...], output: paddle.Tensor) -> None:
        nonlocal total
        total += math.prod(output.shape) * math.prod(layer.weight.shape[1:])

    def transposed(layer: nn.Layer, inputs: tuple[Any, ...], output: paddle.Tensor) -> None:
        nonlocal total
        total += math.prod(inputs[0].shape) * math.prod(layer.weight.shape[1:])

    def linear(layer: nn.Layer, inputs: tuple[Any, ...], output: paddle.Tensor) -> None:
        nonlocal total
        total += math.prod(output.shape) * layer.weight.shape[0]

    rules = {nn.Conv2D: conv, nn.Conv2DTranspose: transposed, nn.Linear: linear}
    hooks = [
        layer.register_forward_post_hook(rule)
        for layer in model.sublayers(include_self=True)
        for kind, rule in rules.items()
        if isinstance(layer, kind)
    ]
    was_training = model.training
    model.eval()
    try:
        with paddle.no_grad():
            model(paddle.zeros([1, model.in_channels, height, width], paddle.get_default_dtype()))
    finally:
        for hook in hooks:
            hook.remove()
        if was_training:
            model.train()
    return sum(math.prod(parameter.shape) for parameter in learnable(model).values()), total
