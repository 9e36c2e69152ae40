"""The known layouts of weights files, one module a family of networks.

The first that recognises a file wins, so whole models come before the encoders whose names they contain.
"""

from __future__ import annotations

from paddle_rsseg.weights.layouts import (
    context,
    deeplab,
    encoder_unet,
    farseg,
    farsegpp,
    hrnet,
    mobile,
    refine,
    rend,
    resnet,
    transformers,
    unets,
    upernet,
)

__all__ = ["LAYOUTS"]

LAYOUTS = [
    *farsegpp.MODELS,
    *farseg.LAYOUTS,
    *deeplab.LAYOUTS,
    *hrnet.MODELS,
    *upernet.LAYOUTS,
    *encoder_unet.LAYOUTS,
    *rend.LAYOUTS,  # RendDANet's names contain DANet's
    *context.LAYOUTS,
    *refine.LAYOUTS,
    *unets.LAYOUTS,
    # encoders alone
    *transformers.ENCODERS,
    *hrnet.ENCODERS,
    *mobile.LAYOUTS,
    *resnet.LAYOUTS,
]
