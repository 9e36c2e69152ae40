"""Swin and MiT: our encoders carry the names of their authors' segmentation releases, which PaddleSeg shares."""

from __future__ import annotations

import numpy as np

from paddle_rsseg.weights.layout import Layout, Rename, plus_one

#: tables computed at construction, and the classifier with the norm before it
SWIN_UNUSED = r"\.relative_position_index$|\.attn_mask$|^norm\.|^head\."
SWIN_WHY = "computed by the network itself, or of the ImageNet classifier"

#: classifiers have none
NORMS_OF_MAPS = [(r"^norm\d\.weight$", 1.0), (r"^norm\d\.bias$", 0.0)]


MMSEG_SWIN: list[Rename] = [
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^stages\.", "layers."),
    (r"\.attn\.w_msa\.", ".attn."),
    (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
]


def merging_of_mmseg(array: np.ndarray) -> np.ndarray:
    """What belongs to the 4·C inputs of a patch merging, along the first axis, from mmsegmentation's order to ours.

    There a channel's four neighbours stand together, row by row; here all channels of a neighbour, column by column.
    """
    by_channel = array.reshape(-1, 2, 2, *array.shape[1:])  # channel, row, column
    return np.ascontiguousarray(np.moveaxis(by_channel, (2, 1, 0), (0, 1, 2))).reshape(array.shape)


def linear_of_1x1(array: np.ndarray) -> np.ndarray:
    """A 1×1 convolution's weight (out, in, 1, 1) as a linear layer's (in, out)."""
    return np.ascontiguousarray(array.reshape(array.shape[:2]).T)


ENCODERS = [
    Layout(
        "Swin of timm",
        (r"^layers[._]3\.downsample\.", r"\.attn\.relative_position_bias_table$"),
        scope="backbone",
        renames=[
            (r"^layers_", "layers."),
            # the merging stands at the beginning of a stage there, at the end of the one before here
            (r"^layers\.(\d)\.downsample\.", lambda match: f"layers.{int(match[1]) - 1}.downsample."),
        ],
        unused=SWIN_UNUSED,
        why=SWIN_WHY,
        filled=NORMS_OF_MAPS,
    ),
    Layout(
        "Swin, official release or PaddleSeg",
        r"^layers\.0\.blocks\.0\.attn\.relative_position_bias_table$",
        scope="backbone",
        unused=SWIN_UNUSED,
        why=SWIN_WHY,
        filled=NORMS_OF_MAPS,
    ),
    Layout(
        "Swin of mmsegmentation",
        r"^stages\.0\.blocks\.0\.attn\.w_msa\.",
        scope="backbone",
        renames=MMSEG_SWIN,
        unused=SWIN_UNUSED,
        why=SWIN_WHY,
        arrange=[(r"\.downsample\.", merging_of_mmseg)],
        filled=NORMS_OF_MAPS,
    ),
    Layout(
        "MiT, official release, segmentation_models.pytorch or PaddleSeg",
        (r"^patch_embed1\.proj\.", r"^block1\.0\.attn\.kv\."),
        scope="backbone",
        unused=r"^head\.",
        why="the ImageNet classifier",
    ),
    Layout(
        "MiT of mmsegmentation",
        r"^layers\.0\.1\.0\.attn\.attn\.in_proj_weight$",
        scope="backbone",
        renames=[
            (r"^layers\.(\d)\.0\.projection\.", plus_one("patch_embed{}.proj.")),
            (r"^layers\.(\d)\.0\.norm\.", plus_one("patch_embed{}.norm.")),
            (r"^layers\.(\d)\.1\.", plus_one("block{}.")),
            (r"^layers\.(\d)\.2\.", plus_one("norm{}.")),
            (r"\.attn\.attn\.in_proj_", ".attn.in_proj."),
            (r"\.attn\.attn\.out_proj\.", ".attn.proj."),
            (r"\.ffn\.layers\.0\.", ".mlp.fc1."),
            (r"\.ffn\.layers\.1\.", ".mlp.dwconv.dwconv."),
            (r"\.ffn\.layers\.4\.", ".mlp.fc2."),
        ],
        split=[(r"(.*)\.in_proj\.(\w+)$", {r"\1.q.\2": 1, r"\1.kv.\2": 2})],
        arrange=[(r"\.mlp\.fc[12]\.weight$", linear_of_1x1)],
    ),
]
