"""RendDANet and RendUNet of NAIC_AI-RS, whose point heads are convolutions along the points."""

from __future__ import annotations

import re

import numpy as np

from paddle_rsseg.weights.layout import Layout, Rename
from paddle_rsseg.weights.layouts.context import NAIC_DANET
from paddle_rsseg.weights.layouts.resnet import IMAGENET

#: our heads by the names of theirs; two more of theirs, for layer2 and layer3, are never used
HEADS = {"1": 0, "0": 1, "_refine": 2}


def _layer(match: re.Match[str]) -> str:
    return f"point_heads.{HEADS[match['head']]}.layers.{int(match['layer']) - 1}."


RENDDANET: list[Rename] = [
    *NAIC_DANET,
    (r"^(backbone|head)\.", r"network.\1."),
    (r"^rend_head\.mlp\.([024])\.", lambda match: f"point_head.layers.{int(match[1]) // 2}."),
    (r"^rend_head\.mlp\.6\.", "point_head.classifier."),
]

RENDUNET: list[Rename] = [
    (r"^seg\.refine\.conv\.([01])\.", r"image.0.\1."),
    (r"^seg\.refine\.conv\.([34])\.", lambda match: f"image.1.{int(match[1]) - 3}."),
    (r"^seg\.layer0\.0\.", "backbone.conv1."),
    (r"^seg\.layer0\.1\.", "backbone.bn1."),
    (r"^seg\.layer1\.1\.", "backbone.layer1."),  # behind the pooling
    (r"^seg\.(layer[2-4])\.", r"backbone.\1."),
    (r"^seg\.att\.cSE\.", "squeeze.channel."),
    (r"^seg\.att\.sSE\.", "squeeze.spatial."),
    (r"^seg\.seg\.1\.", "head."),
    (r"^rend\.mlp(?P<head>1|0|_refine)\.mlp\.fc(?P<layer>\d)\.", _layer),
    (r"^rend\.mlp(1|0|_refine)\.mlp\.final_fc\.", lambda match: f"point_heads.{HEADS[match[1]]}.classifier."),
]


def _as_convolution(weight: np.ndarray) -> np.ndarray:
    """A linear layer's (in, out), as it is after reading, or a convolution's (out, in, 1) along the points."""
    return weight.T[:, :, None, None] if weight.ndim == 2 else weight.reshape(*weight.shape[:2], 1, 1)


POINTS_AS_PIXELS = (r"^point_heads?\..*weight$", _as_convolution)

LAYOUTS = [
    Layout(
        "RendDANet of NAIC_AI-RS",
        (r"^rend_head\.mlp\.6\.", r"^head\.sa\.query_conv\."),
        renames=RENDDANET,
        unused=r"^pretrained\.fc\.",
        why=IMAGENET,
        arrange=[POINTS_AS_PIXELS],
    ),
    Layout(
        "RendUNet of NAIC_AI-RS",
        (r"^rend\.mlp_refine\.mlp\.", r"^seg\.refine\.conv\."),
        renames=RENDUNET,
        unused=r"^rend\.mlp[23]\.",
        why="a point head that the network never uses",
        arrange=[POINTS_AS_PIXELS, (r"^squeeze\.channel\..*weight$", _as_convolution)],
    ),
]
