"""Losses of several views of one image: consistency of the answers, and mining of the pixels where they disagree.

L are the logits of the image, L' those of a view of it, turned back. SegHZ compares logits at the network's own
resolution; here all outputs have the size of the image, so that a difference is that of the logits resized.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.asking import AskingLoss, Asks, Extras, ExtrasOf, TermsLoss, named_terms, no_extras
from paddle_rsseg.losses.combined import MixedLoss, build_term
from paddle_rsseg.losses.cross_entropy import MEANS, weighted_mean
from paddle_rsseg.losses.pixel import choice, ratio
from paddle_rsseg.registry import LOSSES
from paddle_rsseg.views import VIEWS, View


class AsksOneRotation(Asks):
    """Asks for one rotation by k·90°, k drawn anew for each batch; the same for all that draw from equal ``turns``."""

    def __init__(self, turns: Sequence[int], **arguments: Any):
        super().__init__(**arguments)
        if not turns or not all(1 <= k <= 3 for k in turns):
            raise RssegError(f"{type(self).__name__}.turns", f"{list(turns)}", "quarter turns, such as [1, 2, 3]")
        self.turns = tuple(turns)

    def views(self, rng: np.random.Generator) -> list[View]:
        return [View.rotation(self.turns[rng.integers(len(self.turns))])]


@LOSSES.register()
class ViewLoss(AsksOneRotation, TermsLoss):
    """Another loss, of L' in place of L; gradients flow through L' alone. Its terms are logged as ``view.…``.

    Args:
        loss: a ``{"type": …}`` mapping or a loss.
        turns: k is one of them, each as likely as the others.
        ignore_index: for the loss, if it states none.
    """

    def __init__(self, loss: Any, turns: Sequence[int] = (1, 2, 3), ignore_index: int = 255):
        super().__init__(turns)
        self.loss = build_term(loss, ignore_index, "ViewLoss.loss")

    def terms(
        self, logits: paddle.Tensor, label: paddle.Tensor, extras: ExtrasOf = no_extras
    ) -> list[tuple[str, paddle.Tensor]]:
        (view,) = extras(self).views
        return [(f"view.{name}", value) for name, value in named_terms(self.loss, view, label, extras)]


@LOSSES.register()
class ViewDifferenceLoss(AsksOneRotation, AskingLoss):
    """Mean of (L - L')² over classes and pixels; gradients flow through both.

    Args:
        turns: as for :class:`ViewLoss`.
        ignore_index: label of the pixels that do not count.
        unlabelled: they do count, for the two answers can be compared without a label (SegHZ).
    """

    def __init__(self, turns: Sequence[int] = (1, 2, 3), ignore_index: int = 255, unlabelled: bool = False):
        super().__init__(turns, ignore_index=ignore_index)
        self.unlabelled = unlabelled

    def value(self, logits: paddle.Tensor, label: paddle.Tensor, extras: Extras) -> paddle.Tensor:  # type: ignore[override]
        (view,) = extras.views
        difference = ((logits - view) ** 2).mean(1)
        if self.unlabelled:
            return difference.mean()
        valid = (label != self.ignore_index).astype(logits.dtype)
        return ratio((difference * valid).sum(), valid.sum(), empty=0.0)


@LOSSES.register()
class MultiViewConsistencyLoss(MixedLoss):
    """ℓ(L) + ℓ(L') + mean (L - L')², where L' comes from the image turned by k·90° (SegHZ).

    One rotation a batch, for all outputs of the network. SegHZ has k in {1, 2, 3}, ℓ the cross entropy and all three
    weights 1.

    Args:
        loss: ℓ, a ``{"type": …}`` mapping; None: the cross entropy. It is built twice, so that a schedule's steps
            count iterations.
        turns: k is one of them, each as likely as the others.
        coef: weights of the three terms.
        unlabelled: compare L and L' also where the label is ``ignore_index`` (SegHZ).
        ignore_index: label of the pixels that do not count.
    """

    def __init__(
        self,
        loss: dict[str, Any] | None = None,
        turns: Sequence[int] = (1, 2, 3),
        coef: Sequence[float] = (1.0, 1.0, 1.0),
        unlabelled: bool = False,
        ignore_index: int = 255,
    ):
        loss = loss or {"type": "CrossEntropyLoss"}
        terms = [loss, ViewLoss(loss, turns, ignore_index), ViewDifferenceLoss(turns, ignore_index, unlabelled)]
        super().__init__(terms, coef, ignore_index)


@LOSSES.register()
class DisagreementMiningLoss(AskingLoss):
    """Cross entropy ℓ with the weight w = 1 + λ where two of several answers name different classes, else w = 1.

    The answers are the network's to the image and to ``views`` of its seven flips, transpositions and rotations, drawn
    anew for each batch. No gradient flows through the views. (SegHZ's report describes the mining; it gives neither
    the weight nor the number of views.)

    Args:
        strength: λ.
        views: how many beside the image itself; each costs a forward pass.
        weight: one for each class, a factor of w.
        mean: ``weighted`` Σwℓ/Σw, ``valid`` Σwℓ/n, ``all`` Σwℓ/NHW, as for :class:`CrossEntropyLoss`.
        ignore_index: label of the pixels that do not count.
    """

    learns_from_views = False

    def __init__(
        self,
        strength: float = 1.0,
        views: int = 3,
        weight: Sequence[float] | None = None,
        mean: str = "valid",
        ignore_index: int = 255,
    ):
        super().__init__(ignore_index)
        if not 0 <= strength < float("inf"):
            raise RssegError("DisagreementMiningLoss.strength", str(strength), "0 or more")
        if not 1 <= views < len(VIEWS):
            raise RssegError("DisagreementMiningLoss.views", str(views), f"1 to {len(VIEWS) - 1}")
        self.strength, self.number, self.weight = strength, views, weight
        self.mean = choice(mean, MEANS, "DisagreementMiningLoss.mean")

    def views(self, rng: np.random.Generator) -> list[View]:
        return [VIEWS[1 + i] for i in rng.permutation(len(VIEWS) - 1)[: self.number]]

    def value(self, logits: paddle.Tensor, label: paddle.Tensor, extras: Extras) -> paddle.Tensor:  # type: ignore[override]
        with paddle.no_grad():
            first = logits.argmax(1)
            disagree = paddle.stack([view.argmax(1) != first for view in extras.views]).any(0)
            weight = 1 + self.strength * disagree.astype(logits.dtype)
            weight = weight * self.pixel_weights(self.weight, logits, label)
        return weighted_mean(self.cross_entropy(logits, label), weight, self.valid_pixels(logits, label), self.mean)
