"""One image and its label, read completely: everything the doctor wants to know of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rasterio.warp import transform_bounds

from paddle_rsseg.data.datasets.base import Item
from paddle_rsseg.data.labels import Label
from paddle_rsseg.data.raster import Raster
from paddle_rsseg.data.statistics import BandStatistics, chunks
from paddle_rsseg.errors import RssegError


@dataclass
class Probe:
    """What was found; fields keep their defaults where reading failed before.

    Attributes:
        error: why the image or label cannot be read.
        bands, dtype: of the file.
        hidden: number of a TIFF's band that is left out because it is tagged alpha.
        digest: of the pixels, whatever the file format.
        footprint: (west, south, east, north) in degrees, None without georeference.
        statistics: of the pixels with data, in the bands of the data set.
        size, label_size: (height, width).
        strange: {label value or colour without a class: pixels}.
        counts: pixels of each of 256 label values; empty without label.
        label_nodata: the label file's own nodata value where that is a class as well.
        shifted: image and label are both georeferenced, and more than half a pixel apart.
    """

    image: str
    label: str | None
    error: str = ""
    size: tuple[int, int] = (0, 0)
    label_size: tuple[int, int] | None = None
    bands: int = 0
    dtype: str = ""
    hidden: int | None = None
    digest: str = ""
    footprint: tuple[float, float, float, float] | None = None
    statistics: BandStatistics | None = None
    strange: dict[str, int] = field(default_factory=dict)
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    label_nodata: float | None = None
    shifted: bool = False

    @property
    def constant(self) -> bool:
        """Has one value per band, or no valid pixel at all."""
        s = self.statistics
        return s is not None and bool(s.count == 0 or (s.minimum == s.maximum).all())


def probe(dataset: Any, item: Item) -> Probe:
    """Read one file pair of a data set; nothing is raised for what is wrong with it."""
    found = Probe(item.image, item.label)
    try:
        with dataset.open_image(item) as image:
            _look_at_image(found, dataset, image)
            if item.label is not None:
                _look_at_label(found, dataset, dataset.open_label(item), image)
    except RssegError as error:
        found.error = str(error)
    return found


def _look_at_image(found: Probe, dataset: Any, image: Raster) -> None:
    found.size, found.bands, found.dtype = (image.height, image.width), image.count, image.dtype.name
    found.hidden = image.tagged_alpha if dataset.bands is None else None
    if image.crs is not None:
        y, x = image.height, image.width
        xs, ys, _ = _matrix(image.transform) @ [[0, x, 0, x], [0, 0, y, y], [1, 1, 1, 1]]
        found.footprint = transform_bounds(image.crs, "EPSG:4326", xs.min(), ys.min(), xs.max(), ys.max())
    digest = hashlib.blake2b(f"{found.size} {found.bands} {found.dtype}".encode(), digest_size=16)
    for window in chunks(image.height, image.width):
        pixels, valid = image.read_valid(window, dataset.bands, dataset.nodata)
        digest.update(np.ascontiguousarray(pixels).data)
        part = BandStatistics.of(pixels.reshape(-1, pixels.shape[2]) if valid is None else pixels[valid])
        found.statistics = part if found.statistics is None else found.statistics + part
    found.digest = digest.hexdigest()


def _look_at_label(found: Probe, dataset: Any, label: Label, image: Raster) -> None:
    found.label_size = (label.height, label.width)
    raster = label.raster
    if raster.crs is not None and image.crs is not None:
        apart = np.linalg.solve(_matrix(image.transform), _matrix(raster.transform))
        far = abs(apart[:2, 2]).max() > 0.5 or abs(apart[0, 0] - 1) * label.width > 0.5
        found.shifted = raster.crs != image.crs or bool(far)
    counts = np.zeros(256, np.int64)
    fits = found.label_size == found.size
    for window in chunks(label.height, label.width):
        classes, strange = label.decode(window)
        for value, count in strange.items():
            found.strange[value] = found.strange.get(value, 0) + count
        valid = image.valid(window, dataset.nodata, dataset.bands) if fits else None
        if valid is not None:
            classes[~valid] = dataset.ignore_index
        counts += np.bincount(classes.ravel(), minlength=256)
    found.counts = counts
    nodata = raster.nodata
    if nodata is not None and 0 <= nodata < dataset.num_classes and dataset.label_map is None and counts[int(nodata)]:
        found.label_nodata = nodata


def _matrix(transform: Any) -> np.ndarray:
    """3×3, pixels → map. (How transforms are multiplied differs between the versions of rasterio's affine package.)"""
    return np.reshape(tuple(transform), (3, 3))
