"""Scores of a confusion matrix. Pure functions; rows are truth, columns prediction."""

from __future__ import annotations

from typing import Any

import numpy as np


def scores(matrix: np.ndarray) -> dict[str, Any]:
    """Every score of a K×K confusion matrix of whole numbers.

    Returns:
        ``mIoU``: mean IoU over all K classes, where a class that occurs neither in truth nor in prediction counts 0
        (the number PaddleSeg prints). ``mIoU_present``: the mean without such classes. ``fwIoU``: IoU weighted by
        the share of the truth. ``Acc``: share of right pixels. ``Kappa``: Cohen's. ``Dice``: mean of ``F1``
        over all K classes, absent ones 0. ``pixels``: pixels counted. Then per class, K-element lists:
        ``IoU, precision, recall, F1`` (NaN where the denominator is 0), ``truth`` and ``predicted`` (pixels).
        Everything lies in 0..1 (kappa: -1..1); without a single pixel the overall scores are NaN or 0.
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
    chance = _share((truth * predicted).sum(), total**2)
    return {
        "mIoU": float(np.nan_to_num(iou).mean()),
        "mIoU_present": float(iou[present].mean()) if present.any() else float("nan"),
        "fwIoU": _share((truth * np.nan_to_num(iou)).sum(), total),
        "Acc": accuracy,
        "Kappa": _share(accuracy - chance, 1 - chance),
        "Dice": float(np.nan_to_num(f1).mean()),
        "pixels": int(matrix.sum()),
        "IoU": iou.tolist(),
        "precision": _ratio(hits, predicted).tolist(),
        "recall": _ratio(hits, truth).tolist(),
        "F1": f1.tolist(),
        "truth": matrix.sum(1).astype(int).tolist(),
        "predicted": matrix.sum(0).astype(int).tolist(),
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN for 0 / 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
