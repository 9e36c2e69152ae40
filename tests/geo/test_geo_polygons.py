"""Polygons of a label map, made block by block: those of the whole map; simplified: still a coverage."""

from __future__ import annotations

from collections import defaultdict

import cv2
import numpy as np
import pytest
import rasterio.features
from hypothesis import given, settings
from hypothesis import strategies as st

shapely = pytest.importorskip("shapely")

from paddle_rsseg.geo.polygons import block_rows, polygons  # noqa: E402
from paddle_rsseg.geo.trace import number_regions  # noqa: E402

NODATA = 255
maps = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(1, 24), st.integers(1, 24), st.integers(2, 4), st.sampled_from([0, 3, 5])
)


def make(case, holes=0.05):
    """A random map: noise, or noise that was smoothed; some pixels without data."""
    seed, height, width, classes, smooth = case
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (height, width)).astype(np.uint8)
    if smooth:
        labels = cv2.medianBlur(labels, smooth)
    labels[rng.random(labels.shape) < holes] = NODATA
    return labels


def collect(labels, block=None, areas=None, wanted=range(4), **options):
    """(shapes, labels, areas, means) of all polygons."""
    areas = np.ones(len(labels)) if areas is None else areas
    parts = list(polygons([labels], areas, wanted, block=block, **options))
    if not parts:
        return np.zeros(0, object), np.zeros(0, int), np.zeros(0), np.zeros(0)
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def by_label(shapes, labels):
    found = defaultdict(list)
    for shape, label in zip(shapes, labels, strict=True):
        found[int(label)].append(shape)
    return found


def same_sets(one, other):
    """Both hold the same polygons, in any order, with any collinear vertices."""
    plain = [sorted(shapely.to_wkb(shapely.normalize(shapely.simplify(list(s), 0)))) for s in (one, other)]
    if plain[0] == plain[1]:
        return True
    # a ring may be cut into shell and holes in another way where it touches itself
    tree = shapely.STRtree(other)
    matched = [{int(i) for i in tree.query(shape, "intersects") if shapely.equals(shape, other[i])} for shape in one]
    return len(one) == len(other) and len(set().union(*matched)) == len(other) and all(matched)


@settings(max_examples=100, deadline=None)
@given(maps, st.integers(1, 25))
def test_polygons_are_those_of_the_whole_map(case, block):
    labels = make(case)
    shapes, of, areas, _ = collect(labels, block)
    truth = list(rasterio.features.shapes(labels, mask=labels != NODATA, connectivity=4))
    mine = by_label(shapes, of)
    theirs = by_label([shapely.geometry.shape(shape) for shape, _ in truth], [value for _, value in truth])
    assert mine.keys() == theirs.keys()
    assert all(same_sets(mine[label], theirs[label]) for label in mine)
    assert shapely.is_valid(shapes).all()
    np.testing.assert_array_equal(areas, shapely.area(shapes))
    if len(shapes):
        drawn = rasterio.features.rasterize(zip(shapes, of, strict=True), labels.shape, NODATA, dtype="uint8")
        np.testing.assert_array_equal(drawn, labels)


@settings(max_examples=100, deadline=None)
@given(maps, st.integers(1, 25), st.sampled_from([0.3, 0.8, 1.0, 1.6, 3.0, 50.0]))
def test_simplified_polygons_are_a_coverage_with_the_same_neighbours(case, block, tolerance):
    labels = make(case)
    height, width = labels.shape
    shapes, of, areas, _ = collect(labels, block, wanted=range(256), simplify=lambda row: (tolerance, 1.0, 1.0))
    exact, exact_of, exact_areas, _ = collect(labels, wanted=range(256))
    assert shapely.is_valid(shapes).all()
    assert (shapely.get_type_id(shapes) == 3).all()
    assert shapely.coverage_is_valid(shapes)  # no overlap, no gap of vertices
    assert shapely.area(shapes).sum() == height * width
    assert shapely.equals(shapely.union_all(shapes), shapely.box(0, 0, width, height))
    assert (shapely.area(shapes) > 0).all()
    # attributes are those of the pixels
    np.testing.assert_array_equal(np.sort(areas), np.sort(exact_areas))
    assert shapely.get_num_coordinates(shapes).sum() <= shapely.get_num_coordinates(exact).sum() + 4 * height * width
    assert contacts(shapes, of, areas) == contacts(exact, exact_of, exact_areas)
    assert sorted(shapely.get_num_interior_rings(shapes)) == sorted(shapely.get_num_interior_rings(exact))


@settings(max_examples=30, deadline=None)
@given(maps, st.integers(1, 25))
def test_classes_that_are_not_written_hold_the_borders_all_the_same(case, block):
    labels = make(case)
    some, of, _, _ = collect(labels, block, wanted=[1], simplify=lambda row: (1.5, 1.0, 1.0))
    shapes, labels_of, _, _ = collect(labels, block, wanted=range(256), simplify=lambda row: (1.5, 1.0, 1.0))
    assert (of == 1).all()
    assert sorted(shapely.to_wkb(some)) == sorted(shapely.to_wkb(shapes[labels_of == 1]))


@settings(max_examples=30, deadline=None)
@given(maps, st.integers(1, 25), st.floats(0.1, 20), st.floats(0.1, 20))
def test_pixels_that_are_not_square_keep_their_whole_numbers(case, block, width, height):
    shapes, _, _, _ = collect(make(case), block, wanted=range(256), simplify=lambda row: (width, width, height))
    corners = shapely.get_coordinates(shapes)
    np.testing.assert_array_equal(corners, np.rint(corners))
    assert shapely.coverage_is_valid(shapes)


def contacts(shapes, labels, areas):
    """For every pair of regions that share a border, what they are; a region is told by label and area."""
    tree = shapely.STRtree(shapes)
    pairs = tree.query(shapes, "intersects").T
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    shared = shapely.length(
        shapely.intersection(shapely.boundary(shapes[pairs[:, 0]]), shapely.boundary(shapes[pairs[:, 1]]))
    )
    kind = [(int(label), float(area)) for label, area in zip(labels, areas, strict=True)]
    return sorted(tuple(sorted((kind[i], kind[j]))) for (i, j), length in zip(pairs, shared, strict=True) if length > 0)


@settings(max_examples=60, deadline=None)
@given(maps, st.integers(1, 25), st.integers(0, 20))
def test_small_regions_are_left_out_and_means_are_right(case, block, smallest):
    labels = make(case)
    rng = np.random.default_rng(case[0])
    values = rng.random(labels.shape)
    values[rng.random(labels.shape) < 0.2] = np.nan
    row_area = rng.uniform(0.5, 2, len(labels))
    shapes, of, areas, means = collect(
        labels, block, row_area, wanted=[0, 2], smallest=smallest, values=lambda y0, y1: values[y0:y1]
    )
    numbers, count = number_regions(labels)
    expected = []
    for region in range(count):
        own = numbers == region
        area = (own * row_area[:, None]).sum()
        if labels[own][0] in (0, 2) and area >= smallest:
            seen = values[own][~np.isnan(values[own])]
            expected.append((labels[own][0], own.sum(), area, seen.mean() if len(seen) else -1))
    found = list(zip(of, shapely.area(shapes), areas, np.nan_to_num(means, nan=-1), strict=True))
    assert len(found) == len(expected)
    if found:
        np.testing.assert_allclose(sorted(found), sorted(expected), rtol=1e-9)


def test_holes_and_touching_corners():
    labels = np.array(
        [
            [1, 1, 1, 1, 0],
            [1, 0, 1, 1, 1],
            [1, 1, 0, 0, 1],
            [1, 1, 1, 1, 1],
            [0, 1, 1, 1, 0],
        ],
        np.uint8,
    )
    shapes, of, _, _ = collect(labels, block=2)
    assert sorted(zip(of.tolist(), shapely.area(shapes).tolist(), strict=True)) == [
        (0, 1), (0, 1), (0, 1), (0, 1), (0, 2), (1, 19),
    ]  # fmt: skip
    ring = shapes[of == 1][0]
    assert shapely.get_num_interior_rings(ring) == 2  # they touch at a corner and stay two
    assert shapely.is_valid(ring)


def test_a_straight_staircase_becomes_a_straight_line():
    labels = (np.add.outer(np.arange(64), np.arange(64)) > 63).astype(np.uint8)
    shapes, _, _, _ = collect(labels, block=64, simplify=lambda row: (1.0, 1.0, 1.0))
    assert shapely.get_num_coordinates(shapes).max() <= 7


def test_neighbours_have_the_same_vertices():
    """Where a third region begins all three have a vertex, so no gap opens when vertices are moved."""
    labels = np.repeat(np.array([[0, 0, 0, 0], [1, 1, 2, 2]], np.uint8), 3, axis=0)
    shapes, of, _, _ = collect(labels, block=3)
    assert (2, 3) in set(shapes[of == 0][0].exterior.coords)


def test_blocks_of_wide_maps_are_lower():
    assert block_rows(1000) == 512
    assert block_rows(20_000) == 96
    assert block_rows(10**6) == 64
