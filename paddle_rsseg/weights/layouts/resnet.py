"""ResNets and their relatives: ours carry the names of torchvision, timm and Cadene's pretrained-models."""

from __future__ import annotations

import re

from paddle_rsseg.weights.layout import Layout, Rename, plus_one

#: blocks of each stage in the order in which X2Paddle's generated ResNet-50 runs them
X2PADDLE_BLOCKS = {"1": [9, 5, 14], "2": [11, 4, 6, 0], "3": [12, 1, 7, 3, 8, 2], "4": [10, 15, 13]}


def _x2paddle_block(match: re.Match[str]) -> str:
    stage, block = match["stage"], int(match["block"])
    return f"layer{stage}.{X2PADDLE_BLOCKS[stage].index(block)}."


#: X2Paddle's ResNet-50, names as they stand after the prefix
X2PADDLE: list[Rename] = [
    (r"^conv0\.", "conv1."),
    (r"^bn0\.", "bn1."),
    (r"^layer(?P<stage>[1-4])0\.bottleneck(?P<block>\d+)0\.", _x2paddle_block),
    (r"\.layer1_0_downsample0\.conv0\.", ".downsample.0."),
    (r"\.layer1_0_downsample0\.bn0\.", ".downsample.1."),
    (r"(?<=\d\.)conv([012])\.", plus_one("conv{}.")),
    (r"(?<=\d\.)bn([012])\.", plus_one("bn{}.")),
]


#: mmsegmentation's deep stem of ResNetV1c, ResNetV1d and ResNeSt
MMSEG_STEM: list[Rename] = [(r"^stem\.7\.", "bn1."), (r"^stem\.", "conv1.")]

#: the deep stem of PSPNet and its followers; their last norm is where others have the first
PSPNET_STEM: list[Rename] = [
    (r"^conv1\.", "conv1.0."),
    (r"^bn1\.", "conv1.1."),
    (r"^conv2\.", "conv1.3."),
    (r"^bn2\.", "conv1.4."),
    (r"^conv3\.", "conv1.6."),
    (r"^bn3\.", "bn1."),
]


def _paddleseg_block(match: re.Match[str]) -> str:
    stage, convolution = int(match["stage"]) + 1, int(match["conv"]) + 1
    kind = "conv" if match["kind"] == "_conv" else "bn"
    return f"layer{stage}.{match['block']}.{kind}{convolution}."


PADDLESEG_RESNET_VD: list[Rename] = [
    (r"^conv1_1\._conv\.", "conv1.0."),
    (r"^conv1_1\._batch_norm\.", "conv1.1."),
    (r"^conv1_2\._conv\.", "conv1.3."),
    (r"^conv1_2\._batch_norm\.", "conv1.4."),
    (r"^conv1_3\._conv\.", "conv1.6."),
    (r"^conv1_3\._batch_norm\.", "bn1."),
    (r"^bb_(?P<stage>\d)_(?P<block>\d+)\.conv(?P<conv>\d)\.(?P<kind>_conv|_batch_norm)\.", _paddleseg_block),
    (r"^bb_(\d)_(\d+)\.short\._conv\.", lambda match: f"layer{int(match[1]) + 1}.{match[2]}.downsample.1."),
    (r"^bb_(\d)_(\d+)\.short\._batch_norm\.", lambda match: f"layer{int(match[1]) + 1}.{match[2]}.downsample.2."),
]

ENCODER = r"^layer1\.0\.conv1\.weight$"
IMAGENET = "the ImageNet classifier"

LAYOUTS = [
    Layout(
        "ResNet-50 converted by X2Paddle",
        r"^layer10\.bottleneck90\.",
        scope="backbone",
        prefix=("", ""),
        backbone_renames=X2PADDLE,
        unused=r"^linear0\.",
        why=IMAGENET,
    ),
    Layout(
        "ResNet_vd of PaddleSeg",
        (r"^conv1_1\._conv\.weight$", r"^bb_0_0\.conv0\._conv\."),
        scope="backbone",
        renames=PADDLESEG_RESNET_VD,
        unused=r"^(fc|out)\.",
        why=IMAGENET,
    ),
    Layout(
        "ResNetV1c, ResNetV1d or ResNeSt of mmsegmentation",
        (r"^stem\.0\.weight$", ENCODER),
        scope="backbone",
        renames=MMSEG_STEM,
        unused=r"^fc\.",
        why=IMAGENET,
    ),
    Layout(
        "classifier on a ResNet of mmpretrain",
        (r"^backbone\.layer1\.0\.conv1\.weight$", r"^head\.fc\."),
        scope="backbone",
        prefix=("backbone.", ""),
        backbone_renames=MMSEG_STEM,
        unused=r"^head\.fc\.",
        why=IMAGENET,
    ),
    Layout(
        "ResNet with the deep stem of PSPNet",
        (r"^conv3\.weight$", r"^bn3\.", ENCODER),
        scope="backbone",
        renames=PSPNET_STEM,
        unused=r"^fc\.",
        why=IMAGENET,
    ),
    Layout(
        "SENet of pretrained-models.pytorch or timm",
        (r"^layer0\.conv1\.weight$", r"\.se_module\.fc1\."),
        scope="backbone",
        unused=r"^last_linear\.",
        why=IMAGENET,
    ),
    Layout(
        "DRN-D of fyu/drn",
        (r"^layer0\.0\.weight$", r"^layer8\.0\.weight$"),
        scope="backbone",
        unused=r"^fc\.",
        why=IMAGENET,
    ),
    Layout(
        "VGG-16 with BatchNorm of torchvision",
        (r"^features\.0\.weight$", r"^features\.41\.weight$"),
        scope="backbone",
        unused=r"^classifier\.",
        why=IMAGENET,
    ),
    Layout(
        "ResNet or ResNeSt of torchvision, timm or paddle.vision",
        ENCODER,
        scope="backbone",
        unused=r"^fc\.",
        why=IMAGENET,
        filled=[(r"^layer\d\.\d+\.conv2\.taps\.", 0.0)],  # of convolutions that are deformable only here
    ),
]
