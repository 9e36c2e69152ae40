"""Overlapping windows become one map, a band of rows at a time."""

from __future__ import annotations

import numpy as np

from paddle_rsseg.windows import Window

#: rows worked on at once where an operation makes several passes: they stay in the processor's cache
CHUNK = 32


class RowBand:
    """Weighted sums of the windows that touch the rows now in work.

    It holds ``classes × rows × width`` float32, whatever the height of the image: rows that no further window
    touches are taken off at the top by :meth:`finish`, and the rest moves up.

    Args:
        classes: channels of a window's scores.
        rows: height of the tallest window.
        width: width of the image.
        weighted: keep the sums of the weights too, which :meth:`mean` divides by. They are the same for every
            class of a pixel, so the best class can be told without them.
        top: image row of the band's first row; what windows say of rows above it is left out.
    """

    def __init__(self, classes: int, rows: int, width: int, weighted: bool = False, top: int = 0):
        self.top = top
        self._scores = np.zeros((classes, rows, width), np.float32)
        self._weights = np.zeros((rows, width), np.float32) if weighted else None

    def add(self, window: Window, scores: np.ndarray, weight: np.ndarray | None = None) -> None:
        """Add the scores of a window, K×h×w, times ``weight``, h×w (None: 1). ``scores`` is overwritten."""
        above = max(0, self.top - window.y0)
        if above:
            scores, weight = scores[:, above:], None if weight is None else weight[above:]
        rows, columns = slice(window.y0 + above - self.top, window.y1 - self.top), slice(window.x0, window.x1)
        if weight is not None:
            scores *= weight
        self._scores[:, rows, columns] += scores
        if self._weights is not None:
            self._weights[rows, columns] += 1.0 if weight is None else weight

    def scores(self, end: int) -> np.ndarray:
        """Sums of the rows from ``top`` to image row ``end``, K×rows×width; a view that :meth:`finish` ends."""
        return self._scores[:, : end - self.top]

    def mean(self, y0: int, y1: int) -> np.ndarray:
        """Weighted mean of the scores of image rows ``y0:y1``, a new array; 0 where no window was added."""
        assert self._weights is not None, "made without weighted=True"
        rows = slice(y0 - self.top, y1 - self.top)
        weights = self._weights[rows]
        return self._scores[:, rows] / np.where(weights > 0, weights, 1)

    def finish(self, end: int) -> None:
        """Forget the rows above image row ``end`` and move the others up."""
        done = end - self.top
        for plane in (*self._scores, *([] if self._weights is None else [self._weights])):
            kept = len(plane) - done
            plane[:kept] = plane[done:]
            plane[kept:] = 0
        self.top = end


def argmax(scores: np.ndarray) -> np.ndarray:
    """Index of the largest score along the first axis, K×H×W → H×W uint8, lowest index first among equals.

    Several times faster than ``np.argmax``, which walks along the strided axis pixel by pixel.

    Raises:
        FloatingPointError: a score is NaN or +infinity.
    """
    labels = np.empty(scores.shape[1:], np.uint8)
    for y in range(0, scores.shape[1], CHUNK):
        part, out = scores[:, y : y + CHUNK], labels[y : y + CHUNK]
        best = part[0].copy()
        out[:] = 0
        for k in range(1, len(part)):
            better = part[k] > best
            # k only grows, so the latest class that was better is the maximum of k · better
            np.maximum(out, better.view(np.uint8) * np.uint8(k), out=out)
            np.maximum(best, part[k], out=best)
        if not np.isfinite(best).all():
            raise FloatingPointError("scores that are not finite")
    return labels


def tempered_(shares: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities K×H×W float32 → p^(1/T), made to sum to 1 again, in place: softmax(ln p / T)."""
    if temperature != 1:
        np.power(shares, np.float32(1 / temperature), out=shares)
        shares /= np.maximum(shares.sum(axis=0), np.finfo(np.float32).tiny)
    return shares


def softmax_(scores: np.ndarray) -> np.ndarray:
    """Softmax over the first axis of K×H×W float32, in place."""
    for y in range(0, scores.shape[1], CHUNK):
        part = scores[:, y : y + CHUNK]
        part -= part.max(axis=0)
        np.exp(part, out=part)
        part *= 1 / part.sum(axis=0)
    return scores
