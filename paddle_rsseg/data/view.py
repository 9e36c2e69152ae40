"""A part of a raster, or of a label, that behaves like one: overlapping tiles of large images without cutting files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.windows import Window as GdalWindow
from rasterio.windows import transform as window_transform

from paddle_rsseg.data.arrays import ReadByBoth
from paddle_rsseg.data.labels import Label
from paddle_rsseg.data.raster import ArrayRaster, Raster
from paddle_rsseg.windows import Window


class RasterView(ReadByBoth):
    """The interface of :class:`Raster` over a window that may stick out of the raster at the right and bottom.

    Pixels outside are 0, and invalid where the raster has invalid pixels at all; where it has none, nothing marks
    them but the label, as in padded files.
    """

    def __init__(self, raster: Raster | ArrayRaster, window: Window):
        self.raster, self.window = raster, window
        self.path = raster.path
        self.height, self.width = window.height, window.width
        self.count, self.readable, self.dtype = raster.count, raster.readable, raster.dtype
        self.crs, self.nodata, self.colormap = raster.crs, raster.nodata, raster.colormap
        self.descriptions = raster.descriptions

    @property
    def transform(self) -> Any:
        offset = GdalWindow(self.window.x0, self.window.y0, self.width, self.height)
        return window_transform(offset, self.raster.transform)

    def read_valid(
        self, window: Window | None = None, bands: Sequence[int] | None = None, nodata: float | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """See :meth:`Raster.read_valid`."""
        inside, size = _inside(self.window, window, self.raster.height, self.raster.width)
        if inside is None:
            count = self.count if bands is None else len(bands)
            return np.zeros((*size, count), self.dtype), None
        image, valid = self.raster.read_valid(inside, bands, nodata)
        return _filled(image, size, 0), None if valid is None else _filled(valid, size, False)

    def close(self) -> None:
        """The raster belongs to whoever made the view."""

    def __enter__(self) -> RasterView:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class StretchedRaster:
    """The interface of :class:`Raster` over a raster at another size, by nearest neighbour: a coarse label map."""

    def __init__(self, raster: Raster | ArrayRaster, height: int, width: int):
        self.raster, self.height, self.width = raster, height, width
        self.path, self.count, self.dtype = raster.path, raster.count, raster.dtype
        self.nodata, self.crs, self.transform = raster.nodata, None, None
        # the source pixel under the centre of each of ours
        self._rows = (2 * np.arange(height) + 1) * raster.height // (2 * height)
        self._columns = (2 * np.arange(width) + 1) * raster.width // (2 * width)

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """See :meth:`Raster.read`."""
        window = window or Window(0, self.height, 0, self.width)
        rows, columns = self._rows[window.y0 : window.y1], self._columns[window.x0 : window.x1]
        part = Window(rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
        return self.raster.read(part, bands)[np.ix_(rows - rows[0], columns - columns[0])]

    def close(self) -> None:
        self.raster.close()


class LabelView:
    """The interface of :class:`Label` over a window; pixels outside are ``ignore_index``."""

    def __init__(self, label: Label, window: Window, ignore_index: int):
        self.label, self.window, self.ignore_index = label, window, ignore_index
        self.path = label.path
        self.height, self.width = window.height, window.width

    def read(self, window: Window | None = None) -> np.ndarray:
        """See :meth:`Label.read`."""
        inside, size = _inside(self.window, window, self.label.height, self.label.width)
        if inside is None:
            return np.full(size, self.ignore_index, np.uint8)
        return _filled(self.label.read(inside), size, self.ignore_index)


def _inside(outer: Window, inner: Window | None, height: int, width: int) -> tuple[Window | None, tuple[int, int]]:
    """The part of ``inner`` (relative to ``outer``) that lies in the file, and the size that is asked for."""
    if inner is None:
        inner = Window(0, outer.height, 0, outer.width)
    if not (0 <= inner.y0 < inner.y1 <= outer.height and 0 <= inner.x0 < inner.x1 <= outer.width):
        raise ValueError(f"{inner} does not lie inside {outer.height} x {outer.width} pixels")
    y0, x0 = outer.y0 + inner.y0, outer.x0 + inner.x0
    part = Window(y0, min(y0 + inner.height, height), x0, min(x0 + inner.width, width))
    return (part if part.y0 < part.y1 and part.x0 < part.x1 else None), (inner.height, inner.width)


def _filled(array: np.ndarray, size: tuple[int, int], value: Any) -> np.ndarray:
    if array.shape[:2] == size:
        return array
    out = np.full((*size, *array.shape[2:]), value, array.dtype)
    out[: array.shape[0], : array.shape[1]] = array
    return out
