"""The mmsegmentation fork of CarnoZhao (system C)."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isqrt
from typing import Any

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.alignment.originals import Meta, Original, Outputs, deeplab, original, output, own_size, shapes_of
from paddle_rsseg.alignment.originals.hrnet import encoder, ocr_widths
from paddle_rsseg.models.layers import freeze


@original("mmseg/*_deeplabv3p")
def deeplabv3plus(meta: Meta) -> Original:
    return Original(deeplab.mmseg(meta), two_cross_entropies(meta), {"logits": output(0), "aux": own_size(1)})


@original("mmseg/swin_*_upernet*")
def upernet(meta: Meta) -> Original:
    shapes = shapes_of(meta)
    places, heads = shapes["backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table"]
    third = len({name.split(".")[4] for name in shapes if name.startswith("backbone.stages.2.blocks.")})
    spec = {
        "type": "UPerNet",
        "backbone": {
            "type": {(3, 6): "SwinT", (3, 18): "SwinS", (4, 18): "SwinB", (6, 18): "SwinL"}[heads, third],
            "window_size": (isqrt(places) + 1) // 2,
            "drop_path_rate": 0.0,
        },
        "channels": shapes["decode_head.conv_seg.weight"][1],
        "aux_channels": shapes["auxiliary_head.conv_seg.weight"][1],
        **deeplab.bands_and_classes(shapes, "decode_head.conv_seg"),
    }
    # the configurations of the later data set do not train the encoder's norms
    prepare = freeze_norms if meta["grad_noise"]["without_gradient"] else None
    return Original(spec, two_cross_entropies(meta), {"logits": output(0), "aux": own_size(1)}, prepare=prepare)


def freeze_norms(model: nn.Layer) -> None:
    """Those of a transformer encoder keep their scale and shift."""
    for layer in model.backbone.sublayers():
        if isinstance(layer, nn.LayerNorm):
            freeze(layer)


def two_cross_entropies(meta: Meta) -> dict[str, Any]:
    """Of the main and of the auxiliary output, with the weights that the file's words give."""
    weights = re.findall(r"cross entropy x ([\d.]+)", meta["loss"])
    if len(weights) != 2:
        raise ValueError(f"what loss is {meta['loss']!r}?")
    # mmsegmentation 0.19 divides by all pixels, the ignored ones too
    loss = {"type": "CrossEntropyLoss", "avg_non_ignore": False}
    return {"types": [loss], "coef": [float(weight) for weight in weights]}


@original("mmseg/hrnet*_ocr")
def hrnet_ocr(meta: Meta) -> Original:
    shapes = shapes_of(meta)
    query = "decode_head.1.object_context_block.query_project.0.conv"
    widths = ocr_widths(shapes, "decode_head.1.conv_seg", query)
    spec = {"type": "HRNetOCR", "wiring": "mmseg", **widths, **encoder(shapes, "backbone.")}

    def prepare(model: nn.Layer) -> None:
        # the cascade runs its first head twice in a step, so that the same batch counts twice in its statistics
        model.aux_head.conv[1]._momentum **= 2

    words = meta["loss"]
    weights = [float(weight) for weight in re.findall(r"cross entropy x ([\d.]+)", words)]
    sampler = re.search(r"OHEM pixel sampler \(thresh ([\d.]+), min_kept (\d+)", words)
    if len(weights) != 2 or sampler is None:
        raise ValueError(f"what loss is {words!r}?")
    return Original(spec, ohem(weights[::-1], float(sampler[1]), int(sampler[2])), prepare=prepare)


def ohem(
    coef: list[float], threshold: float, min_kept: int, ignore_index: int = 255
) -> Callable[[Outputs, paddle.Tensor], dict[str, paddle.Tensor]]:
    """Cross entropy of the pixels whose true class is less probable than a threshold, as a mean over *all* pixels.

    The threshold is raised to that probability of which the batch has ``min_kept`` lower ones an image; where it has
    fewer pixels, to the largest, which alone is then left out.
    """

    def one(logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        losses = F.cross_entropy(logits, label, axis=1, ignore_index=ignore_index, reduction="none").reshape([-1])
        valid = (label != ignore_index).reshape([-1])
        probability = paddle.exp(-losses.detach())
        ascending = paddle.sort(probability[valid])
        limit = max(float(ascending[min(min_kept * len(label), len(ascending) - 1)].item()), threshold)
        kept = valid & (probability < limit)
        return (losses * kept.astype(losses.dtype)).sum() / losses.size

    def total(outputs: Outputs, label: paddle.Tensor) -> dict[str, paddle.Tensor]:
        return {
            str(i): weight * one(logits, label) for i, (weight, logits) in enumerate(zip(coef, outputs, strict=True))
        }

    return total
