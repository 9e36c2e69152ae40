"""Z-Zheng/FarSeg."""

from __future__ import annotations

import re

from paddle_rsseg.alignment.originals import Meta, Original, original, shapes_of


@original("farseg/farseg[0-9]*")
def farseg(meta: Meta) -> Original:
    return Original(_model(meta), {"types": [_loss(meta["loss"])], "coef": [1.0]})


@original("farseg/farsegpp*")
def farsegpp(meta: Meta) -> Original:
    shapes = shapes_of(meta)
    horizon, gamma = re.search(r"(?:t_max|max_step) (\d+)", meta["loss"]), re.search(r"gamma ([\d.]*\d)", meta["loss"])
    semantic = {
        "type": "ScaleAnnealingFocalLoss",
        "T_max": int(horizon[1]) if horizon else 0,
        "gamma": float(gamma[1]) if gamma else 2.0,
    }
    objectness = {
        "type": "MixedLoss",
        "losses": [{"type": "ObjectnessBCELoss"}, {"type": "ObjectnessDiceLoss"}],
        "coef": [1.0, 1.0],
    }
    # its binary cross entropy casts to float32
    return Original(_model_plusplus(shapes), {"types": [semantic, objectness], "coef": [1.0, 1.0]}, single_loss=True)


#: of the encoders that FarSeg++ knows
FIRST_WEIGHTS = ("en.features.patch_embed1.proj.weight", "en.resnet.stem.0.weight", "en.resnet.conv1.weight")


def _model_plusplus(shapes: dict[str, list[int]]) -> dict:
    first = next(name for name in FIRST_WEIGHTS if name in shapes)
    if "features" in first:
        blocks = len({name.split(".")[3] for name in shapes if name.startswith("en.features.block3.")})
        size = {2: 1, 6: 2, 18: 3, 27: 4, 40: 5}[blocks]
        backbone = "MiTB0" if shapes[first][0] == 32 else f"MiTB{size}"
    else:
        backbone = f"ResNet{_depth(shapes)}" + ("_vc" if "stem" in first else "")
    wiring = "parallel"
    if "decoder.conv.0.weight" in shapes:
        more = any(name.startswith("decoder.obj_decoder.blocks.4.") for name in shapes)
        wiring = "seg_obj_cascade" if more else "obj_seg_cascade"
    return {
        "type": "FarSegPP",
        "backbone": backbone,
        "in_channels": shapes[first][1],
        "num_classes": shapes["decoder.seg_decoder.classifier.0.weight"][0],
        "wiring": wiring,
        "pool_channels": shapes["ppm.conv.0.weight"][0],
        "fpn_out_channels": shapes["fpn.fpn_layer1.0.weight"][0],
        "fsr_out_channels": shapes["fsr.project.0.0.weight"][0],
        "scale_aware_proj": "fsr.scene_encoder.0.0.weight" in shapes,
        "decoder_out_channels": shapes["decoder.seg_decoder.blocks.0.0.0.weight"][0],
    }


def _model(meta: Meta) -> dict:
    shapes = shapes_of(meta)
    stride = re.search(r"output stride (\d+)", meta["constructor"])
    spec = {
        "type": "FarSeg",
        "backbone": f"ResNet{_depth(shapes)}",
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


def _depth(shapes: dict[str, list[int]]) -> int:
    blocks = [len({n.split(".")[3] for n in shapes if n.startswith(f"en.resnet.layer{i}.")}) for i in range(1, 5)]
    return 2 + sum(blocks) * (3 if "en.resnet.layer1.0.conv3.weight" in shapes else 2)


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
