"""HRNet and HRNet-OCR: our encoder carries the official names, which timm and mmsegmentation share."""

from __future__ import annotations

import re

from paddle_rsseg.weights.layout import Layout, Rename

#: OCR's attention: who asks, who answers, and the projection back
ATTENTION = {"pixel": "query", "object": "key", "down": "value", "up": "out"}

#: names of the encoder, which the official programs do not set apart from the rest
ENCODER = r"^(conv[12]|bn[12]|layer1|transition[123]|stage[234])\."


def _official_attention(match: re.Match[str]) -> str:
    """``f_pixel.3.0.weight`` → ``query.1.1.weight``: conv, norm with ReLU, conv, norm with ReLU."""
    index = int(match["index"])
    return f"head.attention.{ATTENTION[match['part']]}.{index // 2}.{index % 2}."


OFFICIAL_OCR: list[Rename] = [
    (r"^model\.", ""),
    (ENCODER, r"backbone.\1."),
    (r"^aux_head\.([01])\.", r"aux_head.conv.\1."),
    (r"^aux_head\.3\.", "aux_head.classifier."),
    (r"^conv3x3_ocr\.", "head.pixels."),
    (
        r"^ocr_distri_head\.object_context_block\.f_(?P<part>\w+)\.(?P<index>\d)\.(0\.)?(?=\D)",
        _official_attention,
    ),
    (r"^ocr_distri_head\.conv_bn_dropout\.0\.", "head.join.0."),
    (r"^ocr_distri_head\.conv_bn_dropout\.1\.(0\.)?", "head.join.1."),
    (r"^cls_head\.", "head.classifier."),
]

#: SegHZ's auxiliary head, the same in all of its HRNets
SEGHZ_AUXILIARY: list[Rename] = [
    (r"^aux_head\.([01])\.", r"aux_head.conv.\1."),
    (r"^aux_head\.3\.", "aux_head.classifier."),
    (r"^cls_head\.", "head.classifier."),
]

SEGHZ_PAM: list[Rename] = [
    (ENCODER, r"backbone.\1."),
    *SEGHZ_AUXILIARY,
    (r"^pam\.([01])\.", r"head.hourglass.down.\1."),
    (r"^pam\.3\.(query|key|value)_conv\.", r"head.hourglass.attention.\1."),
    (r"^pam\.3\.gamma$", "head.hourglass.attention.gamma"),
    (r"^pam\.4\.", "head.hourglass.up.0."),
    (r"^pam\.5\.", "head.hourglass.up.1."),
]

SEGHZ_PSP: list[Rename] = [
    (ENCODER, r"backbone.\1."),
    *SEGHZ_AUXILIARY,
    # the pooling itself is the first of its parts
    (r"^ppm\.features\.(\d)\.1\.", r"head.pyramid.pools.\1.0."),
    (r"^ppm\.features\.(\d)\.2\.", r"head.pyramid.pools.\1.1."),
]

MMSEG_CONV: list[Rename] = [(r"\.conv\.", ".0."), (r"\.bn\.", ".1.")]


def _mmseg_attention(match: re.Match[str]) -> str:
    """One convolution is a module there, several are numbered."""
    return f"head.attention.{match['part']}.{match['index'] or 0}."


MMSEG_OCR: list[Rename] = [
    *MMSEG_CONV,
    (r"^decode_head\.0\.convs\.0\.", "aux_head.conv."),
    (r"^decode_head\.0\.conv_seg\.", "aux_head.classifier."),
    (r"^decode_head\.1\.object_context_block\.bottleneck\.", "head.join."),
    (
        r"^decode_head\.1\.object_context_block\.(?P<part>query|key|value|out)_project\.((?P<index>\d)\.(?=\d))?",
        _mmseg_attention,
    ),
    (r"^decode_head\.1\.bottleneck\.", "head.pixels."),
    (r"^decode_head\.1\.conv_seg\.", "head.classifier."),
]


def _paddleseg_transition(match: re.Match[str]) -> str:
    stage, branch = match["stage"], int(match["branch"]) - 1
    # a new branch is a chain of convolutions, here always of one
    return f"transition{stage}.{branch}." + ("" if branch == 0 else "0.")


def _paddleseg_module(match: re.Match[str]) -> str:
    stage, module = match["stage"], int(match["module"]) - 1
    part = "branches" if match["part"] == "branches_func" else "fuse_layers"
    # numbers from 1: branch and block, or target, source and step of the chain between them
    numbers = [str(int(number) - 1) for number in match["numbers"].split("_")]
    return f"stage{stage}.{module}.{part}.{'.'.join(numbers)}."


PADDLESEG_CONV: list[Rename] = [(r"\._conv\.", ".0."), (r"\._batch_norm\.", ".1.")]

#: PaddleSeg's encoder, names as they stand after the prefix
PADDLESEG_ENCODER: list[Rename] = [
    (r"^conv_layer1_([12])\._conv\.", r"conv\1."),
    (r"^conv_layer1_([12])\._batch_norm\.", r"bn\1."),
    (r"^la1\.bb_layer2_(\d+)\.", lambda match: f"layer1.{int(match[1]) - 1}."),
    (r"^tr\d\.transition_tr(?P<stage>\d)_layer_(?P<branch>\d)\.", _paddleseg_transition),
    (
        r"^st\d\.stage_st(?P<stage>\d)_(?P<module>\d+)\.(?P<part>branches_func|fuse_func)\."
        r"(bb|residual)_st\d_\d+_(branch_)?layer_(?P<numbers>[\d_]+)\.",
        _paddleseg_module,
    ),
    (r"\.conv_down\.", ".downsample."),
    (r"\.conv([123])\._conv\.", r".conv\1."),
    (r"\.conv([123])\._batch_norm\.", r".bn\1."),
    *PADDLESEG_CONV,
]


def _paddleseg_attention(match: re.Match[str]) -> str:
    return f"head.attention.{ATTENTION[match['part']]}.{match['index'] or 0}."


PADDLESEG_OCR: list[Rename] = [
    (r"^head\.aux_head\.0\.", "aux_head.conv."),
    (r"^head\.aux_head\.1\.", "aux_head.classifier."),
    (r"^head\.conv3x3_ocr\.", "head.pixels."),
    (r"^head\.spatial_ocr\.attention_block\.f_(?P<part>[a-z]+)\.((?P<index>\d)\.)?", _paddleseg_attention),
    (r"^head\.spatial_ocr\.conv1x1\.0\.", "head.join."),
    (r"^head\.cls_head\.", "head.classifier."),
    *PADDLESEG_CONV,
]

MODELS = [
    Layout(
        "HRNet-OCR, official release, NAIC_AI-RS or SegHZ",
        (r"^(model\.)?conv3x3_ocr\.", r"^(model\.)?stage4\."),
        renames=OFFICIAL_OCR,
        unused=r"^loss\.",
        why="class weights of the loss",
    ),
    Layout(
        "HRNet for segmentation, official release",
        (r"^(model\.)?last_layer\.3\.", r"^(model\.)?stage4\."),
        renames=[
            (r"^model\.", ""),
            (ENCODER, r"backbone.\1."),
            (r"^last_layer\.([01])\.", r"head.conv.\1."),
            (r"^last_layer\.3\.", "head.classifier."),
        ],
        unused=r"^loss\.",
        why="class weights of the loss",
    ),
    Layout(
        "HRNet of SegHZ",
        (r"^final_conv\.0\.", r"^stage4\."),
        renames=[
            (ENCODER, r"backbone.\1."),
            (r"^final_conv\.", "head.conv."),
            (r"^cls_head\.", "head.classifier."),
        ],
    ),
    Layout("HRNet-PAM of SegHZ", (r"^pam\.3\.query_conv\.", r"^stage4\."), renames=SEGHZ_PAM),
    Layout("HRNet-PSP of SegHZ", (r"^ppm\.features\.0\.1\.", r"^stage4\."), renames=SEGHZ_PSP),
    Layout(
        "HRNet-OCR of mmsegmentation",
        (r"^decode_head\.1\.object_context_block\.", r"^backbone\.stage4\."),
        renames=MMSEG_OCR,
    ),
    Layout(
        "HRNet (FCNHead) of mmsegmentation",
        (r"^decode_head\.convs\.0\.conv\.", r"^backbone\.stage4\.\d+\.fuse_layers\."),
        renames=[
            *MMSEG_CONV,
            (r"^decode_head\.convs\.0\.", "head.conv."),
            (r"^decode_head\.conv_seg\.", "head.classifier."),
        ],
    ),
    Layout(
        "HRNet-OCR (OCRNet) of PaddleSeg",
        (r"^head\.spatial_ocr\.", r"^backbone\.st4\."),
        prefix=("backbone.", "backbone."),
        backbone_renames=PADDLESEG_ENCODER,
        renames=PADDLESEG_OCR,
    ),
    Layout(
        "HRNet (FCN) of PaddleSeg",
        (r"^head\.conv_1\.", r"^backbone\.st4\."),
        prefix=("backbone.", "backbone."),
        backbone_renames=PADDLESEG_ENCODER,
        renames=[(r"^head\.conv_1\.", "head.conv."), (r"^head\.cls\.", "head.classifier."), *PADDLESEG_CONV],
    ),
]

ENCODERS = [
    Layout(
        "HRNet, official release, timm or mmsegmentation",
        r"^stage4\.0\.fuse_layers\.0\.",
        scope="backbone",
        unused=r"^(incre_modules|downsamp_modules|final_layer|classifier)\.",
        why="the ImageNet classifier",
    ),
    Layout(
        "HRNet of PaddleSeg",
        r"^st4\.stage_st4_1\.",
        scope="backbone",
        prefix=("", ""),
        backbone_renames=PADDLESEG_ENCODER,
    ),
]
