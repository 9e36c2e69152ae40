"""What the systems' files of DANet, PSPNet and DenseASPP say of our networks."""

from __future__ import annotations

from typing import Any

from paddle_rsseg.alignment.originals import Meta, shapes_of
from paddle_rsseg.alignment.originals.deeplab import NAMES, bands_and_classes, words

ENCODERS = {**NAMES, "resnext50": "ResNeXt50_32x4d", "resnext101": "ResNeXt101_32x8d"}


def naic_danet(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    (backbone,) = words(r"backbone (\w+)", meta)
    channels, query_channels = shapes["head.conv51.0.weight"][0], shapes["head.sa.query_conv.weight"][0]
    return {
        "type": "DANet",
        "backbone": ENCODERS[backbone],
        "channels": channels,
        "reduction": channels // query_channels,
        **bands_and_classes(shapes, "seg1.1"),
    }


def naic_pspnet(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    backend, bins = words(r"backend (\w+), pool_scales \(([\d, ]+)\)", meta)
    return {
        "type": "PSPNet",
        "backbone": ENCODERS[backend],
        "bins": tuple(int(number) for number in bins.split(",")),
        "channels": shapes["cbr_last.0.weight"][0],
        "pool_channels": shapes["pyramid_pooling.pp_bra1.conv1.weight"][0],
        "aux_channels": shapes["cbr_deepsup.0.weight"][0],
        **bands_and_classes(shapes, "cbr_last.4"),
    }


def naic_denseaspp(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    (momentum,) = words(r"bn_momentum ([\d.]+)", meta)
    return {
        "type": "DenseASPP",
        "norm_momentum": 1 - float(momentum),
        "hidden": shapes["head.dense_aspp_block.aspp_3.conv1.weight"][0],
        "growth": shapes["head.dense_aspp_block.aspp_3.conv2.weight"][0],
        **bands_and_classes(shapes, "head.block.1"),
    }
