"""Label maps on disk, written row band by row band and complete or not at all."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import rasterio.errors
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterioWindow

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.spec import InferenceSpec

TILE = 256  # pixels, both ways


def is_georeferenced(raster: Any) -> bool:
    """The raster knows where on Earth it lies (a CRS), or at least in which coordinates (a transform)."""
    return raster.crs is not None or (raster.transform is not None and not raster.transform.is_identity)


@dataclass(frozen=True)
class Legend:
    """What the numbers of a label map mean.

    Attributes:
        nodata: value of pixels without a class.
        colours: value → (R, G, B, A).
        classes: JSON of class → name, a tag of the file; empty where nobody says.
    """

    nodata: int
    colours: Mapping[int, tuple[int, int, int, int]]
    classes: str


def legend_of(spec: InferenceSpec) -> Legend:
    """The legend of the maps that ``spec`` describes."""
    classes = json.dumps(dict(enumerate(spec.classes)), ensure_ascii=False) if spec.classes else ""
    return Legend(spec.ignore_index, colour_table(spec), classes)


def read_legend(path: str | Path, nodata: int = 255) -> Legend:
    """The legend that a label map carries; ``nodata`` where it states none, no colours where it has no palette.

    Raises:
        RssegError: not a label map of one 8-bit band.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            file = rasterio.open(path)
    except rasterio.errors.RasterioError as error:
        raise RssegError(path, f"cannot be read ({error})", "a label map") from error
    with file:
        if file.count != 1 or file.dtypes[0] != "uint8":
            raise RssegError(path, f"{file.count} bands of {file.dtypes[0]}", "a label map: one band of uint8")
        palette = file.colorinterp[0] is ColorInterp.palette
        return Legend(
            nodata if file.nodata is None else int(file.nodata),
            dict(file.colormap(1)) if palette else {},
            file.tags().get("CLASSES", ""),
        )


def write_label_raster(stem: str | Path, bands: Iterable[Any], raster: Any, legend: InferenceSpec | Legend) -> Path:
    """Write finished bands as a label map.

    Args:
        stem: path without suffix. ``.tif`` is added where ``raster`` is georeferenced: a tiled, deflated GeoTIFF
            with its CRS and transform, ``ignore_index`` as nodata and the classes' colours; BigTIFF where 4 GB
            might not do. Otherwise ``.png``: an 8-bit palette PNG.
        bands: objects with ``y0, y1, labels`` from top to bottom, as the engine gives them.
        raster: the image that was predicted.
        legend: what the numbers mean, or the specification of what was predicted.

    Returns:
        The file's path. It appears under that name only when it is complete.

    Raises:
        RssegError: the directory cannot be written to.
    """
    if isinstance(legend, InferenceSpec):
        legend = legend_of(legend)
    stem = Path(stem)
    suffix = ".tif" if is_georeferenced(raster) else ".png"
    path = stem.with_name(stem.name + suffix)
    with replacing(path) as temporary:
        tiff = temporary if suffix == ".tif" else temporary.with_suffix(".tif")
        try:
            _write_tiff(tiff, bands, raster, "uint8", legend.nodata, legend)
            if tiff is not temporary:
                # PNG can only be written from top to bottom at once, so GDAL copies it from the finished TIFF;
                # without the side file in which it would keep what PNG has no place for
                with rasterio.Env(GDAL_PAM_ENABLED="NO"):
                    rasterio.shutil.copy(tiff, temporary, driver="PNG")
        finally:
            if tiff is not temporary:
                tiff.unlink(missing_ok=True)
    return path


def write_probability_raster(stem: str | Path, bands: Iterable[Any], raster: Any) -> Path:
    """Write the probability of one class, float32 from 0 to 1, as ``stem.tif``; -1 where there is no data.

    Args:
        bands: with the probabilities of that class in ``layers``, as the engine gives them.
        raster: the image that was predicted.

    Raises:
        RssegError: the directory cannot be written to.
    """

    def values() -> Iterator[Any]:
        for band in bands:
            yield _Rows(band.layers["probabilities"][0])

    path = Path(stem).with_name(Path(stem).name + ".tif")
    with replacing(path) as temporary:
        _write_tiff(temporary, values(), raster, "float32", -1, None)
    return path


class _Rows(NamedTuple):
    labels: np.ndarray


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name if the block succeeds and is removed if it does not."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, rasterio.errors.RasterioError) as error:
        raise RssegError(
            path, f"cannot be written ({error})", "a directory with room that may be written to"
        ) from error


def colour_table(spec: InferenceSpec) -> dict[int, tuple[int, int, int, int]]:
    """Class → (R, G, B, 255); ``ignore_index`` is transparent black. Greys where the spec has no palette."""
    palette = spec.palette or tuple((v, v, v) for v in np.linspace(0, 255, spec.num_classes).astype(int).tolist())
    table = {k: (*colour, 255) for k, colour in enumerate(palette)}
    table[spec.ignore_index] = (0, 0, 0, 0)
    return table


def _write_tiff(path: Path, bands: Iterable[Any], raster: Any, dtype: str, nodata: int, legend: Legend | None) -> None:
    profile = {
        "driver": "GTiff",
        "height": raster.height,
        "width": raster.width,
        "count": 1,
        "dtype": dtype,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
        "compress": "deflate",
        "BIGTIFF": "IF_SAFER",
    }
    if is_georeferenced(raster):
        profile |= {"crs": raster.crs, "transform": raster.transform}
    with warnings.catch_warnings():
        # a label map of a plain image has no georeference, and that is meant
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        file = rasterio.open(path, "w", **profile)
    with file:
        if legend is not None and legend.colours:
            file.write_colormap(1, legend.colours)
        if legend is not None and legend.classes:
            file.update_tags(CLASSES=legend.classes)
        done = 0
        for y0, rows in _whole_tiles(bands):
            file.write(rows, 1, window=RasterioWindow(0, y0, raster.width, len(rows)))
            done = y0 + len(rows)
    if done != raster.height:
        raise ValueError(f"{done} of {raster.height} rows were given")


def _whole_tiles(bands: Iterable[Any]) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, rows) in multiples of a tile's height, so that each tile is compressed once."""
    top = 0
    held: np.ndarray | None = None
    for band in bands:
        held = band.labels if held is None else np.concatenate([held, band.labels])
        whole = len(held) // TILE * TILE
        if whole:
            yield top, held[:whole]
            top, held = top + whole, held[whole:]
    if held is not None and len(held):
        yield top, held
