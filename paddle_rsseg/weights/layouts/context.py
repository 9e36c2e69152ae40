"""DANet, PSPNet, DeepLabV3 and DenseASPP of the public programs: an encoder, and a head on its last map."""

from __future__ import annotations

import numpy as np

from paddle_rsseg.weights.layout import Layout, Rename
from paddle_rsseg.weights.layouts.deeplab import MMSEG as MMSEG_ASPP
from paddle_rsseg.weights.layouts.resnet import IMAGENET, MMSEG_STEM, PSPNET_STEM

# JasmineRain/NAIC_AI-RS

NAIC_DANET: list[Rename] = [
    (r"^pretrained\.", "backbone."),
    (r"^head\.conv5a\.", "head.position.0."),
    (r"^head\.sa\.(query|key|value)_conv\.", r"head.position.1.\1."),
    (r"^head\.sa\.gamma$", "head.position.1.gamma"),
    (r"^head\.conv51\.", "head.position.2."),
    (r"^head\.conv5c\.", "head.channel.0."),
    (r"^head\.sc\.gamma$", "head.channel.1.gamma"),
    (r"^head\.conv52\.", "head.channel.2."),
    (r"^seg1\.1\.", "head.classifier."),
]

#: the encoder is cut before layer4
NAIC_CUT_RESNET: list[Rename] = [
    (r"^low_features\.0\.", "conv1."),
    (r"^low_features\.1\.", "bn1."),
    (r"^low_features\.([456])\.", lambda match: f"layer{int(match[1]) - 3}."),
    (r"^high_features\.0\.", "layer4."),
]

NAIC_PSPNET: list[Rename] = [
    (r"^pyramid_pooling\.pp_bra(\d)\.(conv|bn)\d\.", lambda match: _pool(int(match[1]) - 1, match[2])),
    (r"^cbr_last\.([01])\.", r"head.pooling.fusion.\1."),
    (r"^cbr_last\.4\.", "head.classifier."),
    (r"^cbr_deepsup\.([01])\.", r"aux_head.conv.\1."),
    (r"^cbr_deepsup\.4\.", "aux_head.classifier."),
]


def _pool(number: int, part: str) -> str:
    return f"head.pooling.pools.{number}.{'0' if part == 'conv' else '1'}."


#: its blocks are named after their dilations
NAIC_RATES = (3, 6, 12, 18, 24)

NAIC_DENSEASPP: list[Rename] = [
    *[
        (rf"^head\.dense_aspp_block\.aspp_{rate}\.{part}{number}\.", f"head.aspp.blocks.{block}.{number - 1}.{place}.")
        for block, rate in enumerate(NAIC_RATES)
        for number in (1, 2)
        for place, part in enumerate(("conv", "bn"))
    ],
    (r"^head\.block\.1\.", "head.classifier."),
]

# mmsegmentation

MMSEG_CONV: list[Rename] = [(r"(?<=\.)conv\.", "0."), (r"(?<=\.)bn\.", "1.")]
MMSEG_AUX: list[Rename] = [
    (r"^auxiliary_head\.convs\.0\.", "aux_head.conv."),
    (r"^auxiliary_head\.conv_seg\.", "aux_head.classifier."),
]
#: its branches, and where ours stand in the training outputs
MMSEG_BRANCHES = {"pam": ("position", 0), "cam": ("channel", 1)}

MMSEG_DANET: list[Rename] = MMSEG_CONV + [
    rename
    for theirs, (ours, place) in MMSEG_BRANCHES.items()
    for rename in (
        (rf"^decode_head\.{theirs}_in_conv\.", f"head.{ours}.0."),
        (rf"^decode_head\.{theirs}\.gamma\.scale$", f"head.{ours}.1.gamma"),
        (rf"^decode_head\.{theirs}\.(query|key|value)_project\.", rf"head.{ours}.1.\1."),
        (rf"^decode_head\.{theirs}_out_conv\.", f"head.{ours}.2."),
        (rf"^decode_head\.{theirs}_conv_seg\.", f"branch_heads.{place}."),
    )
]
MMSEG_DANET += [(r"^decode_head\.conv_seg\.", "head.classifier."), *MMSEG_AUX]

MMSEG_PSPNET: list[Rename] = [
    *MMSEG_CONV,
    (r"^decode_head\.psp_modules\.(\d)\.1\.", r"head.pooling.pools.\1."),
    (r"^decode_head\.bottleneck\.", "head.pooling.fusion."),
    (r"^decode_head\.conv_seg\.", "head.classifier."),
    *MMSEG_AUX,
]

# torchvision and segmentation_models.pytorch (whose decoder numbered its parts once), whose ASPPs are alike


def _aspp(prefix: str) -> list[Rename]:
    return [
        (rf"^{prefix}\.convs\.4\.1\.", "head.aspp.pool.0."),
        (rf"^{prefix}\.convs\.4\.2\.", "head.aspp.pool.1."),
        (rf"^{prefix}\.convs\.", "head.aspp.branches."),
        (rf"^{prefix}\.project\.", "head.aspp.fusion."),
    ]


TORCHVISION: list[Rename] = [
    *_aspp(r"classifier\.0"),
    (r"^classifier\.1\.", "head.conv.0."),
    (r"^classifier\.2\.", "head.conv.1."),
    (r"^classifier\.4\.", "head.classifier."),
    (r"^aux_classifier\.([01])\.", r"aux_head.conv.\1."),
    (r"^aux_classifier\.4\.", "aux_head.classifier."),
]

SMP: list[Rename] = [
    (r"^encoder\.", "backbone."),
    *_aspp(r"decoder\.(?:0|aspp)"),
    (r"^decoder\.(1|conv)\.", "head.conv.0."),
    (r"^decoder\.(2|bn)\.", "head.conv.1."),
    (r"^segmentation_head\.0\.", "head.classifier."),
]

MMSEG_ENCODER = ("backbone.", "backbone.")

LAYOUTS = [
    Layout(
        "DANet of NAIC_AI-RS",
        (r"^head\.sa\.query_conv\.", r"^pretrained\.layer1\."),
        renames=NAIC_DANET,
        unused=r"^pretrained\.fc\.",
        why=IMAGENET,
    ),
    Layout(
        "PSPNet of NAIC_AI-RS",
        (r"^pyramid_pooling\.pp_bra1\.", r"^backend\.low_features\.4\."),
        prefix=("backend.", "backbone."),
        backbone_renames=NAIC_CUT_RESNET,
        renames=NAIC_PSPNET,
    ),
    Layout(
        "DenseASPP of NAIC_AI-RS",
        (r"^head\.dense_aspp_block\.aspp_3\.", r"^Resnet101\.conv3\."),
        prefix=("Resnet101.", "backbone."),
        backbone_renames=PSPNET_STEM,
        renames=NAIC_DENSEASPP,
    ),
    Layout(
        "DANet of mmsegmentation",
        (r"^decode_head\.pam_in_conv\.", r"^decode_head\.cam_in_conv\."),
        prefix=MMSEG_ENCODER,
        backbone_renames=MMSEG_STEM,
        renames=MMSEG_DANET,
        arrange=[(r"\.gamma$", np.atleast_1d)],
    ),
    Layout(
        "PSPNet of mmsegmentation",
        (r"^decode_head\.psp_modules\.0\.1\.", r"^backbone\.layer4\.", r"^decode_head\.bottleneck\."),
        prefix=MMSEG_ENCODER,
        backbone_renames=MMSEG_STEM,
        renames=MMSEG_PSPNET,
    ),
    Layout(
        "DeepLabV3 of mmsegmentation",
        (r"^decode_head\.image_pool\.1\.", r"^decode_head\.aspp_modules\.0\.conv\.", r"^backbone\.layer4\."),
        prefix=MMSEG_ENCODER,
        backbone_renames=MMSEG_STEM,
        renames=MMSEG_ASPP,
    ),
    Layout("DeepLabV3 of torchvision", (r"^classifier\.0\.convs\.4\.1\.", r"^backbone\.layer4\."), renames=TORCHVISION),
    Layout(
        "DeepLabV3 of segmentation_models.pytorch",
        (r"^decoder\.(0|aspp)\.convs\.4\.1\.", r"^decoder\.(0|aspp)\.project\."),
        renames=SMP,
        unused=r"^(encoder\.fc|classification_head)\.",
        why="a classifier of whole images",
    ),
]
