"""The one reader: PNG, JPEG, TIFF, GeoTIFF, COG, VRT, …, any bands and number type, whole or by window.

GDAL (rasterio) does the decoding, but for plain JPEG pictures and NumPy files (:mod:`arrays`). What this adds: one
array layout (H×W×C), one notion of a valid pixel, errors that name the file, and handles that survive pickling and
``fork``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
import rasterio.errors
from rasterio.enums import ColorInterp, MaskFlags

from paddle_rsseg.data.arrays import ArrayRaster, NpyRaster, ReadByBoth, both, valid_pixels
from paddle_rsseg.errors import RssegError
from paddle_rsseg.windows import Window

#: GDAL's switches while we open and read
GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",  # a truncated JPEG is an error, not a grey half
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",  # look for sidecars one by one: listing 30,000 patches a file is slow
    "GDAL_CACHEMAX": 128 << 20,  # bytes of decoded blocks; GDAL's 5 % of RAM would grow with the image
}
#: formats without blocks: a window costs the decoding of everything above it
SEQUENTIAL = {"PNG", "JPEG", "BMP", "GIF", "WEBP"}
#: a sequential file that is read by windows is kept decoded up to this size (bytes)
KEEP_BYTES = 64 << 20
PNG_END = b"IEND\xae\x42\x60\x82"
JPEG_SCAN, JPEG_END = b"\xff\xda", b"\xff\xd9"


@dataclass(frozen=True)
class Facts:
    """What a file's header says."""

    height: int
    width: int
    count: int
    dtype: np.dtype
    crs: Any
    transform: Any
    gcps: Any
    rpcs: Any
    nodata: float | None
    colormap: dict[int, tuple[int, int, int, int]] | None
    descriptions: tuple[str | None, ...]
    alpha: int | None
    mask: bool
    driver: str


class Raster(ReadByBoth):
    """An image file, opened at the first need and once per process.

    Args:
        path: anything GDAL opens.
        expand_palette: a palette image is given as RGB (True, for images) or as its indices (False, for labels).
        alpha: a band that the file calls alpha is a mask; False: it is image data, wrongly tagged.

    Attributes:
        height, width: pixels.
        count: bands that are image data: a band the file calls alpha is left out, unless it is asked for by number
            in ``read``. (TIFF writers often tag a fourth band, near infrared too, as alpha: name it in ``bands``.)
        readable: the highest band that may be asked for by number: ``count``, and one more with such a band.
        dtype: number type of the pixels.
        crs, transform: rasterio's; None and the identity where the file has no georeference.
        gcps, rpcs: what places an image that has not been rectified: ground control points, as rasterio's (points,
            their CRS), and rational polynomial coefficients; None where the file has none.
        nodata: the file's own value for "no data", or None.
        colormap: palette of band 1 as {index: (R, G, B, A)}, or None.
        descriptions: the bands' names, None where the file has none.

    Raises:
        RssegError: at the first use of a missing, unreadable or truncated file.

    An EXIF orientation is not applied: pixels come as they lie in the file, images and labels alike.
    Not to be shared by threads.
    """

    def __init__(self, path: str | os.PathLike[str], expand_palette: bool = True, alpha: bool = True):
        self.path = os.fspath(path)
        self.expand_palette, self.alpha = expand_palette, alpha
        self._known: Facts | None = None
        self._file: Any = None
        self._pid = 0
        self._whole: np.ndarray | None = None

    # -- facts ---------------------------------------------------------------------------------------------------
    @property
    def _facts(self) -> Facts:
        if self._known is None:
            self._open()
        assert self._known is not None
        return self._known

    @cached_property
    def _palette(self) -> np.ndarray | None:
        """256×4 (or 65536×4) colour table if this raster is shown as RGB."""
        if not self.expand_palette or self._facts.colormap is None:
            return None
        table = np.zeros((65536 if self._facts.dtype == np.uint16 else 256, 4), np.uint8)
        for index, colour in self._facts.colormap.items():
            table[index] = colour
        return table

    @property
    def height(self) -> int:
        return self._facts.height

    @property
    def width(self) -> int:
        return self._facts.width

    @property
    def count(self) -> int:
        facts = self._facts
        return 3 if self._palette is not None else facts.count - (facts.alpha is not None)

    @property
    def readable(self) -> int:
        return 3 if self._palette is not None else self._facts.count

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8) if self._palette is not None else self._facts.dtype

    @property
    def crs(self) -> Any:
        return self._facts.crs

    @property
    def transform(self) -> Any:
        return self._facts.transform

    @property
    def gcps(self) -> Any:  # type: ignore[override]
        return self._facts.gcps

    @property
    def rpcs(self) -> Any:  # type: ignore[override]
        return self._facts.rpcs

    @property
    def nodata(self) -> float | None:
        return self._facts.nodata

    @property
    def colormap(self) -> dict[int, tuple[int, int, int, int]] | None:
        return self._facts.colormap

    @property
    def tagged_alpha(self) -> int | None:
        """Number of the band that ``count`` leaves out, in a TIFF, where that tag is often wrong; else None."""
        return self._facts.alpha if self._facts.driver in ("GTiff", "COG") else None

    @property
    def descriptions(self) -> tuple[str | None, ...]:
        return self._facts.descriptions

    # -- pixels --------------------------------------------------------------------------------------------------
    def read(self, window: Window | None = None, bands: Sequence[int] | None = None) -> np.ndarray:
        """H×W×C pixels in the file's number type.

        Args:
            window: must lie inside the raster; None: all of it.
            bands: 1-based, in the order wanted; None: all ``count``.
        """
        return self._read(window, bands)[0]

    def read_valid(
        self, window: Window | None = None, bands: Sequence[int] | None = None, nodata: float | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """``read`` and ``valid`` with one decoding.

        A pixel is without data if all chosen bands hold the nodata value (``nodata``, else the file's own), if the
        file's mask or alpha band is 0 there, or if any chosen band is NaN or infinite.
        """
        image, raw = self._read(window, bands)
        facts = self._facts
        if nodata is None:
            nodata = facts.nodata
        # a palette file's nodata is an index, so it is compared before the expansion
        valid = valid_pixels(raw if self._palette is not None else image, nodata)
        if self._palette is not None:
            valid = both(valid, self._palette[raw[..., 0], 3] > 0)  # a palette may have transparent entries
        if facts.alpha is not None and facts.alpha not in (bands or ()):
            valid = both(valid, self._pixels(window, (facts.alpha,))[..., 0] > 0)
        if facts.mask:
            valid = both(valid, self._mask(window))
        return image, None if valid is None or valid.all() else valid

    def _read(self, window: Window | None, bands: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
        """(pixels, pixels before a palette is expanded)"""
        self._check(window, bands)
        palette = self._palette
        if palette is not None:
            raw = self._pixels(window, (1,))
            image = palette[raw[..., 0], :3]
            return (image if bands is None else image[..., [b - 1 for b in bands]]), raw
        if bands is None:
            bands = [b for b in range(1, self._facts.count + 1) if b != self._facts.alpha]
        image = self._pixels(window, tuple(bands))
        return image, image

    def _check(self, window: Window | None, bands: Sequence[int] | None) -> None:
        facts = self._facts
        if window is not None and not (
            0 <= window.y0 < window.y1 <= facts.height and 0 <= window.x0 < window.x1 <= facts.width
        ):
            raise ValueError(f"{self.path}: {window} does not lie inside {facts.height} x {facts.width} pixels")
        if bands is not None and not all(1 <= b <= self.readable for b in bands):
            raise RssegError(
                self.path,
                f"bands {list(bands)} asked for",
                f"numbers from 1 to {self.readable}, the bands of this file",
                "bands are counted from 1",
            )

    def _pixels(self, window: Window | None, bands: tuple[int, ...]) -> np.ndarray:
        """Decoded file bands; sequential formats are kept whole when read by windows."""
        facts = self._facts
        part = window is not None and (window.height, window.width) != (facts.height, facts.width)
        whole_bytes = facts.height * facts.width * facts.count * facts.dtype.itemsize
        if part and facts.driver in SEQUENTIAL and whole_bytes <= KEEP_BYTES:
            if self._whole is None:
                self._whole = self._decode(None, tuple(range(1, facts.count + 1)))
            image = self._whole[window.slices]  # type: ignore[union-attr]
            everything = bands == tuple(range(1, facts.count + 1))
            return image.copy() if everything else image[..., [b - 1 for b in bands]]
        return self._decode(window, bands)

    def _decode(self, window: Window | None, bands: tuple[int, ...]) -> np.ndarray:
        facts = self._facts
        window = window or Window(0, facts.height, 0, facts.width)
        if self._plain_jpeg:
            image = self._decode_jpeg()[window.slices]
            return image if bands == tuple(range(1, facts.count + 1)) else image[..., [b - 1 for b in bands]]
        out = np.empty((window.height, window.width, len(bands)), facts.dtype)
        # GDAL fills the pixel-interleaved array through this view, so nothing is transposed afterwards
        self._guarded(lambda file: file.read(bands, window=_rasterio_window(window), out=out.transpose(2, 0, 1)))
        return out

    @property
    def _plain_jpeg(self) -> bool:
        """GDAL's JPEG colours differ from everybody else's by up to 20 of 255 next to edges (it smooths chroma in
        another way), so pictures that fit into memory are decoded by OpenCV, like those that networks learnt from."""
        f = self._facts
        size = f.height * f.width * f.count
        return (
            f.driver == "JPEG" and f.dtype == np.uint8 and f.count in (1, 3) and size <= KEEP_BYTES and not self._remote
        )

    def _decode_jpeg(self) -> np.ndarray:
        data = Path(self.path).read_bytes()
        # OpenCV 4 makes a grey half of a truncated file; within the picture, both codes occur as markers only
        if data.rfind(JPEG_END) < data.rfind(JPEG_SCAN):
            raise self._unreadable("the file ends before the image does")
        kind = cv2.IMREAD_GRAYSCALE if self._facts.count == 1 else cv2.IMREAD_COLOR
        image = cv2.imdecode(np.frombuffer(data, np.uint8), kind | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None or image.shape[:2] != (self._facts.height, self._facts.width):
            raise self._unreadable("damaged JPEG")
        return image[..., None] if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def _mask(self, window: Window | None) -> np.ndarray:
        rect = None if window is None else _rasterio_window(window)
        return self._guarded(lambda file: file.dataset_mask(window=rect)) > 0

    # -- the handle ----------------------------------------------------------------------------------------------
    def _open(self) -> Any:
        """The GDAL data set of this process: after a fork the parent's handle would share its file position."""
        if self._file is not None and self._pid == os.getpid():
            return self._file
        if not self._remote and not Path(self.path).is_file():
            seen = "is a directory" if Path(self.path).is_dir() else "no such file"
            raise RssegError(
                self.path, seen, "an image file", "check the path (relative paths start at the working directory)"
            )
        try:
            with rasterio.Env(**self._options), warnings.catch_warnings():
                warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                self._file = rasterio.open(self.path)
        except rasterio.errors.RasterioError as error:
            raise self._unreadable(error) from error
        self._pid = os.getpid()
        if self._known is None:
            self._known = self._look(self._file)
        return self._file

    @property
    def _remote(self) -> bool:
        return self.path.startswith("/vsi") or "://" in self.path

    @property
    def _options(self) -> dict[str, Any]:
        # GDAL's fast way with a PNG does not notice that the file ends early; for local files _check_png does,
        # elsewhere the slow way must
        return {**GDAL_OPTIONS, "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO"} if self._remote else GDAL_OPTIONS

    def _look(self, file: Any) -> Facts:
        if file.count == 0:
            raise RssegError(
                self.path,
                "no bands of its own",
                "an image",
                f"name one of its parts: {', '.join(file.subdatasets[:3])}",
            )
        kinds = set(file.dtypes)
        if len(kinds) > 1 or file.dtypes[0].startswith("complex"):
            raise RssegError(
                self.path,
                f"bands of type {', '.join(sorted(kinds))}",
                "one real number type",
                "convert it with gdal_translate -ot",
            )
        if file.driver == "PNG" and not self._remote:
            self._check_png()
        alphas = [i + 1 for i, colour in enumerate(file.colorinterp) if colour is ColorInterp.alpha]
        alpha = alphas[0] if self.alpha and alphas and file.count > 1 else None
        flags = file.mask_flag_enums[0]
        palette = file.count == 1 and file.colorinterp[0] is ColorInterp.palette
        return Facts(
            file.height,
            file.width,
            file.count,
            np.dtype(file.dtypes[0]),
            file.crs,
            file.transform,
            file.gcps if file.gcps[0] and file.crs is None else None,
            file.rpcs,
            file.nodata,
            file.colormap(1) if palette else None,
            file.descriptions,
            alpha,
            MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
            file.driver,
        )

    def _check_png(self) -> None:
        # GDAL fills what is missing from a PNG with zeros and says nothing
        with open(self.path, "rb") as file:
            file.seek(max(0, os.path.getsize(self.path) - 4096))
            if PNG_END not in file.read():
                raise self._unreadable("the file ends before the image does")

    def _guarded(self, read: Any) -> Any:
        file = self._open()
        try:
            with rasterio.Env(**self._options):
                return read(file)
        except rasterio.errors.RasterioError as error:
            raise self._unreadable(error.__cause__ or error) from error

    def _unreadable(self, why: object) -> RssegError:
        return RssegError(
            self.path,
            f"cannot be read ({why})",
            "a complete image file",
            "copy or download it again, or take it off the list",
        )

    def close(self) -> None:
        """Give the handle and the kept pixels back; the next read opens the file again."""
        if self._file is not None and self._pid == os.getpid():
            self._file.close()
        self._file = self._whole = None

    def __enter__(self) -> Raster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_whole": None}

    def __repr__(self) -> str:
        return f"Raster({self.path!r})"


def open_raster(
    source: str | os.PathLike[str] | np.ndarray | Raster | ArrayRaster, expand_palette: bool = True, alpha: bool = True
) -> Raster | ArrayRaster:
    """A raster from a path, ``.npy`` files included, or from an array; a raster is handed back as it is.

    Args:
        expand_palette, alpha: see :class:`Raster`.
    """
    if hasattr(source, "read_valid"):  # one of these, or a view of one
        return source  # type: ignore[return-value]
    if isinstance(source, np.ndarray):
        return ArrayRaster(source)
    return NpyRaster(source) if Path(source).suffix.lower() == ".npy" else Raster(source, expand_palette, alpha)


def _rasterio_window(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.y0, window.y1), (window.x0, window.x1)
