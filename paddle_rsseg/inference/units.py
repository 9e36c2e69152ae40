"""Units of work: consecutive bands of a scene, which any process can compute in any order, and twice without harm.

One process, the ranks of a launcher and the workers of a cluster all do these; what they share is the journal of each
scene (:mod:`paddle_rsseg.inference.journal`), which keeps finished bands. Here is only the arithmetic of cutting.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from paddle_rsseg.inference.spec import InferenceSpec

#: of a unit's work at most this part may be windows computed again
WASTE = 0.1
#: bands that a unit holds at least where nothing is computed again, for a unit also opens a file and sends a message
LEAST = 8
#: what it costs to read a finished band, as a part of computing it
REREAD = 0.01


class Unit(NamedTuple):
    """Bands ``first`` to ``last`` (excluded) of scene number ``scene``."""

    scene: int
    first: int
    last: int


class Extent(NamedTuple):
    """What there is to do in a scene.

    Attributes:
        bands: rows of its grid of windows.
        columns: windows in such a row, which is what a band costs.
        lead: rows of windows that reach into a band from above, and are computed again where a unit begins with it.
    """

    bands: int
    columns: int = 1
    lead: int = 0


def extent(spec: InferenceSpec, height: int, width: int, bands: int) -> Extent:
    """The extent of an image of this size, of which the engine makes so many bands."""
    if spec.resize is not None:  # the network sees the image as a whole: each unit would do all of the work
        return Extent(bands, 1, bands)
    rows, columns = spec.spans(height, width)
    # the last row is pulled back into the image and may be reached from further above; the others are all alike
    typical = rows[:-1] or rows
    lead = max(sum(above.last > row.first for above in typical[:i]) for i, row in enumerate(typical))
    return Extent(bands, len(columns), lead)


def unit_size(extents: Sequence[Extent], workers: int) -> int:
    """Bands of a unit with which the work of all scenes ends first, if every band costs the same.

    A unit of g bands takes the time of g + lead, and U units on N workers take ceil(U / N) such times. Beyond the
    size at which the repeated rows are a tenth of the work larger units gain little, and lose more with a worker; of
    sizes that are as good within a fiftieth the largest sends the fewest messages.
    """
    lead = max((e.lead for e in extents), default=0)
    bands = [e.bands for e in extents if e.bands]
    if not bands or all(e.lead >= e.bands for e in extents):
        return max(bands, default=1)
    largest = min(max(LEAST, -int(-lead * (1 - WASTE) // WASTE) + 1), max(bands))

    def time(size: int) -> int:
        return -(-sum(-(-b // size) for b in bands) // workers) * (size + lead)

    times = {size: time(size) for size in range(1, largest + 1)}
    return max(size for size in times if times[size] <= 1.02 * min(times.values()))


def cut(scene: int, bands: int, finished: Collection[int], size: int) -> Iterator[Unit]:
    """Units of at most ``size`` bands that hold each band of a scene once, but for those that are finished."""
    done = set(finished)
    band = 0
    while band < bands:
        if band in done:
            band += 1
            continue
        first = band
        while band < bands and band not in done and band < first + size:
            band += 1
        yield Unit(scene, first, band)


def shares(extents: Sequence[Extent], workers: int, finished: Sequence[Collection[int]] = ()) -> list[list[Unit]]:
    """The bands of all scenes, one after another, cut into as many consecutive shares of about equal cost.

    A scene is parted where a share ends in it and nowhere else, so that at most ``workers - 1`` cuts repeat rows.

    Args:
        finished: bands of each scene that need not be computed but only read again.
    """
    there = finished or [()] * len(extents)
    where = [(scene, band) for scene, e in enumerate(extents) for band in range(e.bands)]
    costs = [extents[scene].columns * (REREAD if band in there[scene] else 1.0) for scene, band in where]
    total = sum(costs)
    found: list[list[Unit]] = [[] for _ in range(workers)]
    for (scene, band), cost, until in zip(where, costs, accumulate(costs), strict=True):
        middle = until - cost / 2
        share = found[min(int(middle * workers / total), workers - 1)]
        if share and share[-1].scene == scene and share[-1].last == band:
            share[-1] = share[-1]._replace(last=band + 1)
        else:
            share.append(Unit(scene, band, band + 1))
    return found
