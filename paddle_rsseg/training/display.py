"""What a training says while it runs: a live line on a terminal, PaddleSeg's log lines anywhere else."""

from __future__ import annotations

import time
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn


class Display:
    """Prints for rank 0; all its methods are silent elsewhere.

    Args:
        total: iterations of the whole training.
        quiet: print nothing at all (other ranks).
        live: a progress bar; None: if standard output is a terminal.
    """

    def __init__(self, total: int, quiet: bool = False, live: bool | None = None):
        self.total = total
        self._console = Console(quiet=quiet, highlight=False, soft_wrap=True)
        self._live = self._console.is_terminal if live is None else live
        self._progress: Progress | None = None

    def open(self, done: int) -> None:
        if self._live and not self._console.quiet:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.completed}/{task.total}"),
                BarColumn(),
                TextColumn("{task.description}"),
                console=self._console,
            )
            self._progress.start()
            self._task = self._progress.add_task("", total=self.total, completed=done)

    def close(self) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None

    def say(self, text: str) -> None:
        """One line for people; on a terminal it stays above the bar."""
        self._console.print(text, markup=False)

    def step(
        self,
        iteration: int,
        epoch: int,
        losses: dict[str, float],
        lr: float,
        batch_cost: float,
        reader_cost: float,
        images: int,
        log: bool,
    ) -> None:
        """Tell how far the training is.

        Args:
            losses: mean values since the last log line, the sum under ``loss``.
            batch_cost, reader_cost: mean seconds of an update, and of those the wait for data.
            images: images of one update on all ranks.
            log: whether a log line is due.
        """
        eta = str(timedelta(seconds=int((self.total - iteration) * batch_cost)))
        speed = images / max(batch_cost, 1e-9)
        if self._progress:
            self._progress.update(
                self._task,
                completed=iteration,
                description=f"loss {losses['loss']:.4f} · lr {lr:.6f} · {speed:.1f} images/s · "
                f"reader {reader_cost:.3f} s · ETA {eta}",
            )
        elif log:
            terms = "".join(
                f", {name}: {value:.4f}" for name, value in losses.items() if len(losses) > 2 or name == "loss"
            )
            self.say(
                f"{time.strftime('%Y-%m-%d %H:%M:%S')} [INFO]\t[TRAIN] epoch: {epoch}, "
                f"iter: {iteration}/{self.total}{terms}, lr: {lr:.6f}, "
                f"batch_cost: {batch_cost:.4f}, reader_cost: {reader_cost:.5f}, "
                f"ips: {speed:.4f} samples/sec | ETA {eta}"
            )
