"""What NAIC_AI-RS's files of its networks with point heads say of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import paddle.nn as nn

from paddle_rsseg.alignment.originals import Meta, Original, output, shapes_of
from paddle_rsseg.alignment.originals.context import ENCODERS, naic_danet
from paddle_rsseg.alignment.originals.deeplab import bands_and_classes, words
from paddle_rsseg.models.points import PointHead


def renddanet(meta: Meta) -> Original:
    shapes = shapes_of(meta)
    danet = naic_danet(meta)
    model = {**danet, "type": "RendDANet", "point_channels": shapes["rend_head.mlp.0.weight"][0], "centres": True}
    return Original(
        model, losses(1, "bilinear"), {"fine": output(0)}, prepare=recorded(meta), auxiliary=False,
        # which points are chosen is all or nothing: 1e-15 in all weights moves the loss after three updates by 1e-3
        followed=2,
    )  # fmt: skip


def rendunet(meta: Meta) -> Original:
    shapes = shapes_of(meta)
    (backbone,) = words(r"pretrained (\w+)", meta)
    model = {
        "type": "RendUNet",
        "backbone": ENCODERS[backbone],
        "channels": shapes["seg.refine.conv.0.weight"][0],
        "squeeze": shapes["seg.att.cSE.fc1.weight"][1] // shapes["seg.att.cSE.fc1.weight"][0],
        "point_channels": shapes["rend.mlp0.mlp.fc1.weight"][0],
        "centres": True,
        **bands_and_classes(shapes, "seg.seg.1"),
    }
    return Original(model, losses(3, "nearest"), {"fine": output(0)}, prepare=recorded(meta), auxiliary=False)


def losses(heads: int, sampling: str) -> dict[str, Any]:
    """Of the coarse logits and of the points of all heads, with equal weights."""
    points = {"type": "PointLoss", "sampling": sampling}
    return {"types": [{"type": "CrossEntropyLoss"}, *[points] * heads], "coef": [1.0] * (1 + heads)}


def recorded(meta: Meta) -> Callable[[nn.Layer], None]:
    """Let the point heads draw the numbers that the original was given: one generator, in the order of the calls."""

    def prepare(model: nn.Layer) -> None:
        generator = np.random.Generator(np.random.PCG64(meta["seed"] + 7))

        def draw(shape: list[int]) -> paddle.Tensor:
            return paddle.to_tensor(generator.random(shape).astype(np.float32))

        for layer in model.sublayers():
            if isinstance(layer, PointHead):
                layer.draw = draw

    return prepare
