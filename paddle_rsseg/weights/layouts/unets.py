"""U-Net and its relatives: networks that carry their own encoders, each program with its own names."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from paddle_rsseg.weights.layout import Layout, Rename


def double(prefix: str, ours: Callable[[re.Match[str]], str]) -> Rename:
    """Two convolutions with their norms, numbered 0, 1, 3, 4 there since ReLUs count; ours are two pairs."""
    return (
        prefix + r"(?P<index>[0134])\.",
        lambda match: f"{ours(match)}.{int(match['index']) // 3}.{int(match['index']) % 3}.",
    )


def minus_one(template: str) -> Callable[[re.Match[str]], str]:
    """``template`` with the match's first group, a number, minus one."""
    return lambda match: template.format(int(match[1]) - 1)


def from_coarse(template: str, deepest: int) -> Callable[[re.Match[str]], str]:
    """``template`` with the level, counted upwards to ``deepest``, as a number from the coarsest on."""
    return lambda match: template.format(deepest - int(match[1]), *match.groups()[1:])


def as_kernel(array: np.ndarray) -> np.ndarray:
    """A linear layer's weight (in, out) → that of a 1×1 convolution."""
    return array.T[:, :, None, None]


# LeeJunHyun/Image_Segmentation, and NAIC_AI-RS after it

LEEJUNHYUN: list[Rename] = [
    double(r"^Conv(\d)\.conv\.", minus_one("encoder.{}")),
    double(r"^Up_conv(\d)\.conv\.", from_coarse("decoder.{}", 5)),
    (r"^Up(\d)\.up\.([12])\.", lambda match: f"ups.{5 - int(match[1])}.conv.{int(match[2]) - 1}."),
    (r"^RRCNN(\d)\.", minus_one("encoder.{}.")),
    (r"^Up_RRCNN(\d)\.", from_coarse("decoder.{}.", 5)),
    (r"\.RCNN\.", ".recurrent."),
    (r"(?<=\d)\.Conv_1x1\.", ".enter."),
    (r"^Att(\d)\.", from_coarse("gates.{}.", 5)),
    (r"\.W_g\.", ".gate."),
    (r"\.W_x\.", ".skip."),
    (r"^Conv_1x1\.", "head."),
]

MILESIAL: list[Rename] = [
    double(r"^inc\.conv\.conv\.", lambda match: "encoder.0"),
    double(r"^down(\d)\.mpconv\.1\.conv\.", lambda match: f"encoder.{match[1]}"),
    double(r"^up(\d)\.conv\.conv\.", minus_one("decoder.{}")),
    (r"^outc\.conv\.", "head."),
]

PADDLESEG_CONV: list[Rename] = [(r"\._conv\.", ".0."), (r"\._batch_norm\.", ".1.")]

PADDLESEG_UNET: list[Rename] = [
    (r"^encode\.double_conv\.", "encoder.0."),
    (
        r"^encode\.down_sample_list\.(\d)\.([12])\.",
        lambda match: f"encoder.{int(match[1]) + 1}.{int(match[2]) - 1}.",
    ),
    (r"^decode\.up_sample_list\.(\d)\.double_conv\.", r"decoder.\1."),
    (r"^decode\.up_sample_list\.(\d)\.deconv\.", r"ups.\1.conv."),
    (r"^cls\.", "head."),
    *PADDLESEG_CONV,
]

# U-Net++. Node i_j of level i is the j-th after the encoder's; its head is the j-th, and ours of the fourth comes first


def _node(match: re.Match[str]) -> str:
    level, place = int(match[1]), int(match[2])
    return f"encoder.{level}" if place == 0 else f"nodes.{place - 1}.{level}"


def _block(match: re.Match[str]) -> str:
    return _node(match) + ("" if match[2] == "0" else ".block")


def _head(match: re.Match[str]) -> str:
    return "head." if match[1] == "4" else f"aux_heads.{3 - int(match[1])}."


NAIC_UNETPP: list[Rename] = [
    (r"^conv(\d)_(\d)\.conv(\d)\.", lambda match: f"{_block(match)}.{int(match[3]) - 1}.0."),
    (r"^conv(\d)_(\d)\.bn(\d)\.", lambda match: f"{_block(match)}.{int(match[3]) - 1}.1."),
    (r"^final\.", "head."),
    (r"^final(\d)\.", _head),
]

PADDLESEG_UNETPP: list[Rename] = [
    double(r"^conv(\d)_(\d)\.conv\.", _node),
    double(r"^up_cat(\d)_(\d)\.conv\.conv\.", _block),
    (r"^up_cat(\d)_(\d)\.up\.1\.", lambda match: f"{_node(match)}.narrow."),
    (r"^up_cat(\d)_(\d)\.up\.", lambda match: f"{_node(match)}.up.conv."),
    (r"^out_(\d)\.", _head),
]

NESTED: list[Rename] = [
    (r"^conv(\d)(\d)\.conv(\d)\.", lambda match: f"{_node(match)}.{int(match[3]) - 1}."),
    (r"^up_concat(\d)(\d)\.conv\.conv(\d)\.", lambda match: f"{_block(match)}.{int(match[3]) - 1}."),
    (r"^up_concat(\d)(\d)\.up\.1\.", lambda match: f"{_node(match)}.narrow."),
    (r"^up_concat(\d)(\d)\.up\.", lambda match: f"{_node(match)}.up.conv."),
    (r"^final_(\d)\.", _head),
]

# networks on a ResNet

SCSE_UNET: list[Rename] = [
    (r"^encoder\.", "backbone."),
    double(r"^GapCov\.conv\.", lambda match: "bottleneck"),
    double(r"^UpConv(\d)\.conv\.", from_coarse("decoder.{}", 4)),
    (r"^Up(\d)\.up\.([12])\.", lambda match: f"ups.{4 - int(match[1])}.conv.{int(match[2]) - 1}."),
    (r"^SCSE(\d)\.", minus_one("squeezes.{}.")),
    (r"\.cSE\.", ".channel."),
    (r"\.sSE\.", ".spatial."),
    (r"^Conv_1x1\.", "head."),
]

UNET_RESNET_AE: list[Rename] = [
    (r"^encoder\.feature0\.0\.", "backbone.conv1."),
    (r"^encoder\.feature0\.1\.", "backbone.bn1."),
    (r"^encoder\.feature(\d)\.", r"backbone.layer\1."),
    double(r"^center\.", lambda match: "center"),
    (r"^decoder1\.", "last_step."),
    (r"^decoder(\d)\.", from_coarse("steps.{}.", 5)),
    (r"\.block([12])\.", minus_one(".blocks.{}.")),
    (r"\.scse_module\.channel_excitation\.0\.", ".squeeze.channel.fc1."),
    (r"\.scse_module\.channel_excitation\.2\.", ".squeeze.channel.fc2."),
    (r"\.scse_module\.spatial_se\.0\.", ".squeeze.spatial.conv."),
    (r"^cbr_last\.([01])\.", r"fusion.\1."),
    (r"^cbr_last\.3\.", "head."),
]

CENET: list[Rename] = [
    (r"^firstconv\.", "backbone.conv1."),
    (r"^firstbn\.", "backbone.bn1."),
    (r"^encoder(\d)\.", r"backbone.layer\1."),
    (r"^dblock\.dilate1\.", "atrous.dilated1."),
    (r"^dblock\.dilate2\.", "atrous.dilated3."),
    (r"^dblock\.dilate3\.", "atrous.dilated5."),
    (r"^dblock\.conv1x1\.", "atrous.pointwise."),
    (r"^spp\.", "pyramid."),
    (r"^decoder(\d)\.", from_coarse("decoder.{}.", 4)),
    (r"^finaldeconv1\.", "last_deconv."),
    (r"^finalconv2\.", "last_conv."),
    (r"^finalconv3\.", "head."),
]

# SegNet. VGG's layers are numbered with its poolings, which those of the stages here lack

STAGE_BEGINS = (0, 7, 14, 24, 34)


def _vgg_layer(stage: str, layer: int) -> str:
    return f"backbone.features.{STAGE_BEGINS[int(stage) - 1] + layer}."


TIED_SEGNET: list[Rename] = [
    (r"^stage(\d)_encoder\.(\d+)\.", lambda match: _vgg_layer(match[1], int(match[2]))),
    (r"^stage([23])_decoder\.([67])\.", lambda m: f"decoder.{int(m[1]) - 1}.0.{int(m[2]) - 6}."),
    (r"^stage4_decoder\.([34])\.", lambda match: f"decoder.3.0.{int(match[1]) - 3}."),
    (r"^stage5_decoder\.3\.", "last_conv."),
    (r"^stage5_decoder\.6\.", "head."),
]

PADDLESEG_SEGNET: list[Rename] = [
    (r"^enco(\d)\.(\d)\._conv\.", lambda match: _vgg_layer(match[1], 3 * int(match[2]))),
    (r"^enco(\d)\.(\d)\._batch_norm\.", lambda match: _vgg_layer(match[1], 3 * int(match[2]) + 1)),
    (r"^deco5\.1\.(?=weight|bias)", "head."),
    (r"^deco(\d)\.", minus_one("decoder.{}.")),
    *PADDLESEG_CONV,
]

LAYOUTS = [
    Layout("U-Net of LeeJunHyun or NAIC_AI-RS", (r"^(RRCNN|Conv)5\.", r"^Up5\.up\.1\."), renames=LEEJUNHYUN),
    Layout("U-Net of milesial", (r"^inc\.conv\.conv\.", r"^down4\.mpconv\."), renames=MILESIAL),
    Layout(
        "U-Net of PaddleSeg",
        (r"^encode\.double_conv\.", r"^decode\.up_sample_list\."),
        renames=PADDLESEG_UNET,
        unused=r"^conv\.",
        why="the classifier under a second name",
    ),
    Layout("U-Net++ of NAIC_AI-RS or 4uiiurz1", (r"^conv0_4\.conv1\.", r"^final4?\."), renames=NAIC_UNETPP),
    Layout("U-Net++ of PaddleSeg", (r"^up_cat0_4\.", r"^out_4\."), renames=PADDLESEG_UNETPP),
    Layout("UNet_Nested", (r"^up_concat04\.", r"^final_4\."), renames=NESTED),
    Layout(
        "scSE-UNet of NAIC_AI-RS",
        (r"^GapCov\.", r"^SCSE4\."),
        renames=SCSE_UNET,
        arrange=[(r"\.channel\.fc\d\.weight$", as_kernel)],
        unused=r"^encoder\.fc\.",
        why="the ImageNet classifier",
    ),
    Layout(
        "UnetResnetAE of NAIC_AI-RS",
        (r"^encoder\.feature0\.0\.", r"^decoder5\.scse_module\."),
        renames=UNET_RESNET_AE,
        arrange=[(r"\.channel\.fc\d\.weight$", as_kernel)],
    ),
    Layout("CE-Net", (r"^dblock\.dilate3\.", r"^spp\.conv\."), renames=CENET),
    Layout(
        "SegNet of yassouali or NAIC_AI-RS",
        (r"^stage5_encoder\.0\.", r"^stage5_decoder\.6\."),
        renames=TIED_SEGNET,
        unused=r"^stage(1_decoder\.|[23]_decoder\.[0-5]\.|4_decoder\.[0-2]\.|5_decoder\.[0124]\.)",
        why="the encoder's own, under a second name",
    ),
    Layout("SegNet of PaddleSeg", (r"^enco5\.2\._conv\.", r"^deco5\.1\."), renames=PADDLESEG_SEGNET),
]
