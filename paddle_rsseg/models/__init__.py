"""Networks. Each takes N×C×H×W and returns a list of N×K×H×W logits, the main output first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import paddle.nn as nn

from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.models import (
    basnet,
    bisenet,
    cenet,
    danet,
    deeplabv3,
    deeplabv3plus,
    denseaspp,
    encoder_unet,
    farseg,
    farsegpp,
    hrnet,
    hrnet_ocr,
    hrnet_pam,
    hrnet_psp,
    point_rend,
    pspnet,
    rdfnet,
    refinenet,
    rend,
    scse_unet,
    segnet,
    unet,
    unet_resnet_ae,
    unetplusplus,
    upernet,
)
from paddle_rsseg.registry import BACKBONES, MODELS

__all__ = [
    "basnet",
    "bisenet",
    "cenet",
    "create_model",
    "danet",
    "deeplabv3",
    "deeplabv3plus",
    "denseaspp",
    "encoder_unet",
    "farseg",
    "farsegpp",
    "hrnet",
    "hrnet_ocr",
    "hrnet_pam",
    "hrnet_psp",
    "model_spec",
    "point_rend",
    "pspnet",
    "rdfnet",
    "refinenet",
    "rend",
    "scse_unet",
    "segnet",
    "unet",
    "unet_resnet_ae",
    "unetplusplus",
    "upernet",
]

#: short names of networks, and how those of encoders begin: ``farseg_r50`` is FarSeg on ResNet50, ``hrnet_ocr_w48``
#: HRNetOCR on HRNetV2_W48. Capitals, "_" and "-" do not count, "+" is a "p".
SHORT_MODELS = {"deeplabv3p": "DeepLabV3Plus"}
SHORT_ENCODERS = ((r"r(?=\d)", "resnet"), (r"w(?=\d)", "hrnetv2w"))


def model_spec(model: Any, **overrides: Any) -> dict[str, Any]:
    """``{"type": …, **arguments}`` of whatever names a model: see :func:`create_model`."""
    if hasattr(model, "model"):  # settings
        model = model.model
    if hasattr(model, "spec"):  # a component of the settings
        model = model.spec()
    spec = dict(model) if isinstance(model, Mapping) else _named(str(model))
    spec.update(overrides)
    # what weights to begin with is the caller's business (paddle_rsseg.weights)
    spec.pop("pretrained", None)
    if isinstance(spec.get("backbone"), Mapping):
        spec["backbone"] = {key: value for key, value in spec["backbone"].items() if key != "pretrained"}
    return spec


def create_model(model: Any, **overrides: Any) -> nn.Layer:
    """A network with its initial weights.

    Args:
        model: a name (``FarSeg``), a short name (``farseg_r50``), a mapping ``{"type": …, **arguments}``, a component
            of the settings, or the settings themselves. ``pretrained`` is ignored: no weights are loaded here.
        overrides: arguments that replace those of ``model``.

    Raises:
        RssegError: unknown model, backbone or argument.
    """
    return MODELS.build(model_spec(model, **overrides), where="model")


def _named(name: str) -> dict[str, Any]:
    models = {**SHORT_MODELS, **{_plain(known): known for known in MODELS.names()}}
    encoders = {_plain(known): known for known in BACKBONES.names()}
    if _plain(name) in models:
        return {"type": models[_plain(name)]}
    words, unknown = name.split("_"), ""
    for cut in range(1, len(words)):
        model, encoder = _plain("".join(words[:cut])), _plain("".join(words[cut:]))
        for short, long in SHORT_ENCODERS:
            encoder = re.sub(f"^{short}", long, encoder)
        if model in models and encoder in encoders:
            return {"type": models[model], "backbone": encoders[encoder]}
        if model in models:
            unknown = encoder
    if unknown:
        raise RssegError("model", f"unknown encoder in {name!r}", fix=did_you_mean(unknown, encoders.values()))
    return {"type": name}


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace("+", "p")
