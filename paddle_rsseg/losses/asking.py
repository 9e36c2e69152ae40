"""How a loss asks for more than logits and labels: tensors of the data set, the network's answer to other views.

Before the forward pass the loop asks what is wanted (:class:`Request`), runs the network on it, and hands the answers
over beside the outputs (:class:`Answers`); each loss that asked gets its own part (:class:`Extras`). docs/losses.md
shows how to write one. What a loss can make from the label (edges), or must remember (the step of a schedule), needs
no asking: it makes the one, and keeps the other in a buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import paddle
from paddle import nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.pixel import PixelLoss, in_full
from paddle_rsseg.views import View


class Extras(NamedTuple):
    """What one loss asked for, of the output that it is the loss of.

    Attributes:
        fields: {name: tensor of the batch}, such as ``soft_label``: N×K×H×W.
        views: N×K×H×W logits of each view, in the order of asking, turned back to the orientation of the image.
    """

    fields: Mapping[str, paddle.Tensor]
    views: Sequence[paddle.Tensor]


class Asks:
    """A loss that asks.

    Attributes:
        fields: names of what every sample must hold beside image and label.
        learns_from_views: whether gradients flow through the views. A view through which none flow costs no memory,
            and running statistics do not see it.
    """

    fields: tuple[str, ...] = ()
    learns_from_views = True

    def views(self, rng: np.random.Generator) -> list[View]:
        """How the network shall see the batch again in this iteration; as many views on every rank.

        Args:
            rng: the only source of chance. It is a function of (seed, iteration, rank), so that a resumed run draws
                the same, and every loss gets one of its own: losses that draw alike share their views.
        """
        return []


#: the way to its extras for a loss within other losses
ExtrasOf = Callable[[Asks], Extras]


class AskingLoss(Asks, PixelLoss):
    """Base of pixel losses that ask: :meth:`value` has a third argument."""

    def forward(self, logits: paddle.Tensor, label: paddle.Tensor, extras: Extras) -> paddle.Tensor:  # type: ignore[override]
        with paddle.amp.auto_cast(enable=False):
            extras = extras._replace(views=[in_full(view) for view in extras.views])
            return self.value(in_full(logits), label.astype("int64"), extras)

    def value(self, logits: paddle.Tensor, label: paddle.Tensor, extras: Extras) -> paddle.Tensor:  # type: ignore[override]
        """See :meth:`PixelLoss.value`."""
        raise NotImplementedError


class Request:
    """What the losses ask for in one iteration.

    Attributes:
        views: each view once, the image itself first, and whether gradients flow through it.
    """

    def __init__(self, losses: Iterable[Asks], seed: Sequence[int]):
        self.wanted = {loss: loss.views(np.random.default_rng(seed)) for loss in losses}
        self.views = {View(): True}
        for loss, views in self.wanted.items():
            for view in views:
                self.views[view] = self.views.get(view, False) or loss.learns_from_views


class Answers(NamedTuple):
    """The answers to a request.

    Attributes:
        request: what was asked.
        fields: {name: tensor of the batch}.
        outputs: all outputs of the network for each of ``request.views``, in the orientation of the view.
    """

    request: Request
    fields: Mapping[str, paddle.Tensor]
    outputs: Mapping[View, Sequence[paddle.Tensor]]

    def extras(self, loss: Asks, output: int) -> Extras:
        """What ``loss``, one of the output number ``output``, asked for."""
        views = [view.invert(self.outputs[view][output]) for view in self.request.wanted[loss]]
        return Extras({name: self.fields[name] for name in loss.fields}, views)


def no_extras(loss: Asks) -> Extras:
    """For a loss that is called by itself.

    Raises:
        RssegError: always; called for a loss that asks.
    """
    raise RssegError(type(loss).__name__, "asks for more than logits and labels", "answers", "see docs/losses.md")


class TermsLoss(nn.Layer):
    """Base of losses made of losses; each term is logged."""

    def terms(
        self, logits: paddle.Tensor, label: paddle.Tensor, extras: ExtrasOf = no_extras
    ) -> list[tuple[str, paddle.Tensor]]:
        """(name, weighted value) of every term."""
        raise NotImplementedError

    def forward(self, logits: paddle.Tensor, label: paddle.Tensor, extras: ExtrasOf = no_extras) -> paddle.Tensor:
        return paddle.add_n([value for _, value in self.terms(logits, label, extras)])


def named_terms(
    loss: nn.Layer, logits: paddle.Tensor, label: paddle.Tensor, extras: ExtrasOf = no_extras
) -> list[tuple[str, paddle.Tensor]]:
    """(name, value) of every term of any loss; the name of a plain loss is its type's."""
    if isinstance(loss, TermsLoss):
        return loss.terms(logits, label, extras)
    value = loss(logits, label, extras(loss)) if isinstance(loss, AskingLoss) else loss(logits, label)
    return [(type(loss).__name__, value)]
