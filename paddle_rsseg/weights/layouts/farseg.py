"""FarSeg: ours carries the names of the official release."""

from __future__ import annotations

from paddle_rsseg.weights.layout import Layout, plus_one
from paddle_rsseg.weights.layouts.resnet import X2PADDLE

LAYOUTS = [
    Layout("FarSeg, official release", r"^en\.resnet\.", unused=r"^en\.resnet\.fc\.", why="the ImageNet classifier"),
    Layout(
        "FarSeg in PaddleSeg (X2Paddle ResNet-50)",
        r"^backbone\.resnet\.layer10\.",
        prefix=("backbone.resnet.", "en.resnet."),
        backbone_renames=X2PADDLE,
        renames=[
            (r"\._conv\.", "."),
            (r"^neck\.fpn\.inner_blocks\.(\d)", plus_one("fpn.fpn_inner{}")),
            (r"^neck\.fpn\.layer_blocks\.(\d)", plus_one("fpn.fpn_layer{}")),
            (r"^neck\.sr\.", "sr."),
            (r"^cls_head\.0\.", "cls_pred_conv."),
        ],
        unused=r"^backbone\.resnet\.linear0\.",
        why="the ImageNet classifier, unused there too",
    ),
    Layout(
        "FarSeg in PaddleRS",
        r"^encoder\.resnet\.",
        renames=[
            (r"^encoder\.resnet\.", "en.resnet."),
            (r"^fpn\.inner_blocks\.(\d)", plus_one("fpn.fpn_inner{}")),
            (r"^fpn\.layer_blocks\.(\d)", plus_one("fpn.fpn_layer{}")),
            (r"^fsr\.", "sr."),
            (r"^cls_head\.0\.", "cls_pred_conv."),
        ],
        unused=r"^encoder\.resnet\.fc\.",
        why="the ImageNet classifier",
    ),
]
