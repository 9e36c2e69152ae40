"""Scores of a confusion matrix. Pure functions; rows are truth, columns prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def scores(matrix: np.ndarray) -> dict[str, Any]:
    """Every score of a K×K confusion matrix of whole numbers.

    Returns:
        ``mIoU``: mean IoU over all K classes, where a class that occurs neither in truth nor in prediction counts 0
        (the number PaddleSeg prints). ``mIoU_present``: the mean without such classes. ``fwIoU``: IoU weighted by
        the share of the truth. ``Acc``: share of right pixels. ``mAcc``: mean recall of the classes that truth has.
        ``Kappa``: Cohen's. ``Dice``: mean of ``F1`` over all K classes, absent ones 0. ``entropy``: of the classes'
        shares of the truth, -Σ s ln s in nats, 0..ln K. ``pixels``: pixels counted. Then per class, K-element lists:
        ``IoU, precision, recall, F1`` (NaN where the denominator is 0), ``truth`` and ``predicted`` (pixels).
        All else lies in 0..1 (kappa: -1..1); without a single pixel the overall scores are NaN or 0.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a confusion matrix is square, not {matrix.shape}")
    counts = matrix.astype(np.float64)  # exact up to 2^53 pixels
    hits, truth, predicted, total = np.diag(counts), counts.sum(1), counts.sum(0), counts.sum()
    iou = _ratio(hits, truth + predicted - hits)
    f1 = _ratio(2 * hits, truth + predicted)
    present = ~np.isnan(iou)
    accuracy = _share(hits.sum(), total)
    recall, shares = _ratio(hits, truth), _ratio(truth, np.full(len(truth), total))
    chance = _share((truth * predicted).sum(), total**2)
    return {
        "mIoU": float(np.nan_to_num(iou).mean()),
        "mIoU_present": float(iou[present].mean()) if present.any() else float("nan"),
        "fwIoU": _share((truth * np.nan_to_num(iou)).sum(), total),
        "Acc": accuracy,
        "mAcc": float(recall[truth > 0].mean()) if total else float("nan"),
        "Kappa": _share(accuracy - chance, 1 - chance),
        "Dice": float(np.nan_to_num(f1).mean()),
        "entropy": float(-(shares * np.log(shares, out=np.zeros_like(shares), where=shares > 0)).sum()),
        "pixels": int(matrix.sum()),
        "IoU": iou.tolist(),
        "precision": _ratio(hits, predicted).tolist(),
        "recall": recall.tolist(),
        "F1": f1.tolist(),
        "truth": matrix.sum(1).astype(int).tolist(),
        "predicted": matrix.sum(0).astype(int).tolist(),
    }


def prior_iou(iou: Sequence[float], frequencies: Sequence[float]) -> float:
    """Σ f·IoU with given frequencies, which NAIC_AI-RS calls FWIoU: NaN as soon as a class occurs nowhere."""
    return float(np.dot(frequencies, iou))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN for 0 / 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
