"""Cross entropy in the mean conventions of the source systems."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.pixel import PixelLoss, choice, ratio
from paddle_rsseg.registry import LOSSES

MEANS = ("weighted", "valid", "all")


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
        loss = self.cross_entropy(logits, label)
        count = self.valid_pixels(logits, label)
        if self.weight is not None:
            weight = self.pixel_weights(self.weight, logits, label)
            loss = loss * weight
            if self.mean == "weighted":
                count = weight.sum()
        return loss.mean() if self.mean == "all" else ratio(loss.sum(), count, empty=0.0)
