"""Rasters that are arrays: in memory, or a NumPy file; and which pixels of an array are valid."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import rasterio

from paddle_rsseg.errors import RssegError
from paddle_rsseg.windows import Window


class ReadByBoth:
    """``read`` and ``valid`` of a raster that has ``read_valid``; see :class:`paddle_rsseg.data.raster.Raster`."""

    gcps: Any = None
    rpcs: Any = None

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """H×W×C pixels in the raster's number type."""
        return self.read_valid(window, bands)[0]

    def valid(
        self, window: Window | None = None, nodata: float | None = None, bands: Sequence[int] | None = None
    ) -> np.ndarray | None:
        """H×W bool, True where there is data; None if that is everywhere. See :meth:`read_valid`."""
        return self.read_valid(window, bands, nodata)[1]

    def read_valid(
        self, window: Window | None = None, bands: Sequence[int] | None = None, nodata: float | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Both with one decoding."""
        raise NotImplementedError


class ArrayRaster(ReadByBoth):
    """The interface of :class:`Raster` over an array in memory.

    Args:
        array: H×W×C or H×W; never written to.
        crs, transform, nodata: as a file would state them.
    """

    path = "<array>"
    colormap = None
    tagged_alpha = None

    def __init__(self, array: np.ndarray, crs: Any = None, transform: Any = None, nodata: float | None = None):
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise RssegError("image", f"an array of shape {array.shape}", "H×W×C or H×W, not empty")
        self._array = array[..., None] if array.ndim == 2 else array
        self.height, self.width, self.count = self._array.shape
        self.readable = self.count
        self.dtype = array.dtype
        self.crs, self.nodata = crs, nodata
        self.transform = rasterio.Affine.identity() if transform is None else transform
        self.descriptions = (None,) * self.count

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """H×W×C; a view where that is possible, so do not write to it."""
        image = self._array
        if window is not None:
            if not (0 <= window.y0 < window.y1 <= self.height and 0 <= window.x0 < window.x1 <= self.width):
                raise ValueError(f"{window} does not lie inside {self.height} x {self.width} pixels")
            image = image[window.slices]
        if bands is None:
            return image
        if not all(1 <= b <= self.count for b in bands):
            raise RssegError(self.path, f"bands {list(bands)} asked for", f"numbers from 1 to {self.count}")
        return image[..., [b - 1 for b in bands]]

    def read_valid(
        self, window: Window | None = None, bands: Sequence[int] | None = None, nodata: float | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """See :meth:`Raster.read_valid`."""
        image = self.read(window, bands)
        valid = valid_pixels(image, self.nodata if nodata is None else nodata)
        return image, None if valid is None or valid.all() else valid

    def close(self) -> None:
        """Nothing to give back."""

    def __enter__(self) -> ArrayRaster:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class NpyRaster(ArrayRaster):
    """The interface of :class:`Raster` over a ``.npy`` file of H×W×C or H×W numbers; windows are read by themselves.

    Raises:
        RssegError: a missing, truncated or empty file; an array of objects (pickles are never executed), of text, or
            of another shape.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        try:
            array = np.lib.format.open_memmap(self.path, mode="r")
        except OSError as error:
            seen = error.strerror or str(error)
            raise RssegError(self.path, seen, "a .npy file", "check the path") from error
        except ValueError as error:
            raise RssegError(
                self.path, f"cannot be read ({error})", "a complete .npy file of numbers",
                "write it with numpy.save, or copy or download it again",
            ) from error  # fmt: skip
        if array.dtype.kind not in "buif" or array.ndim not in (2, 3) or 0 in array.shape:
            seen = f"an array of {array.dtype} of shape {array.shape}"
            raise RssegError(self.path, seen, "H×W or H×W×C real numbers, not empty")
        super().__init__(array)
        self.dtype = np.dtype(np.uint8) if array.dtype.kind == "b" else array.dtype.newbyteorder("=")

    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """H×W×C pixels in memory, whatever the order of the file's axes and bytes."""
        return np.array(super().read(window, bands), self.dtype, order="C")

    def __reduce__(self) -> Any:
        return NpyRaster, (self.path,)


def valid_pixels(image: np.ndarray, nodata: float | None) -> np.ndarray | None:
    """Valid pixels of an H×W×C image by its values alone, None: not a matter of values."""
    valid = None
    if nodata is not None and not np.isnan(nodata):
        valid = (image != nodata).any(axis=2)
    if image.dtype.kind == "f":
        valid = both(valid, np.isfinite(image).all(axis=2))
    return valid


def both(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    if a is None or b is None:
        return b if a is None else a
    return a & b
