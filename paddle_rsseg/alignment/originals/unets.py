"""What the systems' files of U-Net and its relatives say of our networks."""

from __future__ import annotations

from typing import Any

from paddle_rsseg.alignment.originals import Meta, shapes_of
from paddle_rsseg.alignment.originals.deeplab import bands_and_classes

#: blocks of the third stage → encoder
RESNETS = {2: "ResNet18", 6: "ResNet34"}


def naic_unet(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    widths = [shapes[f"Conv{n}.conv.0.weight"][0] for n in range(1, 6)]
    return {"type": "UNet", "wiring": "leejunhyun", "widths": widths, **bands_and_classes(shapes, "Conv_1x1")}


def naic_unetpp(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    widths = [shapes[f"conv{level}_0.conv1.weight"][0] for level in range(5)]
    heads, classifier = ("four", "final4") if "final4.weight" in shapes else ("one", "final")
    options = {"wiring": "naic", "widths": widths, "heads": heads}
    return {"type": "UNetPlusPlus", **options, **bands_and_classes(shapes, classifier)}


def naic_scseunet(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    reduction = shapes["SCSE1.cSE.fc1.weight"][1] // shapes["SCSE1.cSE.fc1.weight"][0]
    backbone = resnet(shapes, "encoder.layer3.")
    return {"type": "SCSEUNet", "backbone": backbone, "reduction": reduction, **bands_and_classes(shapes, "Conv_1x1")}


def naic_cenet(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    backbone = resnet(shapes, "encoder3.")
    channels = shapes["finalconv2.weight"][0]
    return {"type": "CENet", "backbone": backbone, "channels": channels, **bands_and_classes(shapes, "finalconv3")}


def resnet(shapes: dict[str, list[int]], stage: str) -> str:
    """The ResNet of two convolutions a block, told from its third stage."""
    return RESNETS[len({name.removeprefix(stage).split(".")[0] for name in shapes if name.startswith(stage)})]
