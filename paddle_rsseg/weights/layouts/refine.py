"""RefineNet and BASNet of the public programs."""

from __future__ import annotations

import re

from paddle_rsseg.weights.layout import Layout, Rename
from paddle_rsseg.weights.layouts.resnet import PSPNET_STEM

# DrSleep/refinenet-pytorch and NAIC_AI-RS; their stages count from the coarsest map, our blocks from the finest

DRSLEEP_PARTS = {
    "adapt": "units",
    "adapt_joint": "conv",
    "mflow": "out_units",
    "mflow_joint": "path_conv",
}


def _drsleep_reduce(match: re.Match[str]) -> str:
    return f"head.blocks.{4 - int(match[1])}.reduce."


def _drsleep_pool(match: re.Match[str]) -> str:
    return f"head.blocks.{4 - int(match['stage'])}.pooling.convs.{int(match['link']) - 1}."


def _drsleep_unit(match: re.Match[str]) -> str:
    conv = "conv2" if match["second"] else "conv1"
    part = DRSLEEP_PARTS[match["part"]]
    return f"head.blocks.{4 - int(match['stage'])}.{part}.{int(match['unit']) - 1}.{conv}."


def _drsleep_joint(match: re.Match[str]) -> str:
    # what a stage ends with is the beginning of the next finer one's path
    block = 4 - int(match["stage"]) - (match["part"] == "mflow")
    return f"head.blocks.{block}.{DRSLEEP_PARTS[match['part'] + '_joint']}."


DRSLEEP: list[Rename] = [
    (r"^(?=(conv1|bn1|layer[1-4])\.)", "backbone."),
    (r"^p_ims1d2_outl(\d)_dimred\.", _drsleep_reduce),
    (r"^mflow_conv_g(?P<stage>\d)_pool\.0\.(?P<link>\d)_outvar_dimred\.", _drsleep_pool),
    (
        r"^(?P<part>adapt|mflow)_(stage|conv_g)(?P<stage>\d)_b\.0\.(?P<unit>\d)_conv(?P<second>_relu_varout_dimred)?\.",
        _drsleep_unit,
    ),
    (r"^(?P<part>adapt|mflow)_(stage|conv_g)(?P<stage>\d)_b[23]_joint_varout_dimred\.", _drsleep_joint),
    (r"^clf_conv\.", "head.classifier."),
]

# thomasjpfan/pytorch_refinenet, and NAIC_AI-RS's second RefineNet


def _cascade_block(match: re.Match[str]) -> str:
    """The path is a block's first input, and the coarsest block has none."""
    number, part, source = int(match["block"]), match["part"], match["source"]
    if number < 4 and source == "0":
        name = {"rcu": "path_units", "resolve": "path_conv"}[part]
    else:
        name = {"rcu": "units", "resolve": "conv"}[part]
    return f"head.blocks.{number - 1}.{name}."


CASCADE: list[Rename] = [
    (r"^layer(\d)_rn\.", lambda match: f"head.blocks.{int(match[1]) - 1}.reduce."),
    (r"^refinenet(?P<block>\d)\.(mrf\.)?(?P<part>rcu|resolve)(?P<source>\d)\.", _cascade_block),
    (r"^refinenet(\d)\.crp\.block(\d)\.1\.", lambda m: f"head.blocks.{int(m[1]) - 1}.pooling.convs.{int(m[2]) - 1}."),
    (r"^refinenet(\d)\.output_conv\.", lambda match: f"head.blocks.{int(match[1]) - 1}.out_units.0."),
    (r"^output_conv\.2\.", "head.classifier."),
    (r"^output_conv\.", "head.units."),
]

#: torchvision's encoder cut into stages, the first with the stem in front
CUT_RESNET: list[Rename] = [
    (r"^layer1\.0\.(?=\w+$)", "backbone.conv1."),
    (r"^layer1\.1\.(?=\w+$)", "backbone.bn1."),
    (r"^layer1\.4\.", "backbone.layer1."),
    (r"^(?=layer[234]\.)", "backbone."),
]

# NathanUA/BASNet and NAIC_AI-RS

STAGE_CONVS = {"1": 0, "m": 1, "2": 2}
#: their letters for a convolution and its norm
PLACES = {"conv": 0, "bn": 1}


def _basnet_stage(match: re.Match[str]) -> str:
    part = "bridge" if match["stage"] == "bg" else f"decoder.{int(match['stage'][0]) - 1}"
    return f"{part}.{STAGE_CONVS[match['conv']]}.{PLACES[match['kind']]}."


def _basnet_head(match: re.Match[str]) -> str:
    number = 7 if match[1] == "b" else int(match[1])
    return "head." if number == 1 else f"aux_heads.{number - 2}."


def _refiner_conv(match: re.Match[str]) -> str:
    part = "up" if match["up"] else "down"
    return f"refiner.{part}.{int(match['level']) - 1}.{PLACES[match['kind']]}."


BASNET: list[Rename] = [
    (r"^inconv\.", "backbone.stem.0."),
    (r"^inbn\.", "backbone.stem.1."),
    (r"^encoder(\d)\.", r"backbone.layer\1."),
    (r"^resb(\d)_(\d)\.", lambda match: f"backbone.layer{match[1]}.{int(match[2]) - 1}."),
    (r"^(?P<kind>conv|bn)(?P<stage>bg|\dd)_(?P<conv>[12m])\.", _basnet_stage),
    (r"^outconv([b1-6])\.", _basnet_head),
    (r"^refunet\.conv0\.", "refiner.stem."),
    (r"^refunet\.conv_d0\.", "refiner.out."),
    (r"^refunet\.(?P<kind>conv|bn)(?P<up>_d)?(?P<level>\d)\.", _refiner_conv),
]

LAYOUTS = [
    Layout(
        "RefineNet of DrSleep or NAIC_AI-RS",
        (r"^p_ims1d2_outl1_dimred\.", r"^mflow_conv_g4_pool\.0\.4_outvar_dimred\."),
        renames=DRSLEEP,
        unused=r"^fc\.",
        why="the ImageNet classifier",
    ),
    Layout(
        "RefineNet (4-cascade) of NAIC_AI-RS",
        (r"^refinenet4\.crp\.block1\.1\.", r"^Resnet101\."),
        prefix=("Resnet101.", "backbone."),
        backbone_renames=PSPNET_STEM,
        renames=CASCADE,
        unused=r"^layer\d\.",
        why="listed a second time, as Resnet101",
    ),
    Layout(
        "RefineNet (4-cascade) of thomasjpfan",
        (r"^refinenet4\.crp\.block1\.1\.", r"^layer1\.4\."),
        renames=[*CUT_RESNET, *CASCADE],
    ),
    Layout("BASNet of NathanUA or NAIC_AI-RS", (r"^convbg_m\.", r"^refunet\.conv0\."), renames=BASNET),
]
