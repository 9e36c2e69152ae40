"""Outlines of the regions of a label map, exact to the pixel.

A *region* is a set of pixels of one label that hang together by their sides (4-connectivity). Its outline runs along
the cracks between pixels, so its corners are points of the pixel lattice: column x from 0 to the width, row y from 0
to the height. Two regions that touch have exactly the same vertices along their common border: the corners, and the
points where a third region begins. Only so do they stay neighbours when vertices are moved, by a simplification or
into another coordinate system.

Everything is done by array operations over all cracks at once; the time a pixel costs does not depend on how many
regions there are.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

#: lies beside the image: no label
OUTSIDE = -1
#: added to the labels of rows beyond a block, so that the block is cut off from them
BEYOND = 256


def number_regions(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """H×W labels → H×W int32 numbers of the regions from 0, and how many there are."""
    height, width = labels.shape
    # OpenCV joins pixels that are not 0. On a lattice with the cracks between the pixels, a crack is 1 where both sides
    # have one label, and corners are 0: what hangs together there are the regions of all labels at once.
    joined = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    joined[::2, ::2] = 1
    joined[::2, 1::2] = labels[:, 1:] == labels[:, :-1]
    joined[1::2, ::2] = labels[1:] == labels[:-1]
    count, numbers = cv2.connectedComponents(joined, connectivity=4, ltype=cv2.CV_32S)
    return numbers[::2, ::2] - 1, count - 1


class Rings(NamedTuple):
    """Closed lines along cracks, each with its region at the right hand of who walks along it.

    Attributes:
        vertices: N×2 int32 (x, y) of the lattice, ring after ring; the first of a ring is not repeated at its end.
        starts: of each ring in ``vertices``.
        regions: of each ring.
        holes: is it a hole in its region? Otherwise it is the outer ring, of which every region has one.
    """

    vertices: np.ndarray
    starts: np.ndarray
    regions: np.ndarray
    holes: np.ndarray

    def chosen(self, wanted: np.ndarray) -> Rings:
        """Those rings only; ``wanted`` is one bool a ring."""
        lengths = np.diff(self.starts, append=len(self.vertices))
        kept = lengths[wanted]
        return Rings(
            self.vertices[np.repeat(wanted, lengths)],
            np.cumsum(kept) - kept,
            self.regions[wanted],
            self.holes[wanted],
        )


def trace(
    labels: np.ndarray, numbers: np.ndarray, above: np.ndarray | None = None, below: np.ndarray | None = None
) -> Rings:
    """The outlines of all regions of a block of rows, which are cut off at its edges.

    Args:
        labels: H×W uint8.
        numbers: of the regions, see :func:`number_regions`.
        above, below: labels of the rows beyond the block, None at the edge of the image. Where they change, the
            outlines have a vertex, so that those of the next block fit.
    """
    height, width = labels.shape
    around = np.full((height + 2, width + 2), OUTSIDE, np.int16)
    around[1:-1, 1:-1] = labels
    for row, context in ((0, above), (-1, below)):
        if context is not None:
            around[row, 1:-1] = context.astype(np.int16) + BEYOND

    sides = _straight_sides(around)
    leaving = _leaving(sides, height, width)
    following = _next_sides(sides, leaving, width)
    _part_at_touches(following, sides, leaving, around)
    ring_of, place, lengths, first = cycles(following)
    starts = np.cumsum(lengths) - lengths
    x, y = _beginnings(sides)
    vertices = np.empty((len(x), 2), np.int32)
    vertices[starts[ring_of] + place] = np.stack([x, y], axis=1)

    # The side with the lowest number goes east, so the region lies below it; what lies below the block is no region.
    inside = sides.y[first] < height
    regions = np.full(len(first), -1, np.int32)
    regions[inside] = numbers[sides.y[first[inside]], sides.x0[first[inside]]]
    return Rings(vertices, starts, regions, turns_left(vertices, starts, lengths)).chosen(inside)


class _Sides(NamedTuple):
    """Straight cracks between two vertices: horizontal ones (y, x0, x1) and vertical ones (x, y0, y1).

    Both sides of a crack are walked along, in opposite directions. Of h horizontal and v vertical ones the sides are
    numbered: east 0…h, west h…2h, south 2h…2h+v, north 2h+v…2h+2v.
    """

    y: np.ndarray
    x0: np.ndarray
    x1: np.ndarray
    x: np.ndarray
    y0: np.ndarray
    y1: np.ndarray


def _straight_sides(around: np.ndarray) -> _Sides:
    """Of a block with a frame of one pixel. A vertex is where cracks of both directions meet."""
    across = around[1:, 1:-1] != around[:-1, 1:-1]  # between a pixel and the one above, (height + 1) × width
    upright = around[:, 1:] != around[:, :-1]  # between a pixel and the one to its left, (height + 2) × (width + 1)
    meets = upright[:-1] | upright[1:]  # at each corner, (height + 1) × (width + 1)
    y, x0 = np.nonzero(across & meets[:, :-1])
    # beginnings and ends are both found from left to right, and cracks on one line do not overlap: the n-th end belongs
    # to the n-th beginning
    x1 = np.nonzero(across & meets[:, 1:])[1] + 1
    upright = upright[1:-1]
    meets = np.pad(across, ((0, 0), (1, 0))) | np.pad(across, ((0, 0), (0, 1)))
    x, y0 = np.nonzero(np.ascontiguousarray((upright & meets[:-1]).T))
    y1 = np.nonzero(np.ascontiguousarray((upright & meets[1:]).T))[1] + 1
    return _Sides(*(part.astype(np.int32) for part in (y, x0, x1, x, y0, y1)))


def _beginnings(sides: _Sides) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) where each side begins, in their order."""
    x = np.concatenate([sides.x0, sides.x1, sides.x, sides.x])
    return x, np.concatenate([sides.y, sides.y, sides.y0, sides.y1])


class _Leaving(NamedTuple):
    """Corner (y · (width + 1) + x) → number of the side that leaves it in that direction, -1 where none does."""

    east: np.ndarray
    south: np.ndarray
    west: np.ndarray
    north: np.ndarray


def _leaving(sides: _Sides, height: int, width: int) -> _Leaving:
    h, v, row = len(sides.y), len(sides.x), width + 1

    def table(corners: np.ndarray, first: int) -> np.ndarray:
        numbers = np.full((height + 1) * row, -1, np.int32)
        numbers[corners] = np.arange(first, first + len(corners), dtype=np.int32)
        return numbers

    return _Leaving(
        table(sides.y * row + sides.x0, 0),
        table(sides.y0 * row + sides.x, 2 * h),
        table(sides.y * row + sides.x1, h),
        table(sides.y1 * row + sides.x, 2 * h + v),
    )


def _next_sides(sides: _Sides, leaving: _Leaving, width: int) -> np.ndarray:
    """The side that follows each: to the right if there is a crack, else straight on, else to the left.

    The region lies at the right hand. To turn right first is what keeps pixels that touch by a corner apart.
    """
    row = width + 1
    ends = sides.y * row + sides.x1, sides.y1 * row + sides.x, sides.y * row + sides.x0, sides.y0 * row + sides.x
    following = []
    for heading, corners in enumerate(ends):  # east, south, west, north
        found = leaving[(heading + 1) % 4][corners]
        for turn in (heading, heading - 1):
            found = np.where(found < 0, leaving[turn % 4][corners], found)
        following.append(found)
    h, v = following[:3:2], following[1::2]
    return np.concatenate([*h, *v])


def _part_at_touches(following: np.ndarray, sides: _Sides, leaving: _Leaving, around: np.ndarray) -> None:
    """Where a ring touches itself at a corner, make two rings of it, which touch there; in place.

    So a region that closes around others but for a corner gets a hole, as simple features demand. A ring touches
    itself from one side only, so several such corners do not disturb each other.
    """
    h, v = len(sides.y), len(sides.x)
    north_west, north_east = around[:-1, :-1], around[:-1, 1:]
    south_west, south_east = around[1:, :-1], around[1:, 1:]
    cross = (north_west != north_east) & (north_west != south_west) & (south_east != north_east)
    cross &= south_east != south_west
    falling = np.flatnonzero(cross & (north_west == south_east))
    rising = np.flatnonzero(cross & (north_east == south_west))
    # a side that arrives at a corner is the one that leaves it the other way, walked along in the other direction
    one = np.concatenate([leaving.north[falling] - v, leaving.west[rising] - h])  # arriving southwards, eastwards
    other = np.concatenate([leaving.south[falling] + v, leaving.east[rising] + h])  # arriving northwards, westwards
    if not len(one):
        return
    ring = lowest_of_cycle(following)
    itself = ring[one] == ring[other]
    one, other = one[itself], other[itself]
    following[one], following[other] = following[other], following[one]


def lowest_of_cycle(following: np.ndarray) -> np.ndarray:
    """The lowest element of the cycle of each, found for all at once by doubling the stride."""
    lowest, jump = np.arange(len(following), dtype=np.int32), following
    while True:
        seen = np.minimum(lowest, lowest[jump])
        if np.array_equal(seen, lowest):
            return lowest
        lowest, jump = seen, jump[jump]


def cycles(following: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The cycles of a permutation.

    Returns:
        Cycle of each element and its place in it; length of each cycle, and its first element, the lowest.
    """
    lowest = lowest_of_cycle(following)
    # how far it is to the last element, by doubling the stride again
    last = following == lowest
    ahead = np.where(last, 0, 1).astype(np.int32)
    jump = np.where(last, np.arange(len(following), dtype=np.int32), following)
    while True:
        further = ahead[jump]
        if not further.any():
            break
        ahead, jump = ahead + further, jump[jump]
    first = np.flatnonzero(lowest == np.arange(len(lowest)))
    lengths = ahead[first] + 1
    number = np.empty(len(following), np.int32)
    number[first] = np.arange(len(first), dtype=np.int32)
    cycle = number[lowest]
    return cycle, lengths[cycle] - 1 - ahead, lengths, first


def turns_left(vertices: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Which rings go around what is not theirs: their signed area is negative (y points down)."""
    if not len(starts):
        return np.zeros(0, bool)
    after = np.arange(1, len(vertices) + 1)
    after[starts + lengths - 1] = starts
    x, y = vertices.astype(np.int64).T
    return np.add.reduceat(x * y[after] - x[after] * y, starts) < 0
