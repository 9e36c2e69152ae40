"""Resizing of scores, a band of rows at a time."""

from __future__ import annotations

import numpy as np


def upsample_rows(scores: np.ndarray, y0: int, y1: int, height: int, width: int) -> np.ndarray:
    """Rows ``y0:y1`` of K×h×w scores resized to ``height`` × ``width``, K×(y1-y0)×width float32.

    Bilinear between pixel centres (``align_corners=False``), as ``cv2.resize`` does, but a band at a time.
    """
    above, below, share = _taps(np.arange(y0, y1), scores.shape[1], height)
    rows = scores[:, above] * (1 - share)[:, None] + scores[:, below] * share[:, None]
    left, right, share = _taps(np.arange(width), scores.shape[2], width)
    return rows[:, :, left] * (1 - share) + rows[:, :, right] * share


def _taps(target: np.ndarray, source_length: int, target_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For target positions: the two source positions between which they lie, and the share of the second."""
    position = np.clip((target + 0.5) * (source_length / target_length) - 0.5, 0, source_length - 1)
    first = np.floor(position).astype(np.intp)
    return first, np.minimum(first + 1, source_length - 1), (position - first).astype(np.float32)
