"""Units tile the bands of every scene; their size is the best of a simple model."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.inference.units import WASTE, Extent, Unit, cut, extent, shares, unit_size

EXTENTS = st.lists(st.builds(Extent, st.integers(1, 60), st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=9)


def bands(units) -> list[int]:
    return [band for unit in units for band in range(unit.first, unit.last)]


@given(st.integers(0, 60), st.sets(st.integers(0, 59)), st.integers(1, 70))
def test_units_hold_every_unfinished_band_once(count, finished, size):
    units = list(cut(3, count, finished, size))
    assert bands(units) == [band for band in range(count) if band not in finished]
    assert all(unit.scene == 3 and 0 < unit.last - unit.first <= size for unit in units)
    for before, after in pairwise(units):  # none could have been larger
        assert before.last - before.first == size or before.last in finished or after.first > before.last


@given(EXTENTS, st.integers(1, 12))
def test_shares_hold_every_band_once_and_in_order(extents, workers):
    found = shares(extents, workers)
    assert len(found) == workers
    units = [unit for share in found for unit in share]
    assert [(u.scene, b) for u in units for b in range(u.first, u.last)] == [
        (scene, band) for scene, e in enumerate(extents) for band in range(e.bands)
    ]
    assert len(units) <= len(extents) + workers - 1


@given(EXTENTS, st.integers(1, 12))
def test_shares_are_about_equal(extents, workers):
    costs = [sum((u.last - u.first) * extents[u.scene].columns for u in share) for share in shares(extents, workers)]
    dearest = max(e.columns for e in extents)
    assert max(costs) - min(costs) <= 2 * dearest


@given(EXTENTS, st.integers(1, 40))
def test_no_smaller_size_ends_earlier(extents, workers):
    size = unit_size(extents, workers)
    lead = max(e.lead for e in extents)

    def time(size):
        units = sum(len(list(cut(0, e.bands, (), size))) for e in extents)
        return -(-units // workers) * (size + lead)

    if not all(e.lead >= e.bands for e in extents):
        assert all(time(size) <= 1.02 * time(other) for other in range(1, size + 1))


def test_one_scene_is_shared_by_all_and_many_scenes_are_cut_coarsely():
    scene = Extent(39, 39, 1)  # 20,000 × 20,000 in windows of 896, one 512 apart
    assert unit_size([scene], 4) == 10
    assert unit_size([scene], 39) == 1
    many = unit_size([scene] * 1000, 8)
    assert scene.lead / (scene.lead + many) <= WASTE
    assert unit_size([Extent(400, 9, 0)] * 1000, 3) == 8


def test_what_reaches_in_from_above():
    assert extent(InferenceSpec(2, window=(896, 896), stride=(512, 512)), 20000, 10000, 39) == Extent(39, 19, 1)
    assert extent(InferenceSpec(2, window=(64, 64), stride=(16, 16)), 640, 64, 37).lead == 3
    assert extent(InferenceSpec(2, window=(64, 64), stride=(64, 64)), 640, 64, 10).lead == 0
    assert extent(InferenceSpec(2, window=(64, 64), stride=(16, 16)), 60, 60, 1) == Extent(1, 1, 0)
    assert extent(
        InferenceSpec(2, window=(64, 64), policy="expanded", margin=9, stride=(64, 64)), 640, 70, 10
    ) == Extent(10, 2, 0)


def test_an_image_that_is_seen_whole_is_one_unit():
    whole = extent(InferenceSpec(2, resize=(512, 512)), 5000, 5000, 10)
    size = unit_size([whole] * 3, 50)
    assert list(cut(0, whole.bands, (), size)) == [Unit(0, 0, 10)]


@pytest.mark.parametrize("extents", [[], [Extent(0)]])
def test_nothing_to_do(extents):
    assert unit_size(extents, 3) == 1
    assert shares(extents, 2) == [[], []]


def test_the_table_of_the_page():
    page = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
    table = page.split("| scenes | workers |")[1].split("\n\n")[0]
    rows = [[cell.strip(" %").replace(",", "") for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert len(rows) == 6
    window, assembly = 5.2, 29  # seconds
    scene = extent(InferenceSpec(2, window=(896, 896), stride=(512, 512)), 20000, 20000, 39)
    for row in rows:
        scenes, workers = int(row[0]), int(row[1])
        size = unit_size([scene] * scenes, workers)
        each = len(list(cut(0, scene.bands, (), size)))
        time = -(-scenes * each // workers) * (size + scene.lead) * scene.columns * window
        time += -(-scenes // workers) * assembly
        alone = scenes * (scene.bands * scene.columns * window + assembly)
        found = [scenes * each, size, round(100 * (each - 1) * scene.lead / scene.bands)]
        found += [round(time / 60), round(100 * alone / workers / time)]
        assert [int(cell.removesuffix(" min")) for cell in row[2:]] == found
