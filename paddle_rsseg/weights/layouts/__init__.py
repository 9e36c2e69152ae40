"""The known layouts of weights files, one module a family of networks.

The first that recognises a file wins, so whole models come before the encoders whose names they contain.
"""

from __future__ import annotations

from paddle_rsseg.weights.layouts import (
    context,
    deeplab,
    farseg,
    farsegpp,
    hrnet,
    mobile,
    resnet,
    transformers,
    upernet,
)

__all__ = ["LAYOUTS"]

LAYOUTS = [
    *farsegpp.MODELS,
    *farseg.LAYOUTS,
    *deeplab.LAYOUTS,
    *hrnet.MODELS,
    *upernet.LAYOUTS,
    *context.LAYOUTS,
    # encoders alone
    *transformers.ENCODERS,
    *hrnet.ENCODERS,
    *mobile.LAYOUTS,
    *resnet.LAYOUTS,
]
