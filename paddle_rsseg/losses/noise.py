"""Cross entropy that takes very wrong pixels for wrong labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.focal import AnnealedLoss
from paddle_rsseg.registry import LOSSES


@LOSSES.register()
class NoiseThresholdLoss(AnnealedLoss):
    """Cross entropy ℓ without the pixels where it exceeds T, mean over all pixels (SegHZ).

    T = -ln p_min: a pixel whose labelled class has a probability below p_min is taken for mislabelled. With ``p_max`` T
    falls, in epochs e = 1 … E, from -ln p_min to -ln p_max:

        T(e) = T_lo + ½ (T_hi - T_lo)(1 + cos(π e/E)),  T_hi = -ln p_min,  T_lo = -ln p_max

    SegHZ has 0.01 and 0.1: T goes from 4.605 to 2.303.

    Args:
        p_min: see above.
        p_max: see above; None: T stays.
        T_max: training iterations until T_lo, for ``p_max``.
        epoch_iters: T changes every so many iterations: those of an epoch give the schedule above, 1 a smooth one.
        weight: one for each class; the *weighted* loss is compared with T.
        ignore_index: label of the pixels that do not count; they are 0 in the mean.
    """

    def __init__(
        self,
        p_min: float = 0.01,
        p_max: float | None = None,
        T_max: int = 0,  # as in the annealed losses
        epoch_iters: int = 1,
        weight: Sequence[float] | None = None,
        ignore_index: int = 255,
    ):
        super().__init__(T_max, "cosine", 1.0, ignore_index)
        if not 0 < p_min < (1 if p_max is None else p_max) <= 1:
            raise RssegError("NoiseThresholdLoss.p_min", f"{p_min} and p_max {p_max}", "0 < p_min < p_max <= 1")
        if p_max is not None and T_max == 0:
            raise RssegError("NoiseThresholdLoss.T_max", "none beside p_max", "the iterations until T is -ln p_max")
        if epoch_iters < 1:
            raise RssegError("NoiseThresholdLoss.epoch_iters", str(epoch_iters), "1 or more")
        self.highest = -math.log(p_min)
        self.lowest = self.highest if p_max is None else -math.log(p_max)
        self.epoch_iters, self.weight = epoch_iters, weight

    def threshold(self, dtype: paddle.dtype) -> paddle.Tensor | float:
        """T at the present step."""
        if self.T_max == 0:
            return self.highest
        return self.lowest + (self.highest - self.lowest) * self.share_left(dtype)

    def progress(self) -> paddle.Tensor:
        # the end of the epoch that the step is in
        return (self.step + self.epoch_iters - 1) // self.epoch_iters * self.epoch_iters

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        loss = self.cross_entropy(logits, label)
        if self.weight is not None:
            loss = loss * self.pixel_weights(self.weight, logits, label)
        trusted = (loss.detach() <= self.threshold(loss.dtype)).astype(loss.dtype)
        return (loss * trusted).mean()
