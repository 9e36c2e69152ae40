"""``--dry_run``: build everything, run one step, say what the whole training will cost, save nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import paddle

from paddle_rsseg.config import Settings, build_dataset, check_paths
from paddle_rsseg.models import cost
from paddle_rsseg.training import distributed
from paddle_rsseg.training.run import Parts, RunOptions


@dataclass(frozen=True)
class DryRun:
    """What a training will cost.

    Attributes:
        parameters: of the model, frozen ones too.
        multiply_adds: of one image of ``size`` (height, width), forward.
        memory: peak bytes: of the process on a CPU, of PaddlePaddle's allocator on a GPU; None where unknown.
        step_seconds: one iteration, measured on the second of two, as the first also allocates and tunes.
        total_seconds: all iterations, without evaluations.
        loss: of the first step.
    """

    parameters: int
    multiply_adds: int
    size: tuple[int, int]
    memory: int | None
    step_seconds: float
    total_seconds: float
    loss: float

    def lines(self) -> list[str]:
        """For people."""
        memory = "unknown" if self.memory is None else f"{self.memory / 2**30:.2f} GiB"
        height, width = self.size
        return [
            f"parameters     {self.parameters / 1e6:.2f} M ({self.parameters:,})",
            f"multiply-adds  {self.multiply_adds / 1e9:.2f} G for one image of {height}×{width} pixels, forward",
            f"peak memory    {memory}",
            f"first loss     {self.loss:.4f}",
            f"time           {self.step_seconds:.3f} s an iteration, "
            f"{timedelta(seconds=round(self.total_seconds))} in all",
        ]


def dry_run(settings: Settings, options: RunOptions | None = None, say: Callable[[str], None] = print) -> DryRun:
    """Build data sets, model, loss and optimiser; run one step, and a second one for its time.

    Raises:
        RssegError: whatever the training itself would have found wrong in settings and data.
    """
    options = options or RunOptions()
    check_paths(settings, "train+val" if options.do_eval else "train")
    device = distributed.setup(options.device)
    parts = Parts.build(settings, device, load=True, say=say)
    if options.do_eval:
        build_dataset(settings, "val")
    trainer = parts.trainer(settings, options.num_workers)
    with closing(trainer.batches):
        first = next(trainer.batches)
    height, width = np.shape(first["image"])[2:]
    trainer.batches = iter([first, first])
    trainer.iteration = 1
    trainer.run_step()
    loss = trainer.losses["loss"]
    trainer.run_step()
    memory = _peak_memory(device)
    parameters, multiply_adds = cost.count(parts.model, height, width)
    return DryRun(
        parameters,
        multiply_adds,
        (height, width),
        memory,
        trainer.batch_cost,
        trainer.batch_cost * settings.iters,
        loss,
    )


def _peak_memory(device: str) -> int | None:
    if device == "gpu":
        return paddle.device.cuda.max_memory_reserved()
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes everywhere but there
