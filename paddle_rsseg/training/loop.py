"""The training loop: fetch, forward, loss, backward, step; everything else is a hook."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import paddle
from paddle import nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses import OutputLosses
from paddle_rsseg.losses.asking import Answers, Request
from paddle_rsseg.training import distributed
from paddle_rsseg.training.build import seed_all
from paddle_rsseg.training.precision import Precision
from paddle_rsseg.training.schedule import Schedule
from paddle_rsseg.views import View

#: image: N×C×H×W float32 Tensor, label: N×H×W int64 Tensor, names; fields: {name: Tensor} if the data set has any
Batch = Mapping[str, Any]
UPRIGHT = View()


class Hook:
    """Something that happens around the steps. With memory, it overrides the last two methods."""

    name = ""  # key of its state in a checkpoint; "": it has none

    def before_train(self, trainer: Trainer) -> None:
        """Called once, after a resumed run has its state back."""

    def before_step(self, trainer: Trainer) -> None:
        """Must be cheap; slow work belongs into :meth:`after_step`."""

    def after_step(self, trainer: Trainer) -> None:
        """``trainer.iteration`` is done: weights updated, ``trainer.losses`` known."""

    def after_train(self, trainer: Trainer) -> None:
        """Called however the loop ends, an exception included."""

    def state_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


@dataclass
class Trainer:
    """The parts that move, and the order in which they do.

    Attributes:
        loss: ``(outputs, label, answers) -> {name: weighted scalar}``, where its ``ask`` says what it wants answered.
        schedule: learning rate at an iteration counted from 1.
        batches: endless iterator; each holds the images of one update of this rank.
        iters: number of updates of the whole training.
        accumulate: parts into which a batch is cut, to need less memory; the result is that of the whole batch.
        iteration: the update in progress, or the last one done; a resumed run starts with its checkpoint's.
        losses: of the last update, averaged over the ranks: ``loss``, the sum, and each term.
        reader_cost, batch_cost: seconds that the last update waited for data, and took altogether.
        stop_reason: why the loop ends before ``iters``; the same on all ranks.
    """

    model: nn.Layer
    loss: OutputLosses
    optimizer: paddle.optimizer.Optimizer
    schedule: Schedule
    precision: Precision
    batches: Any
    iters: int
    seed: int = 0
    accumulate: int = 1
    hooks: Sequence[Hook] = ()
    iteration: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    lr: float = 0.0
    reader_cost: float = 0.0
    batch_cost: float = 0.0
    stop_reason: str = ""

    def train(self) -> None:
        """Run from ``iteration + 1`` to ``iters``, or until a hook sets ``stop_reason``."""
        try:
            self._call("before_train")
            while self.iteration < self.iters and not self.stop_reason:
                self.iteration += 1
                self._call("before_step")
                self.run_step()
                self._call("after_step")
        finally:
            self._call("after_train")

    def run_step(self) -> None:
        """One update of the weights."""
        start = time.perf_counter()
        batch = next(self.batches)
        self.reader_cost = time.perf_counter() - start
        self.lr = self.schedule(self.iteration)
        self.optimizer.set_lr(self.lr)
        self._backward(batch)
        self._check_gradients(batch["names"])
        distributed.average_gradients(self.model)
        self.precision.step(self.optimizer)
        # None, not zeros: a parameter that the next step does not use must not be decayed either
        self.optimizer.clear_grad(set_to_zero=False)
        self.batch_cost = time.perf_counter() - start

    def state_dict(self) -> dict[str, Any]:
        """What ``state.json`` says of the loop and its hooks; tensors are saved apart."""
        return {
            "iter": self.iteration,
            "scaler": self.precision.state_dict(),
            "hooks": {hook.name: hook.state_dict() for hook in self.hooks if hook.name},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.iteration = state["iter"]
        self.precision.load_state_dict(state["scaler"])
        for hook in self.hooks:
            if hook.name in state["hooks"]:
                hook.load_state_dict(state["hooks"][hook.name])

    def _call(self, moment: str) -> None:
        for hook in self.hooks:
            getattr(hook, moment)(self)

    # --- gradients -------------------------------------------------------------------------------------------

    def _backward(self, batch: Batch) -> None:
        """Leave the gradients of the batch's loss in the parameters, and its value in ``losses``."""
        image = batch["image"]
        request = self.loss.ask((self.seed, self.iteration, distributed.rank()))
        if self.accumulate == 1:
            # without gradient first: statistics must not be put back between a forward pass and its backward pass
            views = sorted(request.views.items(), key=lambda item: item[1])
            outputs = {view: self._look(image, 0, view, learns) for view, learns in views}
            self.precision.scale(self._loss(outputs, request, batch)).backward()
            return

        # A loss that normalises over its batch, as FarSeg's does, is no sum over parts. So the parts are run twice:
        # first for the logits of the whole batch and the gradient of the loss by them, then to carry it on inwards.
        # One forward pass more than the usual sum of partial losses, but exact for every loss.
        size = -(-len(image) // self.accumulate)
        parts = [image[i : i + size] for i in range(0, len(image), size)]
        with paddle.no_grad(), _buffers_kept(self.model):
            seen = [{view: self._forward(part, i, view) for view in request.views} for i, part in enumerate(parts)]
        whole = {view: [paddle.concat(head) for head in zip(*(s[view] for s in seen), strict=True)] for view in seen[0]}
        for view, learns in request.views.items():
            for logits in whole[view]:
                logits.stop_gradient = not learns
        self.precision.scale(self._loss(whole, request, batch)).backward()
        for i, part in enumerate(parts):
            for view in (view for view, learns in request.views.items() if learns):
                heads, gradients = self._forward(part, i, view), [logits.grad for logits in whole[view]]
                used = [k for k, gradient in enumerate(gradients) if gradient is not None]  # in a view perhaps not all
                here = slice(i * size, i * size + len(part))
                paddle.autograd.backward([heads[k] for k in used], [gradients[k][here] for k in used])

    def _look(self, image: paddle.Tensor, part: int, view: View, learns: bool) -> list[paddle.Tensor]:
        """:meth:`_forward`; without ``learns``, nothing remembers it."""
        if learns:
            return self._forward(image, part, view)
        with paddle.no_grad(), _buffers_kept(self.model):
            return self._forward(image, part, view)

    def _forward(self, image: paddle.Tensor, part: int, view: View) -> list[paddle.Tensor]:
        """What the network says to a view of the images, in that view, in fp32, in which every loss is computed."""
        seed_all(self.seed, self.iteration, distributed.rank(), part, *(map(int, view) if view != UPRIGHT else ()))
        with self.precision.autocast():
            outputs = self.model(view.apply(image))
        return [logits.astype("float32") for logits in outputs]

    def _loss(self, outputs: dict[View, list[paddle.Tensor]], request: Request, batch: Batch) -> paddle.Tensor:
        answers = Answers(request, batch.get("fields", {}), outputs)
        terms = self.loss(outputs[UPRIGHT], batch["label"], answers)
        total = paddle.add_n(list(terms.values()))
        values = distributed.mean(paddle.stack([total, *terms.values()]).tolist())
        self.losses = dict(zip(["loss", *terms], values, strict=True))
        finite = math.isfinite(float(total))
        self._stop_unless(math.isfinite(values[0]), f"the loss is {float(total)}", finite, batch["names"])
        return total

    def _check_gradients(self, names: list[str]) -> None:
        """Stop before a gradient that is not finite reaches the weights, and so a checkpoint.

        The loss does not tell: Paddle's ReLU turns NaN into 0 on a CPU, so NaN pixels can leave it finite.
        """
        if self.precision.skips_overflow:
            return  # there it is an everyday event, and the step is left out
        sums = [p.grad.sum(dtype="float32") for p in self.model.parameters() if p.grad is not None]
        mine = bool(paddle.isfinite(paddle.stack(sums)).all())
        everywhere = distributed.mean([float(mine)]) == [1.0]
        self._stop_unless(everywhere, "the gradients are not finite", mine, names)

    def _stop_unless(self, everywhere: bool, seen: str, here: bool, names: list[str]) -> None:
        """End the training on all ranks, naming the images of one that is to blame, unless all is well ``everywhere``.

        Args:
            everywhere: the same on all ranks, so that none waits for one that has stopped.
            seen, here: what is wrong on this rank, and whether all is well on it.
        """
        if everywhere:
            return
        seen, names = next((seen, names) for here, seen, names in distributed.gather((here, seen, names)) if not here)
        raise RssegError(
            f"iteration {self.iteration}",
            f"{seen} for the images {', '.join(names)}",
            "finite numbers",
            "look at these images and labels ('rsseg doctor CONFIG' reads them all), or lower --learning_rate; "
            "nothing of this iteration was saved",
        )


class _buffers_kept:
    """Put running statistics back at the end of the block: a pass that is run twice must count once."""

    def __init__(self, model: nn.Layer):
        # Paddle counts batch norm's statistics among the parameters: those that do not learn
        self.buffers = [tensor for tensor in model.state_dict().values() if tensor.stop_gradient]

    def __enter__(self) -> None:
        self.before = [buffer.clone() for buffer in self.buffers]

    def __exit__(self, *error: object) -> None:
        for buffer, value in zip(self.buffers, self.before, strict=True):
            paddle.assign(value, buffer)
