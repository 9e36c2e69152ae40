"""Networks. Each takes N×C×H×W and returns a list of N×K×H×W logits, the main output first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import paddle.nn as nn

from paddle_rsseg.models import deeplabv3plus, farseg, farsegpp, hrnet, hrnet_ocr
from paddle_rsseg.registry import MODELS

__all__ = ["create_model", "deeplabv3plus", "farseg", "farsegpp", "hrnet", "hrnet_ocr", "model_spec"]

#: short names for the command line: ``farseg_r50`` is FarSeg on ResNet50
ALIAS = re.compile(r"(?P<model>[a-z0-9]+?)_r(?P<depth>\d+)", re.IGNORECASE)


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
    same_name = {known.lower(): known for known in MODELS.names()}
    if name.lower() in same_name:
        return {"type": same_name[name.lower()]}
    alias = ALIAS.fullmatch(name)
    if alias and alias["model"].lower() in same_name:
        return {"type": same_name[alias["model"].lower()], "backbone": f"ResNet{alias['depth']}"}
    return {"type": name}
