"""From the rows of a label map to polygons, block by block.

A region that ends within a block is a finished polygon. One that goes on in the next block is kept open: its parts are
collected, with what has been measured of it, and joined when it ends. So memory follows the width of the map, the
height of a block and the regions that are open at its lower edge; time follows the pixels and the corners.

**Simplification.** Within a block, the borders of all regions are simplified together (shapely's ``coverage_simplify``,
Visvalingam and Whyatt's algorithm with checks: a corner is removed, the flattest first, while the triangle it spans
with its neighbours is small and free of other borders). Points where three regions meet, and points on the edges of the
block, stay where they are. So neighbours keep the same border, no two borders cross, no region vanishes, none gets a
neighbour it did not have; across blocks, too, since what lies on their edges is exactly as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from paddle_rsseg.geo.seams import join_parts
from paddle_rsseg.geo.trace import Rings, number_regions, trace

#: pixels of a block: what its arrays need is about 60 bytes a pixel, 300 in noise
BLOCK = 1 << 21
MIN_ROWS, MAX_ROWS = 64, 512


class Polygons(NamedTuple):
    """Finished regions.

    Attributes:
        shapes: N shapely polygons in pixel coordinates, x columns and y rows; every vertex is a corner of a pixel.
        labels: of each, N uint8.
        areas: sum of the areas of its pixels, N float64.
        means: mean of ``values`` over its pixels that have one, N float64; NaN if none has.
    """

    shapes: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    means: np.ndarray


def block_rows(width: int) -> int:
    """Rows of the blocks in which a map of this width is worked on. It decides where borders cannot be simplified."""
    return int(np.clip(BLOCK // max(width, 1) // 32 * 32, MIN_ROWS, MAX_ROWS))


def polygons(
    rows: Iterable[np.ndarray],
    row_area: np.ndarray,
    wanted: Collection[int],
    smallest: float = 0.0,
    values: Callable[[int, int], np.ndarray] | None = None,
    simplify: Callable[[int], tuple[float, float, float]] | None = None,
    block: int | None = None,
) -> Iterator[Polygons]:
    """The 4-connected regions of a label map.

    Args:
        rows: blocks h×W uint8 from top to bottom, of any heights.
        row_area: area of a pixel of each row.
        wanted: labels of the regions to give; nothing is made of the others.
        smallest: regions of a smaller area are left out.
        values: ``values(y0, y1)`` gives h×W numbers of those rows to take the mean of, NaN where there is none.
        simplify: ``simplify(row)`` gives a tolerance, and the width and height of a pixel near that row in the unit of
            the tolerance. A corner goes if its triangle has less area than the square of the tolerance.
        block: rows of a block; None: :func:`block_rows`. The regions do not depend on it, their simplified borders do.

    Yields:
        What is finished at the end of each block.
    """
    is_wanted = np.zeros(256, bool)
    is_wanted[list(wanted)] = True
    seam = _Seam()
    top = 0
    for above, labels, below in _blocks(rows, block):
        end = top + len(labels)
        numbers, count = number_regions(labels)
        measured = _measure(labels, numbers, count, row_area[top:end], values(top, end) if values else None)
        goes_on = np.zeros(count, bool)
        if above is not None:
            goes_on[numbers[0][above == labels[0]]] = True
        if below is not None:
            goes_on[numbers[-1][below == labels[-1]]] = True
        kept = is_wanted[measured.labels] & (goes_on | (measured.areas >= smallest))
        shapes = _shapes(trace(labels, numbers, above, below), kept, simplify(top) if simplify else None, top)
        whole = np.flatnonzero(kept & ~goes_on)
        if len(whole):
            yield Polygons(shapes[whole], measured.labels[whole], measured.areas[whole], measured.means()[whole])
        yield from seam.join(labels, numbers, measured, shapes, kept & goes_on, above, below, smallest)
        top = end


class _Measured(NamedTuple):
    """Of each region of a block."""

    labels: np.ndarray
    areas: np.ndarray
    sums: np.ndarray
    counts: np.ndarray

    def means(self) -> np.ndarray:
        return self.sums / np.where(self.counts > 0, self.counts, np.nan)


def _measure(
    labels: np.ndarray, numbers: np.ndarray, count: int, row_area: np.ndarray, values: np.ndarray | None
) -> _Measured:
    flat = numbers.ravel()
    of_region = np.empty(count, np.uint8)
    of_region[flat] = labels.ravel()
    if (row_area == row_area[0]).all():
        areas = np.bincount(flat, minlength=count) * row_area[0]
    else:
        areas = np.bincount(flat, np.repeat(row_area, labels.shape[1]), minlength=count)
    if values is None:
        nothing = np.zeros(count)
        return _Measured(of_region, areas, nothing, nothing)
    there = ~np.isnan(values)
    counts = np.bincount(numbers[there], minlength=count)
    return _Measured(of_region, areas, np.bincount(numbers[there], values[there], minlength=count), counts)


def _shapes(rings: Rings, kept: np.ndarray, simplify: tuple[float, float, float] | None, top: int) -> np.ndarray:
    """Polygons of the kept regions at their numbers, None at the others, in pixel coordinates of the whole map."""
    import shapely

    if simplify is None:  # otherwise the others are neighbours that count
        rings = rings.chosen(kept[rings.regions])
    order = np.lexsort((rings.holes, rings.regions))
    ring = np.repeat(np.arange(len(rings.starts)), np.diff(rings.starts, append=len(rings.vertices)))
    there, region = np.unique(rings.regions[order], return_inverse=True)
    scale = np.array([1.0, 1.0] if simplify is None else simplify[1:])
    made = shapely.linearrings(rings.vertices * scale, indices=ring)[order] if len(ring) else np.zeros(0, object)
    found = shapely.polygons(made, indices=region) if len(ring) else made
    if simplify is not None:
        found = shapely.coverage_simplify(found, simplify[0], simplify_boundary=False)
        # no vertex has moved, some have gone: rounding gives them their whole numbers back
        found = shapely.transform(found, lambda at: np.rint(at / scale))
    shapes = np.full(len(kept), None, object)
    shapes[there] = shapely.transform(found, lambda at: at + np.array([0, top]))
    return shapes


@dataclass
class _Open:
    """A region that may go on below."""

    label: int
    area: float
    sum: float
    count: float
    parts: list[Any]

    def add(self, other: _Open) -> None:
        self.area += other.area
        self.sum += other.sum
        self.count += other.count
        self.parts += other.parts


class _Seam:
    """The regions that are open at the lower edge of the last block."""

    def __init__(self) -> None:
        self.open: list[_Open] = []
        self.at: np.ndarray = np.zeros(0, np.int32)  # number of the open region of each pixel of the edge, -1: none

    def join(
        self,
        labels: np.ndarray,
        numbers: np.ndarray,
        measured: _Measured,
        shapes: np.ndarray,
        open_here: np.ndarray,
        above: np.ndarray | None,
        below: np.ndarray | None,
        smallest: float,
    ) -> Iterator[Polygons]:
        """Put the open regions of a block together with those above; give those that end here."""
        # one set of numbers: the open ones from above, then those of this block
        before = len(self.open)
        members = np.flatnonzero(open_here)
        number = np.full(len(open_here), -1, np.int64)
        number[members] = before + np.arange(len(members))
        groups = _Groups(before + len(members))
        if above is not None and before:
            meets = (self.at >= 0) & (above == labels[0])
            for one, other in np.unique(np.stack([self.at[meets], number[numbers[0][meets]]], axis=1), axis=0):
                groups.join(int(one), int(other))
        here = [
            _Open(
                int(measured.labels[region]), measured.areas[region], measured.sums[region], measured.counts[region],
                [shapes[region]],
            )
            for region in members
        ]  # fmt: skip
        found: dict[int, _Open] = {}
        for i, region in enumerate([*self.open, *here]):
            root = groups.root(i)
            if root in found:
                found[root].add(region)
            else:
                found[root] = region

        ends = dict(found)
        self.open, self.at = [], np.full(labels.shape[1], -1, np.int32)
        if below is not None:
            edge = np.where(below == labels[-1], number[numbers[-1]], -1)
            place = np.full(before + len(members), -1, np.int32)
            for i in np.unique(edge[edge >= 0]):
                root = groups.root(int(i))
                if root in ends:
                    place[root] = len(self.open)
                    self.open.append(ends.pop(root))
                place[i] = place[root]
            self.at[edge >= 0] = place[edge[edge >= 0]]
        done = [region for region in ends.values() if region.area >= smallest]
        if done:
            means = [region.sum / region.count if region.count else np.nan for region in done]
            parts = np.array([part for region in done for part in region.parts], object)
            whole = join_parts(parts, np.repeat(np.arange(len(done)), [len(region.parts) for region in done]))
            yield Polygons(
                whole,
                np.array([region.label for region in done], np.uint8),
                np.array([region.area for region in done]),
                np.array(means),
            )


class _Groups:
    """Numbers that belong together (union-find)."""

    def __init__(self, count: int):
        self.parent = list(range(count))

    def root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, one: int, other: int) -> None:
        one, other = self.root(one), self.root(other)
        self.parent[max(one, other)] = min(one, other)


def _blocks(
    rows: Iterable[np.ndarray], height: int | None
) -> Iterator[tuple[np.ndarray | None, np.ndarray, np.ndarray | None]]:
    """(row above, block of ``height`` rows, row below); no row above the first block and below the last."""
    above: np.ndarray | None = None
    held: list[np.ndarray] = []
    count = 0
    for part in rows:
        wanted = block_rows(part.shape[1]) if height is None else height
        held.append(part)
        count += len(part)
        if count <= wanted:
            continue
        ready = np.concatenate(held)
        y = 0
        while len(ready) - y > wanted:
            yield above, ready[y : y + wanted], ready[y + wanted]
            y += wanted
            above = ready[y - 1]
        held, count = [ready[y:]], len(ready) - y
    if count:
        yield above, np.concatenate(held), None
