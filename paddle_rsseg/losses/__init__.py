"""Losses. Each takes N×K×H×W logits and N×H×W labels and returns a scalar."""

from __future__ import annotations

from paddle_rsseg.losses import (
    binary,
    combined,
    cross_entropy,
    focal,
    label_smoothing,
    lovasz,
    multiview,
    noise,
    objectness,
    ohem,
    point,
    region,
    ssim,
)
from paddle_rsseg.losses.combined import OutputLosses, build_loss

__all__ = [
    "OutputLosses",
    "binary",
    "build_loss",
    "combined",
    "cross_entropy",
    "focal",
    "label_smoothing",
    "lovasz",
    "multiview",
    "noise",
    "objectness",
    "ohem",
    "point",
    "region",
    "ssim",
]
