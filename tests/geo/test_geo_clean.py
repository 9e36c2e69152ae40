"""Small holes filled and small regions absorbed, row block by row block, as on the whole map."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_rsseg.geo.clean import absorb, fill_holes
from paddle_rsseg.geo.trace import number_regions

NODATA = 255
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def whole_fill(labels, pixels, order, nodata=NODATA):
    """The rule on a whole map, in the fewest words."""
    labels = labels.copy()
    for label in order:
        mask = (labels != label) & (labels != nodata)
        count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
        for piece in range(1, count):
            own = numbers == piece
            touched = cv2.dilate(own.astype(np.uint8), CROSS) > 0
            if own.sum() < pixels and (labels[touched] == label).any():
                labels[own] = label
    return labels


def whole_absorb(labels, smallest, order, areas=None, nodata=NODATA):
    labels = labels.copy()
    areas = np.ones(len(labels)) if areas is None else areas
    for label in order:
        numbers, count = number_regions(labels)
        before = labels.copy()
        for region in range(count):
            own = numbers == region
            if before[own][0] != label or (own * areas[:, None]).sum() >= smallest:
                continue
            sides = np.zeros(256, int)
            for y, x in zip(*np.nonzero(own), strict=True):
                for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    if 0 <= v < len(labels) and 0 <= u < labels.shape[1] and not own[v, u] and before[v, u] != nodata:
                        sides[before[v, u]] += 1
            if sides.any():
                labels[own] = sides.argmax()
    return labels


def cut(labels, heights):
    """Blocks of these heights, again and again."""
    y = i = 0
    while y < len(labels):
        yield labels[y : y + heights[i % len(heights)]]
        y, i = y + heights[i % len(heights)], i + 1


maps = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(1, 24), st.integers(1, 14), st.integers(2, 4), st.sampled_from([0, 3, 5])
)
heights = st.lists(st.integers(1, 9), min_size=1, max_size=3)


def make(case):
    """A random map: noise, or noise that was smoothed; some pixels without data."""
    seed, height, width, classes, smooth = case
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (height, width)).astype(np.uint8)
    if smooth:
        labels = cv2.medianBlur(labels, smooth)
    labels[rng.random(labels.shape) < 0.05] = NODATA
    return labels


@settings(max_examples=150, deadline=None)
@given(maps, heights, st.integers(1, 30))
def test_filled_holes_are_those_of_the_whole_map(case, heights, pixels):
    labels = make(case)
    before = labels.copy()
    rows = list(fill_holes(cut(labels, heights), pixels, range(4), NODATA))
    np.testing.assert_array_equal(np.concatenate(rows), whole_fill(labels, pixels, range(4)))
    np.testing.assert_array_equal(labels, before)  # the caller's rows are not written to


@settings(max_examples=150, deadline=None)
@given(maps, heights, st.integers(1, 30), st.booleans())
def test_absorbed_regions_are_those_of_the_whole_map(case, heights, smallest, uneven):
    labels = make(case)
    areas = np.linspace(0.5, 1.5, len(labels)) if uneven else None
    rows = np.concatenate(list(absorb(cut(labels, heights), smallest, range(4), NODATA, areas)))
    np.testing.assert_array_equal(rows, whole_absorb(labels, smallest, range(4), areas))
    np.testing.assert_array_equal(rows == NODATA, labels == NODATA)


@settings(max_examples=60, deadline=None)
@given(maps, st.integers(1, 30))
def test_after_one_turn_no_small_region_has_a_neighbour(case, smallest):
    labels = np.concatenate(list(absorb([make(case)], smallest, range(4), NODATA)))
    numbers, count = number_regions(labels)
    for region in range(count):
        own = numbers == region
        if labels[own][0] == NODATA or own.sum() >= smallest:
            continue
        around = cv2.dilate(own.astype(np.uint8), CROSS) > 0
        assert (labels[around & ~own] == NODATA).all()


def test_worked_example_of_filling():
    """4-connected, at the border too, later labels win; what has exactly so many pixels stays."""
    labels = np.array(
        [
            [2, 1, 1, 1, 1, 1],
            [1, 1, 2, 1, 3, 3],
            [1, 1, 1, 2, 1, 3],
            [1, 1, 1, 1, 1, 1],
        ],
        np.uint8,
    )
    filled = np.concatenate(list(fill_holes(cut(labels, [1]), 3, [1, 2, 3], NODATA)))
    expected = np.ones_like(labels)
    expected[1, 4:] = expected[2, 5] = 3  # three pixels: not fewer than three
    np.testing.assert_array_equal(filled, expected)


def test_an_island_among_pixels_without_data_is_no_hole_of_an_absent_label():
    labels = np.full((5, 5), NODATA, np.uint8)
    labels[2, 1:4] = 1, 2, 2
    filled = np.concatenate(list(fill_holes([labels], 50, range(4), NODATA)))
    assert filled[2].tolist() == [NODATA, 1, 1, 1, NODATA]  # not 3, as a rule without touching would have it
    assert (filled == NODATA).sum() == 22


def test_rows_are_held_back_only_while_a_small_piece_may_grow():
    """Memory is what is held back: a wide background never is."""
    labels = np.zeros((400, 8), np.uint8)
    labels[10:14, 3] = 1
    seen, most = 0, 0

    def counted():
        nonlocal seen
        for y in range(0, 400, 10):
            seen += 10
            yield labels[y : y + 10]

    given_on = 0
    for block in fill_holes(counted(), 50, range(2), NODATA):
        given_on += len(block)
        most = max(most, seen - given_on)
    assert given_on == 400
    assert most <= 60


@pytest.mark.parametrize(
    "function", [lambda rows: fill_holes(rows, 50, [0], 255), lambda rows: absorb(rows, 5, [0], 255)]
)
def test_no_rows_give_no_rows(function):
    assert list(function([])) == []
