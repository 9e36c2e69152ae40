"""What the systems' files of DeepLabV3+ have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from paddle_rsseg.alignment.originals import Meta, shapes_of

#: programs' names of encoders → ours
NAMES = {
    "resnet18": "ResNet18",
    "resnet34": "ResNet34",
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "resnet152": "ResNet152",
    "resnest50": "ResNeSt50",
    "resnest101": "ResNeSt101",
    "se_resnet50": "SEResNet50",
    "se_resnet101": "SEResNet101",
    "se_resnet152": "SEResNet152",
    "se_resnext50_32x4d": "SEResNeXt50_32x4d",
    "se_resnext101_32x4d": "SEResNeXt101_32x4d",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet": "MobileNetV2",
    "shufflenet_v2": "ShuffleNetV2",
    "xception": "Xception",
}


def naic_encoder(name: str, output_stride: int) -> dict[str, Any]:
    """Our encoder for one of NAIC's ``backend``s."""
    if name.startswith("se_"):
        return {"type": NAMES[name], "output_stride": 32}  # never dilated
    if name.startswith("resnest"):
        return {"type": NAMES[name], "output_stride": 8, "contract_dilation": True}  # whatever is asked for
    flavour = {"mobilenet": {"dilation": "every_stage"}, "shufflenet": {"dilation": "first_block"}}
    return {"type": NAMES[name], "output_stride": output_stride, **flavour.get(name.split("_")[0], {})}


def naic(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    backend, stride = words(r"backend (\w+), os (\d+)", meta)
    return {
        "type": "DeepLabV3Plus",
        "wiring": "naic",
        "backbone": naic_encoder(backend, int(stride)),
        "rates": (6, 12, 18) if int(stride) == 16 else (12, 24, 36),
        "channels": shapes["cbr_last.0.weight"][0],
        "low_level_channels": shapes["cbr_low.0.weight"][0],
        **bands_and_classes(shapes, "cbr_last.6"),
    }


def seghz(meta: Meta) -> dict[str, Any]:
    backbone, stride = words(r"\((\w+), output stride (\d+)", meta)
    flavour = {"mobilenet": {"dilation": "next_stage", "zeros": "block"}, "xception": {}}
    return {
        "type": "DeepLabV3Plus",
        "wiring": "jfzhang95",
        "backbone": {
            "type": NAMES[backbone],
            "output_stride": int(stride),
            **flavour.get(backbone, {"multi_grid": (1, 2, 4)}),
        },
        **bands_and_classes(shapes_of(meta), "decoder.last_conv.8"),
    }


def mmseg(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    rates = words(r"\(dilations 1,(\d+),(\d+),(\d+)", meta)
    return {
        "type": "DeepLabV3Plus",
        "wiring": "mmseg",
        "backbone": {"type": "ResNeSt101", "output_stride": 8, "pool_dilated": False},
        "rates": tuple(int(rate) for rate in rates),
        "channels": shapes["decode_head.conv_seg.weight"][1],
        "low_level_channels": shapes["decode_head.c1_bottleneck.conv.weight"][0],
        **bands_and_classes(shapes, "decode_head.conv_seg"),
    }


def words(pattern: str, meta: Meta) -> tuple[str, ...]:
    """What the groups of ``pattern`` are in the file's description of the constructor.

    Raises:
        ValueError: the description is another.
    """
    found = re.search(pattern, meta["constructor"])
    if found is None:
        raise ValueError(f"what network is {meta['constructor']!r}?")
    return found.groups()


def bands_and_classes(shapes: Mapping[str, list[int]], classifier: str) -> dict[str, int]:
    """From the first convolution, which each program lists first, and from the last."""
    first = next(shape for shape in shapes.values() if len(shape) == 4)
    return {"in_channels": first[1], "num_classes": shapes[f"{classifier}.weight"][0]}
