"""Online hard example mining: the mean over the pixels that the network finds hardest."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.pixel import PixelLoss, choice, ratio
from paddle_rsseg.registry import LOSSES


@LOSSES.register()
class OHEMLoss(PixelLoss):
    """Mean cross entropy of the pixels whose labelled class has a probability below a threshold.

    The threshold is max(thresh, the probability at place ``min_kept`` among the n pixels that count, ascending;
    at place n - 1 if there are fewer).

    ============== =========== ========== ========= ==============================
    source         min_kept    per_image  mean
    ============== =========== ========== ========= ==============================
    SegHZ          20000       no         kept      on the main output; the others have plain cross entropy
    mmsegmentation 100000      yes        all
    ============== =========== ========== ========= ==============================

    Args:
        thresh: see above.
        min_kept: see above.
        per_image: ``min_kept`` is that of one image, and the batch has N times as many.
        mean: ``kept``: divide by the pixels kept; ``all``: by all pixels.
        weight: one for each class, a factor of a pixel's loss; it does not count in the mean.
        ignore_index: label of the pixels that do not count.
    """

    def __init__(
        self,
        thresh: float = 0.7,
        min_kept: int = 20000,
        per_image: bool = False,
        mean: str = "kept",
        weight: Sequence[float] | None = None,
        ignore_index: int = 255,
    ):
        super().__init__(ignore_index)
        if min_kept < 0:
            raise RssegError("OHEMLoss.min_kept", str(min_kept), "a number of pixels")
        self.thresh, self.min_kept, self.per_image, self.weight = thresh, min_kept, per_image, weight
        self.mean = choice(mean, ("kept", "all"), "OHEMLoss.mean")

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        loss = self.cross_entropy(logits, label)
        with paddle.no_grad():
            valid = label != self.ignore_index
            probability = paddle.where(valid, paddle.exp(-loss), paddle.full_like(loss, 2.0))  # the ignored come last
            place = self.min_kept * (len(label) if self.per_image else 1)
            last = (valid.astype("int64").sum() - 1).clip(min=0)
            place = paddle.minimum(paddle.full_like(last, place), last)
            threshold = paddle.sort(probability.flatten())[place].clip(min=self.thresh)
            kept = ((probability < threshold) & valid).astype(loss.dtype)
        if self.weight is not None:
            loss = loss * self.pixel_weights(self.weight, logits, label)
        if self.mean == "all":
            return (loss * kept).mean()
        return ratio((loss * kept).sum(), kept.sum(), empty=0.0)


@LOSSES.register()
class HardestPixelsLoss(PixelLoss):
    """Mean of the cross entropies above ``thresh`` if more than ``keep`` are, else of the ``keep`` largest.

    SegHZ's older form.

    Args:
        thresh: a cross entropy, not a probability.
        keep: a number of pixels of the batch.
        weight: one for each class, a factor of a pixel's loss before the comparison.
        ignore_index: label of the pixels that do not count.
    """

    def __init__(
        self,
        thresh: float = 0.7,
        keep: int = 20000,
        weight: Sequence[float] | None = None,
        ignore_index: int = 255,
    ):
        super().__init__(ignore_index)
        if keep < 1:
            raise RssegError("HardestPixelsLoss.keep", str(keep), "1 or more pixels")
        self.thresh, self.keep, self.weight = thresh, keep, weight

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        loss = self.cross_entropy(logits, label)
        if self.weight is not None:
            loss = loss * self.pixel_weights(self.weight, logits, label)
        loss = loss.flatten()
        with paddle.no_grad():
            valid = (label != self.ignore_index).flatten()
            # the ignored come last
            order = paddle.argsort(paddle.where(valid, loss, paddle.full_like(loss, -1.0)), descending=True)
        loss, valid = loss[order], valid[order]
        hard = loss.detach() > self.thresh
        largest = paddle.arange(len(loss)) < self.keep
        # with no more pixels than ``keep`` there is no further one to look at: all count
        many = hard[self.keep] if len(loss) > self.keep else paddle.zeros_like(hard[0])
        kept = (paddle.where(many, hard, largest) & valid).astype(loss.dtype)
        return ratio((loss * kept).sum(), kept.sum(), empty=0.0)
