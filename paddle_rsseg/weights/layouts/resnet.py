"""ResNets: ours carry torchvision's names."""

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


LAYOUTS = [
    Layout(
        "ResNet-50 converted by X2Paddle",
        r"^layer10\.bottleneck90\.",
        scope="backbone",
        prefix=("", ""),
        backbone_renames=X2PADDLE,
        unused=r"^linear0\.",
        why="the ImageNet classifier",
    ),
    Layout(
        "ResNet of torchvision or paddle.vision",
        r"^layer1\.0\.conv1\.weight$",
        scope="backbone",
        unused=r"^fc\.",
        why="the ImageNet classifier",
    ),
]
