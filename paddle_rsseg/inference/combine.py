"""Maps of single classes into a label map: where a binary network knows better than the one of all classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from paddle_rsseg.data.raster import Raster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.geo.place import check_same_place
from paddle_rsseg.geo.writer import read_legend, write_label_raster
from paddle_rsseg.windows import Window

#: rows in work at once: two tiles of a written map
ROWS = 512


class OneClass(NamedTuple):
    """Where one class is.

    Attributes:
        label: the class.
        path: a map of one band, as large as the label map. Floating-point numbers are probabilities, as ``rsseg
            predict --probability`` writes them; whole numbers are 0 (no) and 1 (yes), as the label map of a network
            of two classes has them.
        threshold: the probability from which on it is the class.
        scale: of whole numbers that are probabilities: the one that means 1, such as 255. None: they are labels.
    """

    label: int
    path: str | Path
    threshold: float = 0.5
    scale: float | None = None


def combine(
    labels: str | Path,
    maps: Sequence[OneClass],
    stem: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the label map ``labels`` with the classes of ``maps`` put in.

    A pixel becomes the first class of ``maps`` whose map says yes there, and keeps its label where none does or none
    has data. Pixels without a label keep that, whatever the maps say. Place, colours and names of the classes are
    those of ``labels``.

    Args:
        maps: the more important first.
        stem: path of the result without suffix, see :func:`paddle_rsseg.geo.writer.write_label_raster`.
        progress: ``progress(rows done, rows)``.

    Raises:
        RssegError: a file that is no such map, maps of another size or place, values out of range.
    """
    legend = read_legend(labels)
    with Raster(labels, expand_palette=False) as base:
        opened = [(one, Raster(one.path, expand_palette=False)) for one in maps]
        try:
            for one, raster in opened:
                _check(one, raster, base, legend.nodata)
            return write_label_raster(stem, _bands(base, opened, legend.nodata, progress), base, legend)
        finally:
            for _, raster in opened:
                raster.close()


class _Band(NamedTuple):
    y0: int
    y1: int
    labels: np.ndarray


def _bands(
    base: Raster,
    maps: Sequence[tuple[OneClass, Raster]],
    nodata: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[_Band]:
    for y0 in range(0, base.height, ROWS):
        rows = Window(y0, min(y0 + ROWS, base.height), 0, base.width)
        labels = base.read(rows)[..., 0]
        open_to_change = labels != nodata
        for one, raster in maps:
            chosen = open_to_change & _says_yes(one, raster, rows)
            labels[chosen] = one.label
            open_to_change &= ~chosen
        yield _Band(rows.y0, rows.y1, labels)
        if progress:
            progress(rows.y1, base.height)


def _says_yes(one: OneClass, raster: Raster, rows: Window) -> np.ndarray:
    """H×W bool; False where the map has no data."""
    pixels, valid = raster.read_valid(rows)
    values = pixels[..., 0]
    seen = values if valid is None else values[valid]
    if one.scale is None and values.dtype.kind != "f":
        fits, wanted = seen <= 1, "0 (no) and 1 (yes)"
        yes = values == 1
    else:
        scale = 1.0 if one.scale is None else one.scale
        fits, wanted = seen <= scale, f"probabilities from 0 to {scale:g}"
        yes = values >= one.threshold * scale
    wrong = seen[~(fits & (seen >= 0))]
    if wrong.size:
        fix = "give --scale 255 for 8-bit probabilities" if one.scale is None else "another --scale"
        raise RssegError(one.path, f"the value {wrong[0]:g}", wanted, fix)
    return yes if valid is None else yes & valid


def _check(one: OneClass, raster: Raster, base: Raster, nodata: int) -> None:
    if not 0 <= one.label <= 255 or one.label == nodata:
        raise RssegError(str(one.path), f"for class {one.label}", f"0 to 255 and not {nodata}, which means no data")
    if not 0 < one.threshold <= 1:
        raise RssegError("threshold", f"{one.threshold:g}", "above 0 and at most 1")
    if one.scale is not None and one.scale <= 0:
        raise RssegError("scale", f"{one.scale:g}", "above 0")
    if raster.count != 1:
        raise RssegError(one.path, f"{raster.count} bands", "one band")
    check_same_place(raster, base)


def find_map(path: Path, name: str, several: bool) -> Path:
    """The map of one class that belongs to the label map ``name``: ``path`` itself, or a file of it.

    Args:
        name: of the label map's results, without suffix and without ``_label``.
        several: there are more label maps, so ``path`` must be a directory.

    Raises:
        RssegError: none, or more than one.
    """
    if not path.is_dir():
        if several:
            raise RssegError(f"--map {path}", "not a directory", "one with a map for each label map")
        return path
    found = [path / f"{name}{end}" for end in ("_probability.tif", "_label.tif", "_label.png", ".tif", ".png")]
    found = [file for file in found if file.is_file()]
    if len(found) != 1:
        seen = f"{len(found)} maps of {name}" if found else f"no map of {name}"
        raise RssegError(f"--map {path}", seen, f"one of {name}_probability.tif, {name}_label.tif, {name}_label.png")
    return found[0]
