"""What happens around the steps: logging, evaluation, checkpoints."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paddle_rsseg.training import checkpoint, distributed
from paddle_rsseg.training.curves import Curves
from paddle_rsseg.training.display import Display
from paddle_rsseg.training.loop import Hook, Trainer
from paddle_rsseg.weights.native import write_atomically


class Journal:
    """``metrics.jsonl``: one JSON object a line, of losses and of scores, nothing in it that depends on the clock.

    A resumed run drops the lines after its checkpoint and writes them again, byte for byte.
    """

    def __init__(self, path: Path):
        self.path = path

    def rewind(self, iteration: int) -> None:
        """Drop what was written after ``iteration``, and a line that a killed run left unfinished."""
        if self.path.exists():
            whole = [
                line for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
            ]
            kept = "".join(line for line in whole if json.loads(line)["iter"] <= iteration)
            write_atomically(self.path, kept.encode())

    def write(self, **values: Any) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


class MetricLogger(Hook):
    """Mean losses over ``log_iters`` iterations, to the display, the journal and the curves.

    Args:
        images: images of one update on all ranks; ``images_per_epoch`` of the whole training set.
    """

    name = "metrics"

    def __init__(
        self,
        display: Display,
        journal: Journal | None,
        curves: Curves | None,
        log_iters: int,
        images: int,
        images_per_epoch: int,
    ):
        self.display, self.journal, self.curves = display, journal, curves
        self.log_iters, self.images = log_iters, images
        self.updates_per_epoch = max(images_per_epoch // images, 1)
        self.sums: dict[str, float] = {}
        self.count = 0
        self._reset_clock()

    def before_train(self, trainer: Trainer) -> None:
        if self.journal:
            self.journal.rewind(trainer.iteration)
        self.display.open(trainer.iteration)

    def after_step(self, trainer: Trainer) -> None:
        for name, value in trainer.losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        self.steps_timed += 1
        self.batch_time += trainer.batch_cost
        self.reader_time += trainer.reader_cost
        k = trainer.iteration
        due = k % self.log_iters == 0 or k == trainer.iters
        means = {name: total / self.count for name, total in self.sums.items()}
        batch_cost, reader_cost = self.batch_time / self.steps_timed, self.reader_time / self.steps_timed
        epoch = (k - 1) // self.updates_per_epoch + 1
        self.display.step(k, epoch, means, trainer.lr, batch_cost, reader_cost, self.images, due)
        if not due:
            return
        if self.journal:
            self.journal.write(iter=k, lr=trainer.lr, **means)
        if self.curves:
            self.curves.scalars(
                "Train", k, {**means, "lr": trainer.lr, "batch_cost": batch_cost, "reader_cost": reader_cost}
            )
        self.sums, self.count = {}, 0
        self._reset_clock()

    def after_train(self, trainer: Trainer) -> None:
        self.display.close()
        if self.curves:
            self.curves.close()

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums, self.count = state["sums"], state["count"]

    def _reset_clock(self) -> None:
        # apart from the sums of losses: a resumed run must not count the seconds of the killed one
        self.steps_timed, self.batch_time, self.reader_time = 0, 0.0, 0.0


class Evaluation(Hook):
    """Score the model now and then, keep the best by mIoU, stop when it gets no better.

    Args:
        evaluator: called for the scores of the model, among them ``mIoU``, on every rank, with the same result on
            each; its ``pictures()`` are for the curves.
        save_best: called on rank 0 with the scores and the iteration when the mIoU is the best so far.
        due: whether to score after an iteration.
        patience: evaluations without a better mIoU after which training stops; None: never.
    """

    name = "evaluation"

    def __init__(
        self,
        evaluator: Any,
        save_best: Callable[[Trainer, Mapping[str, Any]], None],
        due: Callable[[int], bool],
        patience: int | None,
        display: Display,
        journal: Journal | None,
        curves: Curves | None,
    ):
        self.evaluator, self.save_best = evaluator, save_best
        self.due, self.patience = due, patience
        self.display, self.journal, self.curves = display, journal, curves
        self.best: dict[str, Any] = {"mIoU": -1.0, "iter": 0}
        self.last: dict[str, Any] = {}
        self.waited = 0

    def before_train(self, trainer: Trainer) -> None:
        self._maybe_stop(trainer)  # a run that had stopped stays stopped when it is resumed

    def after_step(self, trainer: Trainer) -> None:
        k = trainer.iteration
        if not self.due(k):
            return
        start = time.perf_counter()
        trainer.model.eval()
        try:
            scores = {name: _without_nan(value) for name, value in self.evaluator().items()}
            if self.curves:
                for i, picture in enumerate(self.evaluator.pictures()):
                    self.curves.picture(f"Evaluate/sample_{i}", k, picture)
        finally:
            trainer.model.train()
        self.last = {"iter": k, **scores}
        self.waited += 1
        if scores["mIoU"] > self.best["mIoU"]:
            self.best, self.waited = {"mIoU": scores["mIoU"], "iter": k}, 0
            if distributed.is_main():
                # before the checkpoint of this iteration says that it exists
                self.save_best(trainer, scores)
        numbers = {name: value for name, value in scores.items() if isinstance(value, float)}
        self.display.say(
            f"[EVAL] iter: {k}, "
            + ", ".join(f"{name}: {value:.4f}" for name, value in numbers.items())
            + f" ({time.perf_counter() - start:.1f} s); best mIoU {self.best['mIoU']:.4f} at iter {self.best['iter']}"
        )
        if self.journal:
            self.journal.write(iter=k, evaluation=numbers)
        if self.curves:
            self.curves.scalars("Evaluate", k, numbers)
        self._maybe_stop(trainer)

    def _maybe_stop(self, trainer: Trainer) -> None:
        if self.patience and self.waited >= self.patience:
            trainer.stop_reason = (
                f"early stop: no better mIoU than {self.best['mIoU']:.4f} (iter {self.best['iter']}) "
                f"in {self.waited} evaluations"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "last": self.last, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.last, self.waited = state["best"], state["last"], state["waited"]


def _without_nan(value: Any) -> Any:
    """JSON has no NaN; a score that does not exist is null there."""
    if isinstance(value, list):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value


class Checkpointer(Hook):
    """Save every ``interval`` iterations and at the end; keep the newest ``keep``. The last hook: it saves the others.

    Args:
        facts: what resuming checks: batch size, number of ranks, seed.
        metadata: makes ``model.safetensors`` usable by itself: ``model`` and ``inference``.
        config: the resolved YAML.
    """

    def __init__(
        self,
        save_dir: Path,
        interval: int,
        keep: int,
        metadata: Mapping[str, Any],
        config: str,
        facts: Mapping[str, Any],
    ):
        self.save_dir, self.interval, self.keep = save_dir, interval, keep
        self.metadata, self.config, self.facts = metadata, config, facts

    def after_step(self, trainer: Trainer) -> None:
        k = trainer.iteration
        if k % self.interval and k != trainer.iters and not trainer.stop_reason:
            return
        if distributed.is_main():
            with checkpoint.whole_directory(self.save_dir / f"iter_{k}") as folder:
                self._save_model(folder, trainer, {"iter": k})
                state = {**trainer.state_dict(), "run": self.facts}
                checkpoint.save_state(folder, trainer.model, trainer.optimizer, trainer.loss, state)
            for old in checkpoint.checkpoints(self.save_dir)[: -self.keep]:
                checkpoint.remove(old)
        distributed.barrier()

    def save_best(self, trainer: Trainer, scores: Mapping[str, Any]) -> None:
        """Replace ``best_model/`` by the present weights."""
        with checkpoint.whole_directory(self.save_dir / "best_model") as folder:
            self._save_model(folder, trainer, {"iter": trainer.iteration, "mIoU": scores["mIoU"]})
            (folder / "metrics.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")

    def _save_model(self, folder: Path, trainer: Trainer, facts: Mapping[str, Any]) -> None:
        checkpoint.save_model(folder, trainer.model, trainer.optimizer, {**self.metadata, **facts})
        (folder / "config.yml").write_text(self.config, encoding="utf-8")
