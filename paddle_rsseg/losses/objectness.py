"""Losses of FarSeg++'s objectness: N×1×H×W logits of a pixel belonging to any class but the background.

They take the semantic label. With x the logit, p = sigmoid(x), y = 1 for the foreground, and sums over all pixels of
the batch that count.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.pixel import PixelLoss, ratio
from paddle_rsseg.registry import LOSSES


class ObjectnessLoss(PixelLoss):
    """Base: the logit, the foreground and the pixels that count, each N×H×W.

    Args:
        ignore_index: label of the pixels that do not count.
        background: the class that is no object.
    """

    def __init__(self, ignore_index: int = 255, background: int = 0):
        super().__init__(ignore_index)
        self.background = background

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        if logits.shape[1] != 1:
            raise RssegError(
                type(self).__name__,
                f"logits of {logits.shape[1]} classes",
                "one",
                "it is the loss of an auxiliary output",
            )
        foreground = (label != self.background).astype(logits.dtype)
        return self.binary(logits.squeeze(1), foreground, (label != self.ignore_index).astype(logits.dtype))

    def binary(self, logit: paddle.Tensor, foreground: paddle.Tensor, valid: paddle.Tensor) -> paddle.Tensor:
        raise NotImplementedError


@LOSSES.register()
class ObjectnessBCELoss(ObjectnessLoss):
    """Mean of the binary cross entropy over the pixels that count."""

    def binary(self, logit: paddle.Tensor, foreground: paddle.Tensor, valid: paddle.Tensor) -> paddle.Tensor:
        loss = F.binary_cross_entropy_with_logits(logit, foreground, reduction="none")
        return ratio((loss * valid).sum(), valid.sum(), empty=0.0)


@LOSSES.register()
class ObjectnessDiceLoss(ObjectnessLoss):
    """1 - (2 Σpy + 1) / (Σp + Σy + 1)."""

    def binary(self, logit: paddle.Tensor, foreground: paddle.Tensor, valid: paddle.Tensor) -> paddle.Tensor:
        probability, foreground = F.sigmoid(logit) * valid, foreground * valid
        return 1 - (2 * (probability * foreground).sum() + 1) / (probability.sum() + foreground.sum() + 1)
