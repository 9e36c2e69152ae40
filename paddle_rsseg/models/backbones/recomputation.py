"""Gradient checkpointing: activations computed again in the backward pass instead of kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import paddle
import paddle.nn as nn
from paddle.distributed.fleet.utils import recompute


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
