"""Scores by the size of objects, for scenes of any height.

An object is a connected component (8 neighbours) of one class; it ends where pixels do not count. Components are joined
across the bands in which rows arrive, and written off as soon as neither they nor what they overlap touches the last
row: memory follows what lies on that row, not the scene.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

#: areas at which the bins begin: 8², 32² and 96² pixels, the last two as in COCO
EDGES = (64.0, 1024.0, 9216.0)
OUTSIDE = 255
#: pixels that are labelled at once
_PIECE = 1 << 21


@dataclass
class ObjectCounts:
    """Of one image or many; bins (one more than edges) by classes.

    Attributes:
        truth: int64 bins×K×4: true objects; their pixels; those of them called right; objects found, that is with an
            IoU of at least one half.
        iou: float64 bins×K: sum of the objects' IoU.
        predicted: int64 bins×K×3: predicted objects, by their own size; their pixels; objects without one right pixel.
    """

    truth: np.ndarray
    iou: np.ndarray
    predicted: np.ndarray

    @classmethod
    def zeros(cls, bins: int, classes: int) -> ObjectCounts:
        return cls(
            np.zeros((bins, classes, 4), np.int64), np.zeros((bins, classes)), np.zeros((bins, classes, 3), np.int64)
        )

    def __add__(self, other: ObjectCounts) -> ObjectCounts:
        return ObjectCounts(self.truth + other.truth, self.iou + other.iou, self.predicted + other.predicted)


class ObjectCounter:
    """Objects of one image, fed from top to bottom.

    The IoU of a true object is that with all predicted objects of its class which touch it, taken together: its hit
    pixels, divided by those of it and of them.

    Args:
        classes: K, at most 255.
        edges: ascending areas at which the second bin, the third, … begins.
        pixel_area: area of a pixel in the unit of the edges; 1 for edges in pixels.
    """

    def __init__(self, classes: int, edges: Sequence[float] = EDGES, pixel_area: float = 1.0):
        self.edges, self.pixel_area = np.asarray(edges, np.float64), pixel_area
        self.counts = ObjectCounts.zeros(len(edges) + 1, classes)
        self._true, self._called = _Components(), _Components()
        #: overlaps: number of the true object, of the predicted one, and their common pixels
        self._pairs = np.empty((3, 0), np.int64)

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """The next rows, rows×width uint8 each; 255 in both where a pixel does not count."""
        step = max(1, _PIECE // truth.shape[1])
        for y in range(0, len(truth), step):
            self._add(truth[y : y + step], prediction[y : y + step])

    def finish(self) -> ObjectCounts:
        """The counts of the whole image."""
        for side in (self._true, self._called):
            side.open[:] = False
        self._write_off()
        return self.counts

    def _add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        y, x, length = _runs(np.where(truth == prediction, truth, np.uint8(OUTSIDE)))
        true, moved_true = self._true.extend(truth, y, x, length)
        called, moved_called = self._called.extend(prediction, y, x, length)
        ours, theirs, common = self._pairs
        ours = np.concatenate([moved_true[ours], true])
        theirs = np.concatenate([moved_called[theirs], called])
        # each pair once
        key, where = np.unique(ours * max(1, self._called.number) + theirs, return_inverse=True)
        total = np.zeros(len(key), np.int64)
        np.add.at(total, where, np.concatenate([common, length]))
        self._pairs = np.stack([*np.divmod(key, max(1, self._called.number)), total])
        self._write_off()

    def _write_off(self) -> None:
        """Count the objects about which nothing can change any more, and forget them."""
        true, called, (ours, theirs, common) = self._true, self._called, self._pairs
        waiting = true.open.copy()
        waiting[ours[called.open[theirs]]] = True
        hits, partners = np.zeros(true.number, np.int64), np.zeros(true.number, np.int64)
        np.add.at(hits, ours, common)
        np.add.at(partners, ours, called.area[theirs])
        done = np.flatnonzero(~waiting)
        union = true.area[done] + partners[done] - hits[done]
        place = self._bin(true.area[done]), true.kind[done]
        found = (2 * hits[done] >= union).astype(np.int64)
        np.add.at(self.counts.truth, place, np.stack([np.ones_like(found), true.area[done], hits[done], found], 1))
        np.add.at(self.counts.iou, place, hits[done] / union)

        left = waiting[ours]
        needed = called.open.copy()
        needed[theirs[left]] = True
        done = np.flatnonzero(~needed)
        lone = (called.hits[done] == 0).astype(np.int64)
        place = self._bin(called.area[done]), called.kind[done]
        np.add.at(self.counts.predicted, place, np.stack([np.ones_like(lone), called.area[done], lone], 1))

        self._pairs = np.stack([true.keep(waiting)[ours[left]], called.keep(needed)[theirs[left]], common[left]])

    def _bin(self, areas: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.edges, areas * self.pixel_area, side="right")


class _Components:
    """Components of one map that may still change or matter, numbered from 0.

    Attributes:
        kind, area, hits: class, pixels, right pixels of each.
        open: it touches the last row.
    """

    def __init__(self) -> None:
        self.kind, self.area, self.hits = np.empty((3, 0), np.int64)
        self.open = np.empty(0, bool)
        self._last: np.ndarray | None = None  # the number at each pixel of the last row, -1: none

    @property
    def number(self) -> int:
        return len(self.kind)

    def extend(
        self, labels: np.ndarray, y: np.ndarray, x: np.ndarray, length: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Take in further rows, in which runs of right pixels begin at ``y``, ``x``.

        Returns:
            The number of the component of each run, and the new number of each that was there before.
        """
        old = self.number
        ids, kind, area = _label(labels)
        kind = np.concatenate([self.kind, kind])
        first, last = (np.where(row >= 0, row + old, -1) for row in ids[[0, -1]].astype(np.int64))
        numbers = _joined(len(kind), self._touching(first, kind))
        runs = numbers[old + ids[y, x]]

        number = int(numbers.max(initial=-1)) + 1
        self.kind, areas, hits = np.zeros((3, number), np.int64)
        self.kind[numbers] = kind
        np.add.at(areas, numbers, np.concatenate([self.area, area]))
        np.add.at(hits, numbers[:old], self.hits)
        np.add.at(hits, runs, length)
        self.area, self.hits = areas, hits
        self._last = np.append(numbers, -1)[last]
        self.open = np.zeros(number, bool)
        self.open[self._last[self._last >= 0]] = True
        return runs, numbers[:old]

    def keep(self, wanted: np.ndarray) -> np.ndarray:
        """Forget the others; the new number of each, -1 of those that are gone."""
        numbers = np.where(wanted, np.cumsum(wanted) - 1, -1)
        self.kind, self.area, self.hits, self.open = (
            values[wanted] for values in (self.kind, self.area, self.hits, self.open)
        )
        if self._last is not None:
            self._last = np.append(numbers, -1)[self._last]
        return numbers

    def _touching(self, first: np.ndarray, kind: np.ndarray) -> np.ndarray:
        """Pairs of numbers, n×2, that are one component: of the last row and of the new first one."""
        if self._last is None:
            return np.empty((0, 2), np.int64)
        found = []
        for above, below in (
            (self._last, first),
            (self._last[1:], first[:-1]),
            (self._last[:-1], first[1:]),
        ):
            same = (above >= 0) & (below >= 0)
            same[same] = kind[above[same]] == kind[below[same]]
            found.append(np.stack([above[same], below[same]], axis=1))
        return np.unique(np.concatenate(found), axis=0)


def _label(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Components of rows×width uint8: the number of each pixel's, from 0 (int32; -1 where 255), classes, pixels."""
    ids = np.full(labels.shape, -1, np.int32)
    kinds = [np.empty(0, np.int64)]
    total = 0
    for k in np.flatnonzero(cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()[:OUTSIDE]):
        mask = (labels == k).view(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        part = mask[y : y + height, x : x + width]
        number, found = cv2.connectedComponents(part, connectivity=8, ltype=cv2.CV_32S)
        np.copyto(ids[y : y + height, x : x + width], found + (total - 1), where=part.view(bool))
        kinds.append(np.full(number - 1, k, np.int64))
        total += number - 1
    row, column, length = _runs(labels)
    area = np.zeros(total, np.int64)
    np.add.at(area, ids[row, column], length)
    return ids, np.concatenate(kinds), area


def _joined(number: int, edges: np.ndarray) -> np.ndarray:
    """The number from 0 of the set that each of ``number`` nodes is in; ``edges``: n×2, nodes that belong together."""
    parent = list(range(number))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for a, b in edges.tolist():
        a, b = root(a), root(b)
        parent[max(a, b)] = min(a, b)
    roots = np.asarray(parent, np.int64)
    while (roots != roots[roots]).any():
        roots = roots[roots]
    return np.unique(roots, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _runs(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, first column and length of each run of equal values along a row, but for 255.

    Neighbours of one class are in one component, on both maps: a run of right pixels lies in one pair of objects.
    """
    begins = np.ones(labels.shape, bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=begins[:, 1:])
    places = np.flatnonzero(begins)
    length = np.diff(places, append=labels.size)
    kept = labels.ravel()[places] != OUTSIDE
    y, x = np.divmod(places[kept], labels.shape[1])
    return y, x, length[kept]


def object_scores(counts: ObjectCounts) -> dict[str, Any]:
    """Scores of summed counts.

    Returns:
        bins×K lists: ``objects``; ``recall``: share of their pixels called right; ``IoU``: mean of the objects;
        ``found``: share of objects with an IoU of at least one half; ``predicted``: objects of that size on the map;
        ``false``: share of these without one right pixel. NaN where there is no object.
    """
    objects, pixels, hits, found = np.moveaxis(counts.truth, -1, 0)
    predicted, _, lone = np.moveaxis(counts.predicted, -1, 0)

    def share(part: np.ndarray, whole: np.ndarray) -> list[list[float]]:
        return np.divide(part, whole, out=np.full(part.shape, math.nan), where=whole > 0).tolist()

    return {
        "objects": objects.tolist(), "recall": share(hits, pixels), "IoU": share(counts.iou, objects),
        "found": share(found, objects), "predicted": predicted.tolist(), "false": share(lone, predicted),
    }  # fmt: skip
