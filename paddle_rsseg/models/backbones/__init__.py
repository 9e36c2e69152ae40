"""Encoders: image → feature maps from fine to coarse."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import paddle.nn as nn

from paddle_rsseg.models.backbones import (
    drn,
    efficientnet,
    hrnet,
    mit,
    mobilenet_v2,
    resnest,
    resnet,
    senet,
    shufflenet_v2,
    swin,
    vgg,
    xception,
)
from paddle_rsseg.registry import BACKBONES

__all__ = [
    "accepts",
    "build_backbone",
    "drn",
    "efficientnet",
    "hrnet",
    "mit",
    "mobilenet_v2",
    "resnest",
    "resnet",
    "senet",
    "shufflenet_v2",
    "swin",
    "vgg",
    "xception",
]


def build_backbone(backbone: str | Mapping[str, Any] | nn.Layer, **options: Any) -> nn.Layer:
    """An encoder from its name (``ResNet50``, in any case of letters), a ``{"type": …}`` mapping, or itself.

    Args:
        options: arguments of the encoder; None values are left out, and the mapping's own win. An encoder that is
            already built knows its ``in_channels``, and a network takes them from it.

    Raises:
        RssegError: unknown name or argument.
        ValueError: options for an encoder that is already built.
    """
    options = {key: value for key, value in options.items() if value is not None}
    if isinstance(backbone, nn.Layer):
        options.pop("in_channels", None)
        if options:
            raise ValueError(f"the backbone is already built: set {', '.join(options)} when building it")
        return backbone
    return BACKBONES.build({**options, **_spec(backbone)}, where="model.backbone")


def accepts(backbone: str | Mapping[str, Any] | nn.Layer, argument: str) -> bool:
    """Whether this encoder is still to be built and takes ``argument``: Swin has no ``output_stride``, ResNet has.

    Raises:
        RssegError: unknown name.
    """
    if isinstance(backbone, nn.Layer):
        return False
    build = BACKBONES.get(str(_spec(backbone).get("type")), where="model.backbone")
    return argument in inspect.signature(build).parameters


def _spec(backbone: str | Mapping[str, Any]) -> dict[str, Any]:
    """``{"type": registered name, **arguments}``."""
    spec = {"type": backbone} if isinstance(backbone, str) else dict(backbone)
    same_name = {name.lower(): name for name in BACKBONES.names()}
    if "type" in spec:
        spec["type"] = same_name.get(str(spec["type"]).lower(), spec["type"])
    return spec
