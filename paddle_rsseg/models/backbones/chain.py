"""Encoders that are one chain of blocks: which blocks dilate at a smaller output stride, and the way through."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from typing import Literal, get_args

import paddle
import paddle.nn as nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones.recomputation import checkpointed

#: How the blocks dilate behind a stride that was taken away. ``contracted`` (timm): the block that would have had
#: the stride keeps the dilation before it, all later ones double theirs, so that every filter sees what it saw
#: undilated. ``whole_stage`` (segmentation_models_pytorch, PaddleSeg): already that block dilates. ``next_stage``
#: (jfzhang95, SegHZ): only the stages after it do. ``every_stage`` (NAIC's MobileNetV2): each stage that begins at
#: the output stride doubles, whether it lost a stride or not. ``first_block`` (NAIC's ShuffleNetV2): only that block.
Dilation = Literal["contracted", "whole_stage", "next_stage", "every_stage", "first_block"]


def dilated(
    stages: Sequence[tuple[int, int]], total: int, output_stride: int, rule: Dilation
) -> list[list[tuple[int, int]]]:
    """(stride, dilation) of every block of every stage.

    Args:
        stages: (stride, number of blocks) of each.
        total: stride of the first stage's input.
        output_stride: no map becomes coarser than this.
        rule: see :data:`Dilation`.

    Raises:
        RssegError: unknown rule or output stride.
    """
    coarsest = total * math.prod(stride for stride, _ in stages)
    if output_stride not in (8, 16, 32):
        raise RssegError("model.output_stride", repr(output_stride), "8, 16 or 32")
    if rule not in get_args(Dilation):
        raise RssegError("model.dilation", repr(rule), f"one of {', '.join(get_args(Dilation))}")
    plan = []
    dilation = 1
    for stride, depth in stages:
        before = dilation
        reached = total >= output_stride
        if total * stride > output_stride:
            dilation, stride = dilation * stride, 1
        elif rule == "every_stage" and reached and coarsest > output_stride:
            dilation *= 2
        first, later = {
            "contracted": (before, dilation),
            "whole_stage": (dilation, dilation),
            "next_stage": (before, before),
            "every_stage": (dilation, dilation),
            "first_block": (dilation if dilation > before else 1, 1),
        }[rule]
        plan.append([(stride, first)] + [(1, later)] * (depth - 1))
        total *= stride
    return plan


def run_chain(
    blocks: Iterable[nn.Layer], x: paddle.Tensor, ends: Container[int], recompute: bool
) -> list[paddle.Tensor]:
    """The outputs of the blocks with the numbers ``ends``, each block's input being the output of the one before.

    Args:
        recompute: gradient checkpointing, block by block.
    """
    maps = []
    for i, block in enumerate(blocks):
        # without a gradient to pass on there is nothing to recompute
        x = checkpointed(block, x) if recompute and not x.stop_gradient else block(x)
        if i in ends:
            maps.append(x)
    return maps
