"""The files that reviewers of PaddlePaddle's paper reproductions ask for, written with their tool ``reprod_log``.

Their guide (PaddlePaddle/models, docs/lwfx/ArticleReproduction_CV.md, section 2.2) names them:
``log_reprod/{forward,metric,loss,bp_align}_{paddle,torch}.npy``, ``train_align_{paddle,benchmark}.npy`` and a
``…_diff.log`` for each pair.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paddle_rsseg.alignment.run import Measured, Pair
from paddle_rsseg.errors import RssegError

#: step → (our file, the original's file, the log)
FILES = {
    "forward": ("forward_paddle.npy", "forward_torch.npy", "forward_diff.log"),
    "metric": ("metric_paddle.npy", "metric_torch.npy", "metric_diff.log"),
    "loss": ("loss_paddle.npy", "loss_torch.npy", "loss_diff.log"),
    "backward": ("bp_align_paddle.npy", "bp_align_torch.npy", "bp_align_diff.log"),
    "training": ("train_align_paddle.npy", "train_align_benchmark.npy", "train_align_diff.log"),
}
#: the guide's bound of a mean difference; a step whose own tolerance is wider has that
THRESHOLD = 1e-6


@dataclass(frozen=True)
class Checked:
    """What reprod_log says of a step.

    Attributes:
        passed: every mean difference is at most ``threshold``.
        log: the file with its words.
    """

    passed: bool
    threshold: float
    log: Path


def write(measured: Measured, directory: Path) -> dict[str, Checked]:
    """Write the files of a run to ``directory``; of every step that was taken, what the tool says of it.

    Raises:
        RssegError: reprod_log is not installed.
    """
    try:
        tool = importlib.import_module("reprod_log")
    except ImportError as error:
        fix = "pip install 'paddle-rsseg[align]', or leave its files out with --no_reprod_log"
        raise RssegError("environment", f"reprod_log cannot be imported ({error})", fix=fix) from error
    directory.mkdir(parents=True, exist_ok=True)
    checked = {}
    for step, pairs in measured.pairs.items():
        if not pairs:
            continue
        ours, theirs, log = (directory / name for name in FILES[step])
        for path, side in ((ours, "ours"), (theirs, "theirs")):
            logger = tool.ReprodLogger()
            for name, pair in pairs.items():
                logger.add(name, np.asarray(getattr(pair, side), np.float64))
            logger.save(str(path))
        threshold = _threshold(pairs)
        helper = tool.ReprodDiffHelper()
        helper.compare_info(helper.load_info(str(ours)), helper.load_info(str(theirs)))
        with _logging_to_itself():
            helper.report(diff_method="mean", diff_threshold=threshold, path=str(log))
        words = log.read_text(encoding="utf-8").rstrip()
        checked[step] = Checked(words.endswith("diff check passed"), threshold, log)
    return checked


def _threshold(pairs: dict[str, Pair]) -> float:
    return float(max([THRESHOLD, *(pair.allowed for pair in pairs.values())]))


@contextlib.contextmanager
def _logging_to_itself() -> Iterator[None]:
    """The tool gives the root logger a new file and the screen at every report, and leaves both there."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
