"""U-Net and U-Net++ of segmentation_models.pytorch."""

from __future__ import annotations

from paddle_rsseg.weights.layout import Layout, Rename
from paddle_rsseg.weights.layouts.mobile import DEPTHS, lukemelas_renames

DECODER: list[Rename] = [
    (r"^decoder\.blocks\.x_(\d)_(\d)\.", r"head.nodes.\1_\2."),
    (r"^decoder\.blocks\.", "head.blocks."),
    (r"^(head\.\w+\.\w+)\.conv1\.", r"\1.convs.0."),
    (r"^(head\.\w+\.\w+)\.conv2\.", r"\1.convs.1."),
    (r"^segmentation_head\.0\.", "head.classifier."),
]
MARKER = r"^decoder\.blocks\.(x_0_)?0\.conv1\.0\.weight$"


def _on_efficientnet(variant: str) -> Layout:
    return Layout(
        f"U-Net or U-Net++ of segmentation_models.pytorch on EfficientNet-{variant}",
        (MARKER, rf"^encoder\._blocks\.{sum(DEPTHS[variant]) - 1}\._project_conv\."),
        prefix=("encoder.", "backbone."),
        backbone_renames=lukemelas_renames(variant),
        renames=DECODER,
        unused=r"^encoder\.(_conv_head|_bn1|_fc)\.|^classification_head\.",
        why="a classifier of whole images",
    )


LAYOUTS = [
    # its B0 takes the map of stride 16 two blocks early, so that its decoders fit no encoder of ours
    *(_on_efficientnet(variant) for variant in DEPTHS if variant != "B0"),
    Layout(
        "U-Net or U-Net++ of segmentation_models.pytorch",
        (MARKER, r"^encoder\."),
        renames=[(r"^encoder\.", "backbone."), *DECODER],
        unused=r"^(encoder\.(fc|last_linear|classifier)|classification_head)\.",
        why="a classifier of whole images",
    ),
]
