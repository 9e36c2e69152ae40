"""Boundary IoU (Cheng, Girshick, Dollár, Berg, Kirillov, CVPR 2021), for scenes of any height.

Of a class's mask only the pixels within ``distance`` of its contour count, in truth and in prediction; the IoU of
these two rims does not forget a ragged outline because the inside is right, as the IoU of large masks does.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

#: share of the diagonal, as the paper has it
RATIO = 0.02
#: stands for pixels that count nowhere; class numbers are smaller
OUTSIDE = 255
#: pixels worked on at once: they stay in the processor's cache
_PIECE = 1 << 19


def rim_width(height: int, width: int, window: tuple[int, int], ratio: float = RATIO) -> int:
    """``ratio`` of the diagonal in whole pixels, at least 1.

    The diagonal is that of the picture as the network sees it: of the image, or of the ``window`` (height, width)
    where that is smaller. Two hundredths of a scene of 20,000 pixels would be a rim of 566, in which everything lies.
    """
    return max(1, round(ratio * math.hypot(min(height, window[0]), min(width, window[1]))))


class BoundaryCounter:
    """Rims of one image, fed from top to bottom; it holds 2·``distance`` rows beside those that are given to it.

    A pixel belongs to the rim of its class if the square of ±``distance`` pixels around it holds anything else: that
    is the mask minus its erosion by ``distance`` steps of 3×3, for all classes at once. As in the paper's code, what
    lies outside the image is no class, and so are pixels that do not count: their edge is a contour.

    Args:
        classes: K, at most 255.
        distance: in pixels, at least 1.
        width: of the image.
    """

    def __init__(self, classes: int, distance: int, width: int):
        self.classes, self.distance = classes, distance
        #: int64 3×K: pixels of both rims at once, of the truth's, of the prediction's
        self.counts = np.zeros((3, classes), np.int64)
        # the first rows are context: seen but not counted
        self._rows = np.full((2, distance, width), OUTSIDE, np.uint8)
        self._new: list[np.ndarray] = []

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """The next rows, rows×width uint8 each; 255 in both where a pixel does not count."""
        self._new.append(np.stack([truth, prediction]))
        if sum(part.shape[1] for part in self._new) >= 2 * self.distance:  # context is worth its rows only now
            self._count()

    def finish(self) -> np.ndarray:
        """The counts of the whole image, 3×K."""
        self._new.append(np.full((2, self.distance, self._rows.shape[2]), OUTSIDE, np.uint8))
        self._count()
        return self.counts

    def _count(self) -> None:
        rows = np.concatenate([self._rows, *self._new], axis=1)
        last = rows.shape[1] - self.distance
        step = max(1, _PIECE // rows.shape[2])
        for y in range(self.distance, last, step):
            self._count_rows(rows[:, y - self.distance : min(y + step, last) + self.distance])
        self._rows, self._new = rows[:, max(0, last - self.distance) :], []

    def _count_rows(self, rows: np.ndarray) -> None:
        """Count all rows but the first and last ``distance``."""
        inside = [_uniform(part, self.distance) for part in rows]
        rims = rows[:, self.distance : -self.distance].copy()
        for rim, uniform in zip(rims, inside, strict=True):
            np.putmask(rim, uniform, OUTSIDE)
        both = np.where(rims[0] == rims[1], rims[0], np.uint8(OUTSIDE))
        for counts, part in zip(self.counts, (both, *rims), strict=True):
            # float32, but whole: a piece has less than 2^24 pixels
            counts += cv2.calcHist([part], [0], None, [256], [0, 256]).ravel()[: self.classes].astype(np.int64)


def _uniform(labels: np.ndarray, distance: int) -> np.ndarray:
    """Where the square of ±``distance`` pixels holds one value; H×W → (H-2·distance)×W, beyond the sides is 255.

    Within a row neighbours must be equal, and so they must down the middle column: a logical and of neighbours.
    """
    wide = np.pad(labels, ((0, 0), (distance, distance)), constant_values=OUTSIDE)
    row = _all(wide[:, :-1] == wide[:, 1:], 2 * distance, axis=1)
    return _all(row, 2 * distance + 1, axis=0) & _all(labels[:-1] == labels[1:], 2 * distance, axis=0)


def _all(flags: np.ndarray, number: int, axis: int) -> np.ndarray:
    """And of ``number`` ≥ 1 neighbours along the axis, which becomes shorter by ``number`` - 1; by doubling."""
    have = 1
    while have < number:
        step = min(have, number - have)
        flags = flags[:-step] & flags[step:] if axis == 0 else flags[:, :-step] & flags[:, step:]
        have += step
    return flags


def boundary_scores(counts: np.ndarray) -> dict[str, Any]:
    """Scores of 3×K counts, summed over images.

    Returns:
        ``IoU``: K numbers in 0..1, NaN where neither truth nor prediction has a rim; ``mIoU``: the mean of the
        others, NaN if there is none.
    """
    both, truth, prediction = np.asarray(counts, np.float64)
    union = truth + prediction - both
    iou = np.divide(both, union, out=np.full(len(both), np.nan), where=union > 0)
    return {"IoU": iou.tolist(), "mIoU": float(np.nanmean(iou)) if (union > 0).any() else math.nan}
