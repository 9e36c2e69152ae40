"""MobileNetV2, ShuffleNetV2, EfficientNet and Xception: ours carry the names of torchvision (the first two), timm and
jfzhang95's pytorch-deeplab-xception."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from paddle_rsseg.weights.layout import Layout, Rename
from paddle_rsseg.weights.layouts.deeplab import FLAT_MOBILENET

CLASSIFIER = "the ImageNet classifier"

# MobileNetV2

#: number of the first block of each of timm's stages in torchvision's one list
FIRST_BLOCKS = (1, 2, 4, 7, 11, 14, 17)
TIMM_FIRST = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}
TIMM_OTHERS = {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1", "conv_pwl": "2", "bn3": "3"}


def _timm_block(match: re.Match[str]) -> str:
    stage = int(match["stage"])
    table = TIMM_OTHERS if stage else TIMM_FIRST
    return f"features.{FIRST_BLOCKS[stage] + int(match['block'])}.conv.{table[match['layer']]}."


TIMM_MOBILENET: list[Rename] = [
    (r"^conv_stem\.", "features.0.0."),
    (r"^bn1\.", "features.0.1."),
    (r"^conv_head\.", "features.18.0."),
    (r"^bn2\.", "features.18.1."),
    (r"^blocks\.(?P<stage>[0-6])\.(?P<block>[0-3])\.(?P<layer>conv_pwl?|conv_dw|bn[123])\.", _timm_block),
]

# EfficientNet

#: number of blocks of all stages together → blocks of each stage; B1 and B2 have as many
DEPTHS = {
    "B7": (4, 7, 7, 10, 10, 13, 4),
    "B6": (3, 6, 6, 8, 8, 11, 3),
    "B5": (3, 5, 5, 7, 7, 9, 3),
    "B4": (2, 4, 4, 6, 6, 8, 2),
    "B3": (2, 3, 3, 5, 5, 6, 2),
    "B1 or B2": (2, 3, 3, 4, 4, 5, 2),
    "B0": (1, 2, 2, 3, 3, 4, 1),
}

#: the first stage's blocks have no expansion, so timm counts their norms from the depthwise convolution's on
TIMM_EFFICIENTNET: list[Rename] = [
    (r"^(blocks\.0\.\d+)\.conv_pw\.", r"\1.conv_pwl."),
    (r"^(blocks\.0\.\d+)\.bn2\.", r"\1.bn3."),
    (r"^(blocks\.0\.\d+)\.bn1\.", r"\1.bn2."),
]

#: efficientnet_pytorch counts the blocks of all stages together, and the norms from 0
LUKEMELAS: list[Rename] = [
    (r"^_conv_stem\.", "conv_stem."),
    (r"^_bn0\.", "bn1."),
    (r"\._expand_conv\.", ".conv_pw."),
    (r"\._depthwise_conv\.", ".conv_dw."),
    (r"\._se_reduce\.", ".se.conv_reduce."),
    (r"\._se_expand\.", ".se.conv_expand."),
    (r"\._project_conv\.", ".conv_pwl."),
    (r"\._bn([012])\.", lambda match: f".bn{int(match[1]) + 1}."),
]

#: torchvision counts the stages from the stem on; a block is expansion, depthwise, excitation and projection
TORCHVISION_EFFICIENTNET: list[Rename] = [
    (r"^features\.0\.0\.", "conv_stem."),
    (r"^features\.0\.1\.", "bn1."),
    (r"^features\.1\.(\d+)\.block\.0\.", r"blocks.0.\1.block.1."),
    (r"^features\.1\.(\d+)\.block\.1\.", r"blocks.0.\1.block.2."),
    (r"^features\.1\.(\d+)\.block\.2\.", r"blocks.0.\1.block.3."),
    (r"^features\.([2-7])\.", lambda match: f"blocks.{int(match[1]) - 1}."),
    (r"\.block\.0\.0\.", ".conv_pw."),
    (r"\.block\.0\.1\.", ".bn1."),
    (r"\.block\.1\.0\.", ".conv_dw."),
    (r"\.block\.1\.1\.", ".bn2."),
    (r"\.block\.2\.fc1\.", ".se.conv_reduce."),
    (r"\.block\.2\.fc2\.", ".se.conv_expand."),
    (r"\.block\.3\.0\.", ".conv_pwl."),
    (r"\.block\.3\.1\.", ".bn3."),
]


def _staged(depths: tuple[int, ...]) -> Callable[[re.Match[str]], str]:
    places = [f"blocks.{stage}.{block}." for stage, depth in enumerate(depths) for block in range(depth)]

    def rename(match: re.Match[str]) -> str:
        number = int(match[1])
        return places[number] if number < len(places) else match[0]

    return rename


def lukemelas_renames(variant: str) -> list[Rename]:
    return [(r"^_blocks\.(\d+)\.", _staged(DEPTHS[variant])), *LUKEMELAS]


def _lukemelas(variant: str) -> Layout:
    return Layout(
        f"EfficientNet-{variant} of efficientnet_pytorch or segmentation_models_pytorch",
        rf"^_blocks\.{sum(DEPTHS[variant]) - 1}\._project_conv\.",
        scope="backbone",
        renames=lukemelas_renames(variant),
        unused=r"^(_conv_head|_bn1|_fc)\.",
        why=CLASSIFIER,
    )


# Xception

#: Cadene's Xception is shorter: its eleventh block begins the new ones too, its exit is moved back. jfzhang95 leaves
#: the second block without these weights, as its numbering differs by a ReLU; here it gets them.
CADENE_RENAMES: list[Rename] = [
    (r"^block12\.", "block20."),
    (r"^conv4\.", "conv5."),
    (r"^bn4\.", "bn5."),
    (r"^block2\.rep\.(\d)\.", lambda match: f"block2.rep.{int(match[1]) - 1}."),
]
CADENE_COPIES = [
    (r"^block11\.(.*)", tuple(rf"block{i}.\1" for i in range(11, 20))),
    (r"^bn3\.(.*)", (r"bn3.\1", r"bn4.\1")),
]


def _pointwise(weight: np.ndarray) -> np.ndarray:
    """Cadene's old file keeps them as matrices, which were taken for a linear layer's and turned."""
    return weight.T[:, :, None, None] if weight.ndim == 2 else weight


LAYOUTS = [
    Layout(
        "MobileNetV2 of torchvision or paddle.vision",
        r"^features\.1\.conv\.0\.0\.weight$",
        scope="backbone",
        unused=r"^(features\.18|classifier)\.",
        why=CLASSIFIER,
    ),
    Layout(
        "MobileNetV2 of torchvision or paddle.vision, with its last convolution",
        (r"^features\.1\.conv\.0\.0\.weight$", r"^features\.18\.0\.weight$"),
        scope="backbone",
        unused=r"^classifier\.",
        why=CLASSIFIER,
    ),
    Layout(
        "MobileNetV2 of tonylins or jfzhang95",
        r"^features\.1\.conv\.3\.weight$",
        scope="backbone",
        renames=FLAT_MOBILENET,
        unused=r"^(features\.18|classifier)\.",
        why=CLASSIFIER,
    ),
    Layout(
        "MobileNetV2 of timm",
        (r"^blocks\.0\.0\.conv_pw\.weight$", r"^blocks\.6\.0\.conv_pwl\.weight$"),
        scope="backbone",
        renames=TIMM_MOBILENET,
        unused=r"^(conv_head|bn2|classifier)\.",
        why=CLASSIFIER,
    ),
    Layout(
        "EfficientNet of timm",
        (r"^blocks\.0\.0\.conv_pw\.weight$", r"^blocks\.6\.0\.se\.conv_expand\.weight$"),
        scope="backbone",
        renames=TIMM_EFFICIENTNET,
        unused=r"^(conv_head|bn2|classifier)\.",
        why=CLASSIFIER,
    ),
    Layout(
        "EfficientNet of torchvision",
        r"^features\.1\.0\.block\.1\.fc1\.weight$",
        scope="backbone",
        renames=TORCHVISION_EFFICIENTNET,
        unused=r"^(features\.8|classifier)\.",
        why=CLASSIFIER,
    ),
    # the deepest first: it has the blocks of all the others
    *map(_lukemelas, DEPTHS),
    Layout(
        "ShuffleNetV2 of torchvision",
        r"^stage2\.0\.branch1\.0\.weight$",
        scope="backbone",
        unused=r"^(conv5|fc)\.",
        why=CLASSIFIER,
    ),
    Layout("aligned Xception of jfzhang95, SegHZ or NAIC_AI-RS", r"^block20\.skip\.weight$", scope="backbone"),
    Layout(
        "Xception of Cadene or timm, which is shorter than the aligned one",
        r"^block12\.skip\.weight$",
        scope="backbone",
        renames=CADENE_RENAMES,
        copies=CADENE_COPIES,
        unused=r"^(fc|last_linear)\.",
        why=CLASSIFIER,
        arrange=[(r"\.pointwise\.weight$", _pointwise)],
    ),
]
