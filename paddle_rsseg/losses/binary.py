"""Losses that take every class for itself: a sigmoid a channel, and the question "this class or not".

With x the logit of a pixel and a class, t its target (1 or 0) and b = -t log σ(x) - (1 - t) log(1 - σ(x)). A network of
one channel is one of two classes: its channel is class 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.pixel import PixelLoss, choice, ratio
from paddle_rsseg.registry import LOSSES


class PerClassLoss(PixelLoss):
    """Base: mean over the classes of w_c · (mean over the pixels).

    Args:
        weight: w, one for each class.
        ignored_as_background: the ignored pixels count, as pixels of no class at all (SegHZ).
        ignore_index: label of the pixels that do not count.
    """

    def __init__(self, weight: Sequence[float] | None, ignored_as_background: bool, ignore_index: int):
        super().__init__(ignore_index)
        self.weight, self.ignored_as_background = weight, ignored_as_background

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        target = self.one_hot(logits, label)
        valid = (label != self.ignore_index).astype(logits.dtype).unsqueeze(1)
        some = (valid.sum() > 0).astype(logits.dtype)
        counts = paddle.ones_like(valid) * some if self.ignored_as_background else valid
        of_class = self.of_class(logits, target, counts) * self.class_weights(self.weight, logits)
        return of_class.mean()

    def of_class(self, logits: paddle.Tensor, target: paddle.Tensor, counts: paddle.Tensor) -> paddle.Tensor:
        """K values. ``target`` is N×K×H×W, ``counts`` N×1×H×W: 1 where a pixel counts."""
        raise NotImplementedError


@LOSSES.register()
class BCELoss(PerClassLoss):
    """Binary cross entropy: mean over the classes of w_c · mean(b).

    Args:
        weight: w, one for each class.
        pos_weight: factor of the positive part of b, one for each class; ``"balanced"``: negatives / positives of
            the batch, (n - n_c) / (n_c + 1e-5), as in SegHZ.
        ignored_as_background: the ignored pixels count, as pixels of no class at all (SegHZ).
        ignore_index: label of the pixels that do not count.
    """

    def __init__(
        self,
        weight: Sequence[float] | None = None,
        pos_weight: Sequence[float] | str | None = None,
        ignored_as_background: bool = False,
        ignore_index: int = 255,
    ):
        super().__init__(weight, ignored_as_background, ignore_index)
        if isinstance(pos_weight, str):
            choice(pos_weight, ["balanced"], "BCELoss.pos_weight")
        self.pos_weight = pos_weight

    def of_class(self, logits: paddle.Tensor, target: paddle.Tensor, counts: paddle.Tensor) -> paddle.Tensor:
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        if isinstance(self.pos_weight, str):
            positives = target.sum([0, 2, 3])
            factor = (counts.sum() - positives) / (positives + 1e-5)
        else:
            factor = self.class_weights(self.pos_weight, logits)
        loss = loss * (1 + (factor.reshape([1, -1, 1, 1]) - 1) * target)
        return ratio((loss * counts).sum([0, 2, 3]), counts.sum(), empty=0.0)


SIGNS = ("alike", "weighted", "separate")


@LOSSES.register()
class SigmoidFocalLoss(PerClassLoss):
    """f = (1 - e^-b)^γ · b, mean over the classes of w_c times

    ============ ============================================================== ==================
    ``signs``    formula                                                        source
    ============ ============================================================== ==================
    alike        α · mean(f)                                                    NAIC_AI-RS, SegHZ
    weighted     mean(f · α) for positives, f · (1 - α) for negatives           Lin et al. 2017
    separate     α · mean over the positives + (1 - α) · mean over negatives    SegHZ, binary
    ============ ============================================================== ==================

    NAIC_AI-RS has α 0.75, SegHZ 1 (binary: 0.25).

    Args:
        alpha: α.
        gamma: γ.
        signs: see above.
        weight: w, one for each class.
        ignored_as_background: the ignored pixels count, as pixels of no class at all (SegHZ).
        ignore_index: label of the pixels that do not count.
    """

    def __init__(
        self,
        alpha: float = 0.75,
        gamma: float = 2.0,
        signs: str = "alike",
        weight: Sequence[float] | None = None,
        ignored_as_background: bool = False,
        ignore_index: int = 255,
    ):
        super().__init__(weight, ignored_as_background, ignore_index)
        if gamma < 0:
            raise RssegError("SigmoidFocalLoss.gamma", str(gamma), "0 or more")
        self.alpha, self.gamma = alpha, gamma
        self.signs = choice(signs, SIGNS, "SigmoidFocalLoss.signs")

    def of_class(self, logits: paddle.Tensor, target: paddle.Tensor, counts: paddle.Tensor) -> paddle.Tensor:
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        # away from 0, where the slope of a power below 1 is infinite
        doubt = (-paddle.expm1(-loss)).clip(min=1e-30)
        loss = doubt**self.gamma * loss * counts
        positive, negative = ((loss * part).sum([0, 2, 3]) for part in (target, 1 - target))
        positives, pixels = target.sum([0, 2, 3]), counts.sum()
        if self.signs == "separate":
            share = ratio(positive, positives, empty=0.0), ratio(negative, pixels - positives, empty=0.0)
            return self.alpha * share[0] + (1 - self.alpha) * share[1]
        of_negatives = self.alpha if self.signs == "alike" else 1 - self.alpha
        return ratio(self.alpha * positive + of_negatives * negative, pixels, empty=0.0)
