"""Encoders: image → feature maps from fine to coarse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import paddle.nn as nn

from paddle_rsseg.models.backbones import hrnet, resnet
from paddle_rsseg.registry import BACKBONES

__all__ = ["build_backbone", "hrnet", "resnet"]


def build_backbone(backbone: str | Mapping[str, Any] | nn.Layer, **options: Any) -> nn.Layer:
    """An encoder from its name (``ResNet50``, in any case of letters), a ``{"type": …}`` mapping, or itself.

    Args:
        options: arguments of the encoder; None values are left out, and the mapping's own win.

    Raises:
        RssegError: unknown name or argument.
        ValueError: options for an encoder that is already built.
    """
    options = {key: value for key, value in options.items() if value is not None}
    if isinstance(backbone, nn.Layer):
        if options:
            raise ValueError(f"the backbone is already built: set {', '.join(options)} when building it")
        return backbone
    spec = {"type": backbone} if isinstance(backbone, str) else dict(backbone)
    same_name = {name.lower(): name for name in BACKBONES.names()}
    if "type" in spec:
        spec["type"] = same_name.get(str(spec["type"]).lower(), spec["type"])
    return BACKBONES.build({**options, **spec}, where="model.backbone")
