"""How far scores would move with other scenes: percentile bootstrap (Efron 1979)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES, LEVEL, SEED = 1000, 0.95, 0
#: resamples worked on at once
_CHUNK = 100


@dataclass(frozen=True)
class Intervals:
    """Where a score lies with the probability ``level``, as (low, high) in 0..1.

    Attributes:
        mIoU, mIoU_present, Acc: see :func:`paddle_rsseg.evaluation.metrics.scores`.
        IoU: one a class; NaN where the class occurs in no resample.
        unit: what was drawn: ``scenes``, ``images``, or ``blocks of 512×512 pixels``.
        units: how many there are.
    """

    mIoU: tuple[float, float]
    mIoU_present: tuple[float, float]
    Acc: tuple[float, float]
    IoU: tuple[tuple[float, float], ...]
    unit: str
    units: int
    resamples: int = RESAMPLES
    level: float = LEVEL


def bootstrap(
    matrices: Sequence[np.ndarray],
    unit: str = "images",
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = SEED,
) -> Intervals | None:
    """Intervals of the scores of summed confusion matrices.

    As many units are drawn, with replacement, as there are, their matrices summed and scored, ``resamples`` times; the
    interval lies between the percentiles ``(1 ± level) / 2`` of that. The units are taken to be independent: windows
    of one scene are not, and give intervals that are too narrow.

    Args:
        matrices: K×K whole numbers of each unit; those without a counted pixel are left out.

    Returns:
        None if there are fewer than two units: then nothing is known about others.
    """
    matrices = [matrix for matrix in matrices if matrix.any()]
    if len(matrices) < 2:
        return None
    parts = np.stack([(np.diag(m), m.sum(1), m.sum(0)) for m in matrices]).astype(np.float64)  # N×3×K
    n, _, classes = parts.shape
    rng = np.random.default_rng(seed)
    found = []
    for first in range(0, resamples, _CHUNK):
        drawn = rng.multinomial(n, np.full(n, 1 / n), min(_CHUNK, resamples - first)).astype(np.float64)
        hits, truth, predicted = (drawn @ parts.reshape(n, -1)).reshape(-1, 3, classes).transpose(1, 0, 2)
        union = truth + predicted - hits
        iou = np.divide(hits, union, out=np.full(hits.shape, np.nan), where=union > 0)
        overall = [np.nan_to_num(iou).mean(1), np.nanmean(iou, 1), hits.sum(1) / truth.sum(1)]
        found.append(np.column_stack([*overall, iou]))
    low, high = _percentiles(np.concatenate(found), level)
    pairs = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    return Intervals(pairs[0], pairs[1], pairs[2], tuple(pairs[3:]), unit, n, resamples, level)


def _percentiles(values: np.ndarray, level: float) -> np.ndarray:
    """2×columns: lower and upper end, without NaN; NaN where a column has nothing else."""
    ends = np.full((2, values.shape[1]), np.nan)
    known = ~np.isnan(values).all(axis=0)
    ends[:, known] = np.nanpercentile(values[:, known], [50 * (1 - level), 50 * (1 + level)], axis=0)
    return ends
