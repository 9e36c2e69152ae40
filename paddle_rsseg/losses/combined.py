"""The losses of a training run, from its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import paddle
import paddle.nn as nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.asking import Answers, Asks, ExtrasOf, Request, TermsLoss, named_terms, no_extras
from paddle_rsseg.registry import LOSSES


@LOSSES.register()
class MixedLoss(TermsLoss):
    """A weighted sum of losses of one output, as in PaddleSeg.

    Args:
        losses: the terms, each a ``{"type": …}`` mapping or a loss.
        coef: one weight a term.
        ignore_index: for the terms that state none.
    """

    def __init__(self, losses: Sequence[Any], coef: Sequence[float], ignore_index: int = 255):
        super().__init__()
        if len(losses) != len(coef):
            raise RssegError("MixedLoss.coef", f"{len(coef)} weights for {len(losses)} losses", "one a loss")
        self.losses = nn.LayerList([build_term(loss, ignore_index) for loss in losses])
        self.coef = [float(c) for c in coef]

    def terms(
        self, logits: paddle.Tensor, label: paddle.Tensor, extras: ExtrasOf = no_extras
    ) -> list[tuple[str, paddle.Tensor]]:
        return [
            (name, coef * value)
            for loss, coef in zip(self.losses, self.coef, strict=True)
            for name, value in named_terms(loss, logits, label, extras)
        ]


class OutputLosses(nn.Layer):
    """One loss for each output of the network: ``(outputs, label) -> {name: weighted scalar}``, to be summed.

    Losses that ask for more than labels are asked by :meth:`ask`, and answered by the third argument.

    The names are the losses' types, for the main output as they are (``CrossEntropyLoss``), for the auxiliary ones
    with their number (``aux1.CrossEntropyLoss``). In train mode every loss must meet an output; in eval mode, where
    networks give no auxiliary outputs, the first losses count.
    """

    def __init__(self, losses: Sequence[nn.Layer], coef: Sequence[float]):
        super().__init__()
        self.losses = nn.LayerList(losses)
        self.coef = [float(c) for c in coef]

    @property
    def fields(self) -> dict[str, str]:
        """{what every sample must hold beside image and label: the type of a loss that asks for it}"""
        return {name: type(loss).__name__ for loss in self._asking() for name in loss.fields}

    def ask(self, seed: Sequence[int]) -> Request:
        """What the losses want in the iteration that begins; ``seed``: of whatever they draw."""
        return Request(self._asking(), seed)

    def _asking(self) -> list[Asks]:
        return [layer for layer in self.sublayers() if isinstance(layer, Asks)]

    def forward(
        self, outputs: Sequence[paddle.Tensor], label: paddle.Tensor, answers: Answers | None = None
    ) -> dict[str, paddle.Tensor]:
        if len(outputs) > len(self.losses) or (self.training and len(outputs) != len(self.losses)):
            raise RssegError(
                "loss.types",
                f"{len(self.losses)} losses for {len(outputs)} outputs of the network",
                "one for each output",
                "one type with as many coef as outputs is enough",
            )
        values: dict[str, paddle.Tensor] = {}
        for i, (logits, loss, coef) in enumerate(zip(outputs, self.losses, self.coef, strict=False)):
            extras = no_extras if answers is None else partial(answers.extras, output=i)
            for name, value in named_terms(loss, logits, label, extras):
                name = f"aux{i}.{name}" if i else name
                same = sum(key.partition("#")[0] == name for key in values)
                values[f"{name}#{same + 1}" if same else name] = coef * value
        return values


def build_loss(loss: Any, ignore_index: int = 255) -> OutputLosses:
    """The losses of ``settings.loss``: a mapping or an object with ``types`` and ``coef``.

    Args:
        loss: ``types`` is a list of components (mappings or objects with ``spec()``), one for each output of the
            network, main first; a single one is used for every output. ``coef`` has one weight for each output.
        ignore_index: for the losses that state none; the data set's.

    Raises:
        RssegError: unknown loss or argument, or numbers of types and weights that do not fit.
    """
    types, coef = (loss["types"], loss["coef"]) if isinstance(loss, Mapping) else (loss.types, loss.coef)
    types, coef = list(types), list(coef)
    if len(types) == 1:
        # each output has its own object: a step counter must advance once an iteration, not once an output
        types = types * len(coef)
    if len(types) != len(coef) or not types:
        raise RssegError("loss.coef", f"{len(coef)} weights for {len(types)} types", "one weight a type")
    return OutputLosses([build_term(term, ignore_index, f"loss.types[{i}]") for i, term in enumerate(types)], coef)


def build_term(term: Any, ignore_index: int, where: str = "loss") -> nn.Layer:
    """One loss from ``{"type": …}``, an object with ``spec()``, or the loss itself."""
    if isinstance(term, nn.Layer):
        return term
    spec = term.spec() if hasattr(term, "spec") else dict(term)
    return LOSSES.build({"ignore_index": ignore_index, **spec}, where=where)
