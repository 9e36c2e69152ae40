"""Limits for the gradients of single parameters."""

from __future__ import annotations

from collections.abc import Mapping

import paddle
from paddle import nn
from paddle.nn.clip import ClipGradBase

from paddle_rsseg.errors import RssegError

Gradients = list[tuple[paddle.Tensor, paddle.Tensor | None]]


class Limits(ClipGradBase):
    """No element of some gradients goes beyond ± a limit.

    Here, in the optimiser, because a hook of the parameter would see fp16's gradients before their loss scale is taken
    off, and each rank's and each partial batch's before they are averaged.

    Args:
        limits: Paddle's own name of a parameter → its limit.
        then: what clips all gradients afterwards, if anything does.
    """

    def __init__(self, limits: Mapping[str, float], then: ClipGradBase | None):
        super().__init__()
        self.limits, self.then = limits, then

    def __call__(self, gradients: Gradients) -> Gradients:
        limited = []
        for parameter, gradient in gradients:
            limit = self.limits.get(parameter.name)
            if limit is not None and gradient is not None:
                gradient = gradient.clip(-limit, limit)
            limited.append((parameter, gradient))
        return self.then(limited) if self.then else limited


def limited(clip: ClipGradBase | None, limits: Mapping[str, float], model: nn.Layer) -> ClipGradBase | None:
    """``clip`` after the limits of some parameters.

    Args:
        limits: part of a parameter's name in ``model`` → limit.

    Raises:
        RssegError: a part of a name that no parameter has.
    """
    own = {name: limit for part, limit in limits.items() for name in parameters_named(model, part, "grad_clip.limits")}
    return Limits(own, clip) if own else clip


def parameters_named(model: nn.Layer, part: str, where: str) -> list[str]:
    """Paddle's own names of the parameters with ``part`` in their names in the model.

    Raises:
        RssegError: there is none; ``where`` says what asked for it.
    """
    found = [parameter.name for name, parameter in model.named_parameters() if part in name]
    if not found:
        raise RssegError(
            where, f"no parameter of the model has {part!r} in its name", "parts of names",
            "such as norm or bias, or leave it out",
        )  # fmt: skip
    return found
