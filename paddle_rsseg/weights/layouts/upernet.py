"""UPerNet of mmsegmentation, of the Swin authors, who built on it, and of segmentation_models.pytorch."""

from __future__ import annotations

import re

from paddle_rsseg.weights.layout import Layout, Rename
from paddle_rsseg.weights.layouts.resnet import MMSEG_STEM
from paddle_rsseg.weights.layouts.transformers import MMSEG_SWIN, merging_of_mmseg

MMSEG: list[Rename] = [
    (r"^decode_head\.psp_modules\.(\d)\.1\.", r"head.pooling.pools.\1."),
    (r"^decode_head\.bottleneck\.", "head.pooling.fusion."),
    (r"^decode_head\.lateral_convs\.", "head.laterals."),
    (r"^decode_head\.fpn_convs\.", "head.smooth."),
    (r"^decode_head\.fpn_bottleneck\.", "head.fusion."),
    (r"^decode_head\.conv_seg\.", "head.classifier."),
    (r"^auxiliary_head\.convs\.0\.", "aux_head.conv."),
    (r"^auxiliary_head\.conv_seg\.", "aux_head.classifier."),
    (r"^((aux_)?head\..*)\.conv\.", r"\1.0."),
    (r"^((aux_)?head\..*)\.bn\.", r"\1.1."),
]

MARKERS = (r"^decode_head\.psp_modules\.", r"^decode_head\.fpn_bottleneck\.")


def _fine_first(match: re.Match[str]) -> str:
    """segmentation_models.pytorch counts the three finer levels from coarse to fine."""
    part = "laterals" if match["part"] == "lateral" else "smooth"
    return f"head.{part}.{2 - int(match['level'])}."


SMP: list[Rename] = [
    (r"^decoder\.feature_norms\.", "head.norms."),
    (r"^decoder\.psp\.blocks\.(\d)\.1\.", r"head.pooling.pools.\1."),
    (r"^decoder\.psp\.out_conv\.", "head.pooling.fusion."),
    (r"^decoder\.fpn_(?P<part>lateral|conv)_blocks\.(?P<level>[012])\.(conv_norm_relu\.)?", _fine_first),
    (r"^decoder\.fusion_block\.", "head.fusion."),
    (r"^segmentation_head\.0\.", "head.classifier."),
]

LAYOUTS = [
    Layout(
        "UPerNet (Swin) of mmsegmentation",
        (*MARKERS, r"^backbone\.stages\.0\.blocks\.0\.attn\.w_msa\."),
        prefix=("backbone.", "backbone."),
        backbone_renames=MMSEG_SWIN,
        renames=MMSEG,
        unused=r"\.relative_position_index$",
        why="computed by the network itself",
        arrange=[(r"^backbone\.layers\.\d\.downsample\.", merging_of_mmseg)],
    ),
    Layout(
        "UPerNet of mmsegmentation or of the Swin authors",
        MARKERS,
        prefix=("backbone.", "backbone."),
        backbone_renames=MMSEG_STEM,
        renames=MMSEG,
        unused=r"\.relative_position_index$|\.attn_mask$",
        why="computed by the network itself",
    ),
    Layout(
        "UPerNet of segmentation_models.pytorch",
        (r"^decoder\.psp\.out_conv\.", r"^decoder\.fusion_block\."),
        renames=[(r"^encoder\.", "backbone."), *SMP],
        unused=r"^(encoder\.fc|classification_head)\.",
        why="a classifier of whole images",
    ),
]
