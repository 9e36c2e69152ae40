"""Overlapping windows become one map, a band of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from paddle_rsseg.windows import Window

#: rows worked on at once where an operation makes several passes: they stay in the processor's cache
CHUNK = 32


class Part(NamedTuple):
    """Finished columns ``x0:x1`` of the image rows from ``y0`` on that a row of windows finishes.

    Attributes:
        sums: classes × rows × columns; a view that the next step of the band ends.
        weights: rows × columns, what :func:`mean` divides the sums by; None if they were not asked for. They are the
            same for every class of a pixel, so the best class can be told without them.
    """

    y0: int
    x0: int
    x1: int
    sums: np.ndarray
    weights: np.ndarray | None

    def mean(self, first: int, last: int) -> np.ndarray:
        """Weighted mean of the scores of the rows ``first:last``, a new array; 0 where there was no window."""
        assert self.weights is not None, "made without weighted=True"
        weights = self.weights[first:last]
        return self.sums[:, first:last] / np.where(weights > 0, weights, 1)


class RowBand:
    """Weighted sums of windows, one row of the grid after the other, each from left to right.

    Columns that no further window of the row touches leave at once: what is finished is given away, and what the next
    row of windows adds to waits below. So there are held, in float32, over the width of the image the rows that two
    rows of windows share, and beside them one window. Two rows of windows may go together as one.

    Args:
        classes: channels of a window's scores.
        width: of the image.
        window: (rows, columns): the rows of windows that go together reach so many, and a window has so many columns.
        shared: most rows that are not finished when a row of windows is through.
        weighted: keep the sums of the weights too.
    """

    def __init__(self, classes: int, width: int, window: tuple[int, int], shared: int, weighted: bool = False):
        self._classes, self._weighted = classes, weighted
        planes = classes + weighted  # the last one holds the weights
        self._below = np.zeros((planes, shared, width), np.float32)
        self._block = np.empty((planes, *window), np.float32)
        self._top = self._end = self._bottom = 0  # image rows
        self._left = self._right = 0  # image columns in the block

    def begin(self, top: int, end: int, bottom: int) -> None:
        """A row of windows reaches from image row ``top`` to ``bottom``, and finishes the rows above ``end``.

        What its windows say of rows above ``top``, where the last one's ``end`` was, is left out.
        """
        self._held = self._bottom - self._end
        self._top, self._end, self._bottom = top, end, bottom
        self._left = self._right = 0

    def finished(self, until: int) -> Iterator[Part]:
        """What no further window of the row touches, the columns before ``until``; then it is forgotten here."""
        count = min(until, self._right) - self._left
        if count > 0:
            rows, done = self._bottom - self._top, self._end - self._top
            yield from self._part(self._left, self._block[:, :done, :count])
            self._below[:, : rows - done, self._left : self._left + count] = self._block[:, done:rows, :count]
            kept = self._right - self._left - count
            for plane in self._block:
                plane[:rows, :kept] = plane[:rows, count : count + kept]
            self._left += count
        if until > self._right:  # no window at all
            nothing = np.broadcast_to(np.float32(0), (len(self._block), self._end - self._top, until - self._right))
            yield from self._part(self._right, nothing)
            self._below[:, : self._bottom - self._end, self._right : until] = 0
            self._left = self._right = until

    def _part(self, x0: int, sums: np.ndarray) -> Iterator[Part]:
        if sums.size:
            yield Part(self._top, x0, x0 + sums.shape[2], sums[: self._classes], sums[-1] if self._weighted else None)

    def add(self, window: Window, scores: np.ndarray, weight: np.ndarray | None = None) -> None:
        """Add the scores of a window, K×h×w, times ``weight``, h×w (None: 1). ``scores`` is overwritten.

        The columns before it have been asked for with :meth:`finished`.
        """
        self._reach(window.x1)
        above = max(0, self._top - window.y0)
        if above:
            scores, weight = scores[:, above:], None if weight is None else weight[above:]
        rows = slice(window.y0 + above - self._top, window.y1 - self._top)
        columns = slice(window.x0 - self._left, window.x1 - self._left)
        if weight is not None:
            scores *= weight
        self._block[: self._classes, rows, columns] += scores
        if self._weighted:
            self._block[-1, rows, columns] += 1.0 if weight is None else weight

    def _reach(self, until: int) -> None:
        """Take columns up to ``until`` into the block, with what the rows of windows above have left there."""
        if until > self._right:
            new = self._block[:, : self._bottom - self._top, self._right - self._left : until - self._left]
            new[:, : self._held] = self._below[:, : self._held, self._right : until]
            new[:, self._held :] = 0
            self._right = until


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
