"""Label maps without specks: small holes filled, small regions absorbed; a block of rows at a time.

Each function takes the rows of a map as an iterator of blocks, h×W uint8 from top to bottom in any heights, and gives
them on as such. Rows are held back only while a small piece that reaches the last row seen may still grow; so the
result is that of the same rule on the whole map, and the memory is that of a block and the height of the largest
piece that is still small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import numpy as np

Rows = Iterable[np.ndarray]


def fill_holes(rows: Rows, pixels: int, labels: Sequence[int], nodata: int) -> Iterator[np.ndarray]:
    """For each label in turn, pieces of other labels of fewer than ``pixels`` pixels get that label.

    A piece hangs together by the sides of its pixels (4-connectivity), whatever their labels, and need not be
    enclosed: it may end at the edge of the map or at pixels without data. These are never filled and part pieces as
    the edge does. A later label sees, and may fill, what the earlier ones have left. This is ``post_process`` of
    NAIC_AI-RS (there with 50 pixels, and maps without nodata): scikit-image's ``remove_small_holes`` for one label
    after the other. One thing is added: a piece must touch the label, or a map, or an island among pixels without
    data, of fewer pixels than that would become the last label, even one that does not occur.
    """
    for label in labels:
        rows = _fill_one(rows, pixels, label, nodata)
    return iter(rows)


def _fill_one(rows: Rows, pixels: int, label: int, nodata: int) -> Iterator[np.ndarray]:
    def others(block: np.ndarray) -> np.ndarray:
        return (block != label) & (block != nodata)

    def fill(block: np.ndarray, numbers: np.ndarray, small: np.ndarray) -> None:
        touching = np.zeros(len(small), bool)
        for piece, beside in zip(_sides(numbers), _beside(block), strict=True):
            touching[piece[beside == label]] = True
        block[(small & touching)[numbers]] = label

    return _change_small(rows, others, fill, pixels)


def absorb(
    rows: Rows, smallest: float, labels: Sequence[int], nodata: int, row_area: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """For each label in turn, its regions below ``smallest`` become the label they have the longest border with.

    Border is counted in sides of pixels, with all regions of a label together, pixels without data and the edge of the
    map left out; among equals the lowest label wins. One turn of every label is enough: regions of a label that has
    had its turn only grow, so none below ``smallest`` is left but those that have no neighbour.

    Args:
        smallest: area that a region needs to stay, in the unit of ``row_area``.
        row_area: area of a pixel in each row of the map; None: 1.
    """
    for label in labels:
        rows = _absorb_one(rows, smallest, label, nodata, row_area)
    return iter(rows)


def _absorb_one(
    rows: Rows, smallest: float, label: int, nodata: int, row_area: np.ndarray | None
) -> Iterator[np.ndarray]:
    def become(block: np.ndarray, numbers: np.ndarray, small: np.ndarray) -> None:
        best = np.full(len(small), label, np.uint8)
        pieces, labels = _longest_border(block, numbers, small, nodata)
        best[pieces] = labels
        changed = small[numbers]
        block[changed] = best[numbers[changed]]

    return _change_small(rows, lambda block: block == label, become, smallest, row_area)


def _longest_border(
    block: np.ndarray, numbers: np.ndarray, small: np.ndarray, nodata: int
) -> tuple[np.ndarray, np.ndarray]:
    """The small pieces that have neighbours, and the label each shares most sides with."""
    found = []
    for piece, beside, label in zip(_sides(numbers), _beside(numbers), _beside(block), strict=True):
        border = small[piece] & (beside == 0) & (label != nodata)
        found.append(piece[border].astype(np.int64) * 256 + label[border])
    keys, sides = np.unique(np.concatenate(found), return_counts=True)
    pieces, labels = keys // 256, keys % 256
    order = np.lexsort((labels, -sides, pieces))
    pieces, labels = pieces[order], labels[order]
    first = np.diff(pieces, prepend=-1) > 0
    return pieces[first], labels[first]


def _sides(pixels: np.ndarray) -> tuple[np.ndarray, ...]:
    """The pixels that have a neighbour above, below, to the left, to the right."""
    return pixels[1:], pixels[:-1], pixels[:, 1:], pixels[:, :-1]


def _beside(pixels: np.ndarray) -> tuple[np.ndarray, ...]:
    """The neighbours of :func:`_sides`."""
    return pixels[:-1], pixels[1:], pixels[:, :-1], pixels[:, 1:]


def _change_small(
    rows: Rows,
    belongs: Callable[[np.ndarray], np.ndarray],
    change: Callable[[np.ndarray, np.ndarray, np.ndarray], None],
    smallest: float,
    row_area: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Apply ``change`` to all 4-connected pieces of the pixels that ``belong`` whose area is below ``smallest``.

    ``change(block, numbers, small)`` writes to ``block`` where ``small[numbers]``; what it writes does not belong.
    """
    if row_area is not None and (row_area == row_area[0]).all():
        smallest, row_area = smallest / row_area[0], None
    held: np.ndarray | None = None  # rows to look at again
    top = 0  # row of the map that is the first of them
    first = 0  # of them that was not given on yet: the one above it is kept, to know which pieces began higher up
    for block, more in _with_next(rows):
        buffer = block.copy() if held is None else np.concatenate([held, block])
        mask = belongs(buffer)
        until = len(buffer)
        if mask.any():
            areas = None if row_area is None else row_area[top : top + len(buffer)]
            until = _change_buffer(buffer, mask, first, more, change, smallest, areas)
        if until > first:
            yield buffer[first:until]
            top, held, first = top + until - 1, buffer[until - 1 :].copy(), 1
        else:
            held = buffer


def _change_buffer(
    buffer: np.ndarray,
    mask: np.ndarray,
    first: int,
    more: bool,
    change: Callable[[np.ndarray, np.ndarray, np.ndarray], None],
    smallest: float,
    row_area: np.ndarray | None,
) -> int:
    """Change the small pieces of ``mask`` that cannot grow; up to which row that is all there is to do."""
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    area: np.ndarray = stats[:, cv2.CC_STAT_AREA]
    if row_area is not None:
        area = np.bincount(numbers.ravel(), np.repeat(row_area, buffer.shape[1]), minlength=count)
    small = area < smallest
    small[0] = False  # what does not belong
    if first:
        small[numbers[0]] = False  # what was small in a row that was given on has been changed there
    until = len(buffer)
    if more:
        ends = stats[:, cv2.CC_STAT_TOP] + stats[:, cv2.CC_STAT_HEIGHT]
        growing = small & (ends == len(buffer))
        small &= ~growing
        until = int(stats[growing, cv2.CC_STAT_TOP].min(initial=until))
    if small.any():
        change(buffer, numbers, small)
    return until


def _with_next(blocks: Rows) -> Iterator[tuple[np.ndarray, bool]]:
    """Each block, and whether there is another after it."""
    blocks = iter(blocks)
    block = next(blocks, None)
    while block is not None:
        following = next(blocks, None)
        yield block, following is not None
        block = following
