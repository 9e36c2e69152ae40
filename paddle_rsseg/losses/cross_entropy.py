"""Plain cross entropy."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.pixel import PixelLoss, ratio
from paddle_rsseg.registry import LOSSES


@LOSSES.register()
class CrossEntropyLoss(PixelLoss):
    """Mean cross entropy over the pixels that count.

    Args:
        weight: one for each class; the mean is then the weighted one, Σ w·ℓ / Σ w.
        ignore_index: label of the pixels that do not count.
        avg_non_ignore: False divides by all pixels, the ignored ones too (PaddleSeg); not together with ``weight``.
    """

    def __init__(self, weight: Sequence[float] | None = None, ignore_index: int = 255, avg_non_ignore: bool = True):
        super().__init__(ignore_index)
        if weight is not None and not avg_non_ignore:
            raise RssegError("CrossEntropyLoss.avg_non_ignore", "false beside weight", "one of them")
        self.avg_non_ignore = avg_non_ignore
        self.weight = None if weight is None else [float(w) for w in weight]

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        loss = self.cross_entropy(logits, label)
        if not self.avg_non_ignore:
            return loss.mean()
        if self.weight is None:
            return ratio(loss.sum(), self.valid_pixels(logits, label), empty=0.0)
        if len(self.weight) != logits.shape[1]:
            raise RssegError(
                "CrossEntropyLoss.weight", f"{len(self.weight)} weights for {logits.shape[1]} classes", "one a class"
            )
        valid = label != self.ignore_index
        weight = paddle.to_tensor(self.weight, logits.dtype)
        weight = weight[paddle.where(valid, label, paddle.zeros_like(label))] * valid.astype(logits.dtype)
        return ratio((loss * weight).sum(), weight.sum(), empty=0.0)
