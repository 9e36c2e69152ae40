"""What the HRNets of several systems have in common."""

from __future__ import annotations

from collections.abc import Mapping

from paddle_rsseg.registry import BACKBONES


def encoder(shapes: Mapping[str, list[int]], prefix: str = "") -> dict:
    """``backbone`` and ``in_channels`` of our networks, from the names and shapes of an original's encoder."""
    width = shapes[f"{prefix}stage4.0.branches.0.0.conv1.weight"][0]
    modules = len({name.split("stage4.")[1].split(".")[0] for name in shapes if name.startswith(f"{prefix}stage4.")})
    name = {(16, 1): "HRNetV2_W18_Small_V1", (18, 2): "HRNetV2_W18_Small_V2"}.get((width, modules), f"HRNetV2_W{width}")
    BACKBONES.get(name, "alignment")  # a width that nobody publishes is told here
    return {"backbone": name, "in_channels": shapes[f"{prefix}conv1.weight"][1]}


def ocr_widths(shapes: Mapping[str, list[int]], head: str, query: str) -> dict:
    """``num_classes`` and the widths of OCR, from the classifier ``head`` and the attention's first ``query``."""
    classes, channels = shapes[f"{head}.weight"][:2]
    return {"num_classes": classes, "ocr_channels": channels, "key_channels": shapes[f"{query}.weight"][0]}
