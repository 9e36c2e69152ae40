"""A label map becomes a file of polygons, without ever being in memory whole."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import rasterio
import rasterio.errors

from paddle_rsseg.data.raster import Raster
from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.geo.area import pixel_size, row_areas
from paddle_rsseg.geo.clean import absorb, fill_holes
from paddle_rsseg.geo.place import check_same_place
from paddle_rsseg.geo.polygons import block_rows, polygons
from paddle_rsseg.geo.vectorfile import Place, check_vector_path, need_vector_packages, write_polygons
from paddle_rsseg.geo.writer import Legend, read_legend
from paddle_rsseg.windows import Window

#: what becomes of regions below the minimum area
SMALL = ("drop", "merge")


def vectorize(
    labels: str | Path,
    path: str | Path,
    min_area: float = 0.0,
    small: str = "drop",
    simplify: float = 0.0,
    confidence: str | Path | None = None,
    classes: Collection[int] | None = None,
    holes: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the regions of a label map as polygons.

    A region is a set of pixels of one class that hang together by their sides; two that touch by a corner are two.
    Pixels without data belong to none. Lengths are in metres and areas in m², also for maps in degrees
    (:mod:`paddle_rsseg.geo.area`); of a map without a CRS they are in pixels.

    Args:
        labels: the map, one band of uint8, as ``rsseg predict`` writes it.
        path: of the polygons; ``.gpkg``, ``.geojson`` (in WGS84) or ``.fgb``.
        min_area: smaller regions are dropped, or merged into others.
        small: ``drop`` leaves a gap, ``merge`` none, see :func:`paddle_rsseg.geo.clean.absorb`.
        simplify: remove corners of borders whose triangle has less area than the square of this, see
            :mod:`paddle_rsseg.geo.polygons`. ``area_m2`` stays that of the pixels.
        confidence: a map of the pixels' confidence; the polygons carry its mean.
        classes: to write; None: all. The others are still neighbours that small regions are merged into.
        holes: fill holes of fewer pixels first, see :func:`paddle_rsseg.geo.clean.fill_holes`; 0: none.
        progress: ``progress(rows done, rows)``.

    Returns:
        Number of polygons.

    Raises:
        RssegError: a file that is no such map, a missing package, an argument out of range.
    """
    need_vector_packages()
    for name, value in (("min_area", min_area), ("simplify", simplify), ("fill_holes", holes)):
        if not (np.isfinite(value) and value >= 0):
            raise RssegError(name, f"{value:g}", "a number of at least 0")
    if small not in SMALL:
        raise RssegError("small", repr(small), " or ".join(SMALL))
    path = Path(path)
    legend = read_legend(labels)
    with Raster(labels, expand_palette=False) as raster:
        place = Place(raster.crs, raster.transform)
        check_vector_path(path, place.crs)
        areas = row_areas(place.crs, place.transform, raster.height, labels)
        wanted = set(range(256)) - {legend.nodata}
        rows: Iterator[np.ndarray] = _rows(raster, progress)
        if holes or (small == "merge" and min_area):
            present = _present(raster, legend.nodata)
            if holes:
                rows = fill_holes(rows, holes, present, legend.nodata)
            if small == "merge" and min_area:
                rows = absorb(rows, min_area, present, legend.nodata, areas)
                min_area = 0.0
        values = None if confidence is None else _Confidence(confidence, raster)
        tolerance = None
        if simplify:
            tolerance = lambda row: (simplify, *pixel_size(place.crs, place.transform, row))  # noqa: E731
        try:
            found = polygons(
                rows, areas, wanted if classes is None else wanted & set(classes), min_area, values, tolerance
            )
            return write_polygons(path, found, place, class_names(legend), values is not None)
        finally:
            if values is not None:
                values.close()


def class_names(legend: Legend) -> dict[int, str]:
    """Class → name, as far as a map says."""
    return {int(k): str(name) for k, name in json.loads(legend.classes).items()} if legend.classes else {}


def choose_classes(words: Collection[str], legend: Legend, where: str = "--classes") -> set[int]:
    """Classes that numbers and names mean.

    Raises:
        RssegError: a name the map does not know.
    """
    names = {name: k for k, name in class_names(legend).items()}
    chosen = set()
    for word in words:
        if word in names:
            chosen.add(names[word])
        elif word.isdigit() and int(word) <= 255 and int(word) != legend.nodata:
            chosen.add(int(word))
        else:
            known = ", ".join(names) or "numbers of classes; the map has no names"
            raise RssegError(where, repr(word), known, did_you_mean(word, names) if names else "")
    return chosen


def _rows(raster: Raster, progress: Callable[[int, int], None] | None = None) -> Iterator[np.ndarray]:
    step = block_rows(raster.width)
    for y0 in range(0, raster.height, step):
        y1 = min(y0 + step, raster.height)
        yield raster.read(Window(y0, y1, 0, raster.width))[..., 0]
        if progress:
            progress(y1, raster.height)


def _present(raster: Raster, nodata: int) -> list[int]:
    """The labels that occur, in order."""
    counts = np.zeros(256, np.int64)
    for rows in _rows(raster):
        counts += np.bincount(rows.ravel(), minlength=256)
    return [int(k) for k in np.flatnonzero(counts) if k != nodata]


class _Confidence:
    """``values(y0, y1)``: h×W float64 in 0..1, NaN without data."""

    def __init__(self, path: str | Path, labels: Raster):
        self.raster = Raster(path, expand_palette=False)
        raster = self.raster
        if raster.count != 1:
            raise RssegError(path, f"{raster.count} bands", "one band of confidence")
        check_same_place(raster, labels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                self.scale = file.scales[0]

    def __call__(self, y0: int, y1: int) -> np.ndarray:
        pixels, valid = self.raster.read_valid(Window(y0, y1, 0, self.raster.width))
        values = pixels[..., 0] * self.scale
        if valid is not None:
            values[~valid] = np.nan
        low, high = np.nanmin(values, initial=0), np.nanmax(values, initial=0)
        if low < 0 or high > 1.001:
            raise RssegError(
                self.raster.path, f"the value {low if low < 0 else high:g}", "confidence from 0 to 1",
                "'rsseg predict --products confidence' writes it",
            )  # fmt: skip
        return values

    def close(self) -> None:
        self.raster.close()
