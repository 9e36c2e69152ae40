"""FarSeg++, whose release has encoders of its own names."""

from __future__ import annotations

from paddle_rsseg.weights.layout import Layout

MODELS = [
    Layout(
        "FarSeg++, official release",
        (r"^en\.", r"^fsr\.project\.0\."),
        renames=[
            (r"^en\.features\.", "backbone."),
            (r"^en\.resnet\.stem\.7\.", "backbone.bn1."),
            (r"^en\.resnet\.stem\.", "backbone.conv1."),
            (r"^en\.resnet\.", "backbone."),
            (r"^ppm\.pools\.(\d)\.1\.", r"pooling.pools.\1."),
            (r"^ppm\.conv\.", "pooling.fusion."),
            (r"^fsr\.", "relation."),
            (r"^(fpn\.fpn_(inner|layer)\d)\.0\.", r"\1."),
            (r"^decoder\.seg_decoder\.blocks\.", "head.decoder.blocks."),
            (r"^decoder\.obj_decoder\.blocks\.", "aux_head.decoder.blocks."),
            (r"^decoder\.seg_decoder\.classifier\.0\.", "head.classifier."),
            (r"^decoder\.obj_decoder\.classifier\.0\.", "aux_head.classifier."),
            (r"^decoder\.conv\.", "cascade."),
        ],
        unused=r"^en\.(features\.head|resnet\.fc)\.",
        why="the ImageNet classifier",
    ),
]
