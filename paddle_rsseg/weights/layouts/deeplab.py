"""DeepLabV3+ of the public programs; encoders have their own names there, the pieces of the head are the same."""

from __future__ import annotations

import re

from paddle_rsseg.weights.layout import Layout, Rename
from paddle_rsseg.weights.layouts.resnet import MMSEG_STEM, PADDLESEG_RESNET_VD

#: MobileNetV2 of jfzhang95, SegHZ and NAIC counts all layers of a block; torchvision, and ours, groups them.
#: The first block has no expansion.
FLAT_FIRST = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}
FLAT_OTHERS = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}


def _flat_block(match: re.Match[str]) -> str:
    table = FLAT_FIRST if match["block"] == "1" else FLAT_OTHERS
    return f"features.{match['block']}.conv.{table[match['layer']]}."


FLAT_MOBILENET: list[Rename] = [
    (r"^(low_features|high_features|low_level_features|high_level_features)\.", "features."),
    (r"^features\.(?P<block>\d+)\.conv\.(?P<layer>\d)\.", _flat_block),
]

# jfzhang95/pytorch-deeplab-xception and SegHZ

JFZHANG95: list[Rename] = [
    (r"^aspp\.aspp1\.", "head.aspp.branches.0."),
    (r"^aspp\.aspp2\.", "head.aspp.branches.1."),
    (r"^aspp\.aspp3\.", "head.aspp.branches.2."),
    (r"^aspp\.aspp4\.", "head.aspp.branches.3."),
    (r"(?<=\d)\.atrous_conv\.", ".0."),
    (r"^(head\.aspp\.branches\.\d)\.bn\.", r"\1.1."),
    (r"^aspp\.global_avg_pool\.1\.", "head.aspp.pool.0."),
    (r"^aspp\.global_avg_pool\.2\.", "head.aspp.pool.1."),
    (r"^aspp\.conv1\.", "head.aspp.fusion.0."),
    (r"^aspp\.bn1\.", "head.aspp.fusion.1."),
    (r"^decoder\.(birdge_conv\.0|conv1)\.", "head.low_level.0."),  # a slip of SegHZ's
    (r"^decoder\.(birdge_conv\.1|bn1)\.", "head.low_level.1."),
    (r"^decoder\.last_conv\.([01])\.", r"head.convs.0.\1."),
    (r"^decoder\.last_conv\.4\.", "head.convs.1.0."),
    (r"^decoder\.last_conv\.5\.", "head.convs.1.1."),
    (r"^decoder\.last_conv\.8\.", "head.classifier."),
]

# JasmineRain/NAIC_AI-RS, both of its copies

NAIC: list[Rename] = [
    (r"^aspp_pooling\.gave_pool\.conv0_1\.", "head.aspp.pool.0."),
    (r"^aspp_pooling\.gave_pool\.bn0_1\.", "head.aspp.pool.1."),
    (r"^aspp_pooling\.conv1_1\.conv0_2\.", "head.aspp.branches.0.0."),
    (r"^aspp_pooling\.conv1_1\.bn0_2\.", "head.aspp.branches.0.1."),
    (r"^aspp_pooling\.aspp_bra(\d)\.conv1_\d\.", r"head.aspp.branches.\1.0."),
    (r"^aspp_pooling\.aspp_bra(\d)\.bn1_\d\.", r"head.aspp.branches.\1.1."),
    (r"^aspp_pooling\.aspp_catdown\.conv_down\.", "head.aspp.fusion.0."),
    (r"^aspp_pooling\.aspp_catdown\.bn_down\.", "head.aspp.fusion.1."),
    (r"^cbr_low\.", "head.low_level."),
    (r"^cbr_last\.([01])\.", r"head.convs.0.\1."),
    (r"^cbr_last\.3\.", "head.convs.1.0."),
    (r"^cbr_last\.4\.", "head.convs.1.1."),
    (r"^cbr_last\.6\.", "head.classifier."),
]


def _naic_stage(match: re.Match[str]) -> str:
    return f"layer{int(match[1]) + 2}."


#: ResNets are cut behind layer1; those with squeeze-and-excitation keep their ``layer0`` whole, ResNeSt everything
NAIC_RESNET: list[Rename] = [
    (r"^pretrained\.", ""),
    (r"^low_features\.0\.(?=conv1|bn1)", "layer0."),
    (r"^low_features\.1\.(?=\d)", "layer1."),
    (r"^low_features\.0\.(?=\w+$)", "conv1."),
    (r"^low_features\.1\.(?=\w+$)", "bn1."),
    (r"^low_features\.4\.", "layer1."),
    (r"^high_features\.([012])\.", _naic_stage),
]

#: first unit of each stage of ShuffleNetV2 in the one list of them
SHUFFLENET_STAGES = {2: 0, 3: 4, 4: 12}


def _naic_unit(match: re.Match[str]) -> str:
    unit = int(match["unit"])
    stage = max(stage for stage, first in SHUFFLENET_STAGES.items() if first <= unit)
    return f"stage{stage}.{unit - SHUFFLENET_STAGES[stage]}.branch{match['branch']}."


NAIC_SHUFFLENET: list[Rename] = [
    (r"^low_features\.0\.", "conv1."),
    (r"^high_features\.(?P<unit>\d+)\.banch(?P<branch>[12])\.", _naic_unit),
]

# mmsegmentation

MMSEG: list[Rename] = [
    (r"^decode_head\.image_pool\.1\.", "head.aspp.pool."),
    (r"^decode_head\.aspp_modules\.", "head.aspp.branches."),
    (r"^decode_head\.bottleneck\.", "head.aspp.fusion."),
    (r"^decode_head\.c1_bottleneck\.", "head.low_level."),
    (r"^decode_head\.sep_bottleneck\.", "head.convs."),
    (r"^decode_head\.conv_seg\.", "head.classifier."),
    (r"^auxiliary_head\.convs\.0\.", "aux_head.conv."),
    (r"^auxiliary_head\.conv_seg\.", "aux_head.classifier."),
    (r"^(head\..*)\.depthwise_conv\.", r"\1.depthwise."),
    (r"^(head\..*)\.pointwise_conv\.", r"\1.pointwise."),
    (r"^((aux_)?head\..*)\.conv\.", r"\1.0."),
    (r"^((aux_)?head\..*)\.bn\.", r"\1.1."),
]

# PaddleSeg 2.8, and PaddleRS, whose network is PaddleSeg's

PADDLESEG: list[Rename] = [
    (r"^head\.aspp\.aspp_blocks\.", "head.aspp.branches."),
    (r"^head\.aspp\.global_avg_pool\.1\.", "head.aspp.pool."),
    (r"^head\.aspp\.conv_bn_relu\.", "head.aspp.fusion."),
    (r"^head\.decoder\.conv_bn_relu1\.", "head.low_level."),
    (r"^head\.decoder\.conv_bn_relu2\.", "head.convs.0."),
    (r"^head\.decoder\.conv_bn_relu3\.", "head.convs.1."),
    (r"^head\.decoder\.conv\.", "head.classifier."),
    (r"\.depthwise_conv\.", ".depthwise."),
    (r"\.piontwise_conv\.", ".pointwise."),  # a slip of PaddleSeg's
    (r"\._conv\.", ".0."),
    (r"\._batch_norm\.", ".1."),
]

# segmentation_models.pytorch

SMP: list[Rename] = [
    (r"^encoder\.", "backbone."),
    # a separable convolution is a pair, followed by the BatchNorm
    (r"^decoder\.aspp\.0\.convs\.([123])\.0\.0\.", r"head.aspp.branches.\1.depthwise.0."),
    (r"^decoder\.aspp\.0\.convs\.([123])\.0\.1\.", r"head.aspp.branches.\1.pointwise.0."),
    (r"^decoder\.aspp\.0\.convs\.([123])\.1\.", r"head.aspp.branches.\1.pointwise.1."),
    (r"^decoder\.aspp\.0\.convs\.0\.", "head.aspp.branches.0."),
    (r"^decoder\.aspp\.0\.convs\.4\.1\.", "head.aspp.pool.0."),
    (r"^decoder\.aspp\.0\.convs\.4\.2\.", "head.aspp.pool.1."),
    (r"^decoder\.aspp\.0\.project\.", "head.aspp.fusion."),
    (r"^decoder\.aspp\.1\.0\.", "head.aspp_conv.depthwise.0."),
    (r"^decoder\.aspp\.1\.1\.", "head.aspp_conv.pointwise.0."),
    (r"^decoder\.aspp\.2\.", "head.aspp_conv.pointwise.1."),
    (r"^decoder\.block1\.", "head.low_level."),
    (r"^decoder\.block2\.0\.0\.", "head.convs.0.depthwise.0."),
    (r"^decoder\.block2\.0\.1\.", "head.convs.0.pointwise.0."),
    (r"^decoder\.block2\.1\.", "head.convs.0.pointwise.1."),
    (r"^segmentation_head\.0\.", "head.classifier."),
]

LAYOUTS = [
    Layout(
        "DeepLabV3+ of SegHZ or jfzhang95",
        r"^aspp\.aspp1\.atrous_conv\.",
        prefix=("backbone.", "backbone."),
        backbone_renames=FLAT_MOBILENET,
        renames=JFZHANG95,
        unused=r"^backbone\.(features|fc)\.",
        why="listed a second time, as low_level_features and high_level_features, or the ImageNet classifier",
    ),
    Layout(
        "DeepLabV3+ (MobileNetV2) of NAIC_AI-RS",
        (r"^aspp_pooling\.aspp_catdown\.", r"^backend\.low_features\.3\.conv\."),
        prefix=("backend.", "backbone."),
        backbone_renames=FLAT_MOBILENET,
        renames=NAIC,
    ),
    Layout(
        "DeepLabV3+ (ShuffleNetV2) of NAIC_AI-RS",
        (r"^aspp_pooling\.aspp_catdown\.", r"^backend\.high_features\.0\.banch1\."),
        prefix=("backend.", "backbone."),
        backbone_renames=NAIC_SHUFFLENET,
        renames=NAIC,
    ),
    Layout(
        "DeepLabV3+ of NAIC_AI-RS",
        r"^aspp_pooling\.aspp_catdown\.",
        prefix=("backend.", "backbone."),
        backbone_renames=NAIC_RESNET,
        renames=NAIC,
        unused=r"^backend\.pretrained\.fc\.",
        why="the ImageNet classifier",
    ),
    Layout(
        "DeepLabV3+ of mmsegmentation",
        (r"^decode_head\.sep_bottleneck\.", r"^decode_head\.c1_bottleneck\."),
        prefix=("backbone.", "backbone."),
        backbone_renames=MMSEG_STEM,
        renames=MMSEG,
    ),
    Layout(
        "DeepLabV3+ of PaddleSeg or PaddleRS",
        (r"^head\.decoder\.conv_bn_relu3\.", r"^head\.aspp\.aspp_blocks\."),
        prefix=("backbone.", "backbone."),
        backbone_renames=PADDLESEG_RESNET_VD,
        renames=PADDLESEG,
    ),
    Layout(
        "DeepLabV3+ of segmentation_models.pytorch",
        (r"^decoder\.aspp\.0\.convs\.", r"^decoder\.block2\."),
        renames=SMP,
        unused=r"^(encoder\.fc|classification_head)\.",
        why="a classifier of whole images",
    ),
]
