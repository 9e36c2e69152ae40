"""What the systems' files of RefineNet and BASNet say of our networks."""

from __future__ import annotations

from typing import Any

from paddle_rsseg.alignment.originals import Meta, shapes_of
from paddle_rsseg.alignment.originals.deeplab import bands_and_classes, words

#: kind and depths of an encoder's blocks → ours
ENCODERS = {
    ("BasicBlock", "2, 2, 2, 2"): "ResNet18",
    ("BasicBlock", "3, 4, 6, 3"): "ResNet34",
    ("Bottleneck", "3, 4, 6, 3"): "ResNet50",
    ("Bottleneck", "3, 4, 23, 3"): "ResNet101",
    ("Bottleneck", "3, 8, 36, 3"): "ResNet152",
}


def naic_refinenet(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    block, depths = words(r"RefineNet\((\w+), \[([\d, ]+)\]", meta)
    return {
        "type": "RefineNet",
        "wiring": "drsleep",
        "backbone": ENCODERS[block, depths],
        "channels": shapes["clf_conv.weight"][1],
        **bands_and_classes(shapes, "clf_conv"),
    }


def naic_basnet(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    stages = [[name for name in shapes if name.startswith(f"encoder{i}.")] for i in (1, 2, 3, 4)]
    return {
        "type": "BASNet",
        "widths": [shapes[f"encoder{i}.0.conv1.weight"][0] for i in (1, 2, 3, 4)],
        "depths": [len({name.split(".")[1] for name in stage}) for stage in stages],
        "refiner_width": shapes["refunet.conv0.weight"][0],
        **bands_and_classes(shapes, "outconv1"),
    }
