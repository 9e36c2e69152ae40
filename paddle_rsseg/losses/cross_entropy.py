"""Cross entropy in the mean conventions of the source systems."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.pixel import PixelLoss, choice, ratio
from paddle_rsseg.registry import LOSSES

MEANS = ("weighted", "valid", "all")


def weighted_mean(loss: paddle.Tensor, weight: paddle.Tensor, count: paddle.Tensor, mean: str) -> paddle.Tensor:
    """The mean of N×H×W losses by the convention ``mean``, below; 0 if no pixel counts.

    Args:
        weight: N×H×W, 0 at ignored pixels.
        count: the pixels that count.
    """
    loss = loss * weight
    if mean == "all":
        return loss.mean()
    return ratio(loss.sum(), weight.sum() if mean == "weighted" else count, empty=0.0)


@LOSSES.register()
class CrossEntropyLoss(PixelLoss):
    """Mean cross entropy ℓ; w is the weight of a pixel's class, n the number of pixels that count.

    ========== ============= ===================================================================
    ``mean``   formula       source
    ========== ============= ===================================================================
    weighted   Σ w·ℓ / Σ w   PyTorch; without weights Σℓ / n
    valid      Σ w·ℓ / n
    all        Σ w·ℓ / N·H·W SegHZ and mmsegmentation up to 0.20: the ignored pixels count as 0
    ========== ============= ===================================================================

    Args:
        weight: one for each class.
        ignore_index: label of the pixels that do not count.
        avg_non_ignore: False is PaddleSeg's spelling of ``mean="all"``; not together with ``weight``.
        mean: see above.
    """

    def __init__(
        self,
        weight: Sequence[float] | None = None,
        ignore_index: int = 255,
        avg_non_ignore: bool = True,
        mean: str = "weighted",
    ):
        super().__init__(ignore_index)
        if weight is not None and not avg_non_ignore:
            raise RssegError("CrossEntropyLoss.avg_non_ignore", "false beside weight", "one of them", "or 'mean: all'")
        self.weight = weight
        self.mean = choice(mean, MEANS, "CrossEntropyLoss.mean") if avg_non_ignore else "all"

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        loss, count = self.cross_entropy(logits, label), self.valid_pixels(logits, label)
        if self.weight is None:
            return loss.mean() if self.mean == "all" else ratio(loss.sum(), count, empty=0.0)
        return weighted_mean(loss, self.pixel_weights(self.weight, logits, label), count, self.mean)
