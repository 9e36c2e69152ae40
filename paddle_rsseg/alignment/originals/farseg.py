"""Z-Zheng/FarSeg."""

from __future__ import annotations

import re

from paddle_rsseg.alignment.originals import Meta, Original, original, shapes_of


@original("farseg/farseg[0-9]*")
def farseg(meta: Meta) -> Original:
    return Original(_model(meta), {"types": [_loss(meta["loss"])], "coef": [1.0]})


def _model(meta: Meta) -> dict:
    shapes = shapes_of(meta)
    blocks = [len({n.split(".")[3] for n in shapes if n.startswith(f"en.resnet.layer{i}.")}) for i in range(1, 5)]
    depth = 2 + sum(blocks) * (3 if "en.resnet.layer1.0.conv3.weight" in shapes else 2)
    stride = re.search(r"output stride (\d+)", meta["constructor"])
    spec = {
        "type": "FarSeg",
        "backbone": f"ResNet{depth}",
        "in_channels": shapes["en.resnet.conv1.weight"][1],
        "num_classes": shapes["cls_pred_conv.weight"][0],
        "fpn_out_channels": shapes["fpn.fpn_layer1.weight"][0],
        "decoder_out_channels": shapes["decoder.blocks.0.0.0.weight"][0],
        "scene_relation": any(name.startswith("sr.") for name in shapes),
        "scale_aware_proj": "sr.scene_encoder.0.0.weight" in shapes,
        "output_stride": int(stride[1]) if stride else 32,
    }
    if spec["scene_relation"]:
        spec["fsr_out_channels"] = shapes["sr.feature_reencoders.0.0.weight"][0]
    return spec


def _loss(words: str) -> dict:
    """The loss that the file describes in words."""

    def number(pattern: str, default: float) -> float:
        found = re.search(pattern, words)
        return float(found[1]) if found else default

    gamma = number(r"gamma ([\d.]+)", 2.0)
    if "cross entropy" in words:
        return {"type": "CrossEntropyLoss"}
    if "anneal" in words:
        kind = next((kind for kind in ("linear", "poly") if kind in words), "cosine")
        horizon = int(number(r"(?:max_step|t_max|\d\.\.\d+ of) (\d+)", 10000))
        power = number(r"power ([\d.]+\d)", 0.9)
        return {
            "type": "AnnealingSoftmaxFocalLoss", "T_max": horizon, "gamma": gamma, "annealing": kind, "power": power,
        }  # fmt: skip
    if "focal" in words:
        return {"type": "SoftmaxFocalLoss", "gamma": gamma, "normalize": "normalize True" in words}
    raise ValueError(f"what loss is {words!r}?")
