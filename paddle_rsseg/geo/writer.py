"""Label maps and products on disk, written row band by row band and complete or not at all."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterioWindow

from paddle_rsseg.data.files import replacing
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.products import NODATA, SCALE, Products
from paddle_rsseg.inference.spec import InferenceSpec

TILE = 256  # pixels, both ways


def is_georeferenced(raster: Any) -> bool:
    """The raster knows where on Earth it lies (a CRS), or in which coordinates (a transform), or has what tells its
    place before it is rectified."""
    if raster.gcps is not None or raster.rpcs is not None:
        return True
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


def write_label_raster(
    stem: str | Path, bands: Iterable[Any], raster: Any, legend: InferenceSpec | Legend, file_format: str = "auto"
) -> Path:
    """Write finished bands as a label map.

    Args:
        stem: path without suffix, which the format gives.
        bands: objects with ``y0, y1, labels`` from top to bottom, as the engine gives them.
        raster: the image that was predicted.
        legend: what the numbers mean, or the specification of what was predicted.
        file_format: one of :data:`FORMATS`. ``auto``: ``tif`` where ``raster`` is georeferenced, else ``png``.

    Returns:
        The file's path. It appears under that name only when it is complete.

    Raises:
        RssegError: the directory cannot be written to.
    """
    if isinstance(legend, InferenceSpec):
        legend = legend_of(legend)
    if file_format == "auto":
        file_format = "tif" if is_georeferenced(raster) else "png"
    layout = Layout(1, "uint8", legend.nodata, "mode", colours=legend.colours, tags={"CLASSES": legend.classes})
    return _write(Path(stem), _rows(bands, lambda band: band.labels[None]), raster, layout, file_format)


def write_product(
    stem: str | Path,
    bands: Iterable[Any],
    raster: Any,
    products: Products,
    name: str,
    spec: InferenceSpec,
    file_format: str = "auto",
) -> Path:
    """Write a product of finished bands, such as probabilities, as ``stem.tif``.

    The file says what its numbers are multiplied with to lie in 0..1 (the bands' scale), and which number means no
    data. A plane a class carries the class's name.

    Args:
        bands: with ``name`` in their ``layers``, as the engine gives them.
        raster: the image that was predicted.
        products: what the engine was asked for; ``name`` is one of them.
        spec: of the prediction.
        file_format: one of :data:`FORMATS`; a product is never a ``png`` and is then a ``tif``.

    Raises:
        RssegError: the directory cannot be written to.
    """
    planes = products.planes(name, spec.num_classes)
    labels = [spec.classes[k] if spec.classes else f"class {k}" for k in planes] or [name]
    layout = Layout(
        len(labels), products.dtype, NODATA[products.dtype], "average", SCALE[products.dtype], tuple(labels)
    )
    rows = _rows(bands, lambda band: band.layers[name])
    return _write(Path(stem), rows, raster, layout, "cog" if file_format == "cog" else "tif")


def _rows(bands: Iterable[Any], part: Callable[[Any], np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, planes × rows × width) of each band."""
    for band in bands:
        yield band.y0, part(band)
        del band  # not kept until the next is there


@dataclass(frozen=True)
class Layout:
    """How numbers lie in a file.

    Attributes:
        planes: bands of the file.
        dtype: of the numbers; GeoTIFF stores float16 as floating-point numbers of 16 bits, which are read as float32.
        nodata: the number that means no data.
        overviews: how a cloud-optimised file makes its smaller versions: ``mode`` or ``average``.
        scale: what a number is multiplied with.
        names: of the planes.
        colours: value → (R, G, B, A).
        tags: of the file; empty ones are left out.
    """

    planes: int
    dtype: str
    nodata: int
    overviews: str
    scale: float = 1.0
    names: tuple[str, ...] = ()
    colours: Mapping[int, tuple[int, int, int, int]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def creation(self) -> dict[str, Any]:
        """GDAL's options of the numbers."""
        if self.dtype != "float16":
            return {"dtype": self.dtype}
        return {"dtype": "float32", "nbits": 16}


#: label maps: ``tif`` is a tiled, deflated GeoTIFF, BigTIFF where 4 GB might not do; ``cog`` the same, cloud-optimised,
#: with overviews; ``png`` an 8-bit palette PNG without georeference
FORMATS = ("auto", "tif", "cog", "png")
SUFFIXES = {"tif": ".tif", "cog": ".tif", "png": ".png"}


def _write(stem: Path, rows: Iterable[tuple[int, np.ndarray]], raster: Any, layout: Layout, file_format: str) -> Path:
    """(first row, planes × rows × width) from top to bottom as a file of one of :data:`FORMATS`."""
    path = stem.with_name(stem.name + SUFFIXES[file_format])
    with replacing(path) as temporary:
        if file_format == "tif":
            _write_tiff(temporary, rows, raster, layout)
            return path
        # GDAL makes PNG and COG only from a complete file
        tiff = temporary.with_name(temporary.name.removesuffix(path.suffix) + ".whole.part.tif")
        try:
            _write_tiff(tiff, rows, raster, layout)
            # without the side file in which GDAL would keep what PNG has no place for
            with rasterio.Env(GDAL_PAM_ENABLED="NO"):
                rasterio.shutil.copy(tiff, temporary, **_copy_options(file_format, layout))
        finally:
            tiff.unlink(missing_ok=True)
    return path


def _copy_options(file_format: str, layout: Layout) -> dict[str, Any]:
    if file_format == "png":
        return {"driver": "PNG"}
    options = {"driver": "COG", "compress": "deflate", "bigtiff": "IF_SAFER", "overview_resampling": layout.overviews}
    return options | ({"nbits": 16} if layout.dtype == "float16" else {})


def colour_table(spec: InferenceSpec) -> dict[int, tuple[int, int, int, int]]:
    """Class → (R, G, B, 255); ``ignore_index`` is transparent black. Greys where the spec has no palette."""
    palette = spec.palette or tuple((v, v, v) for v in np.linspace(0, 255, spec.num_classes).astype(int).tolist())
    table = {k: (*colour, 255) for k, colour in enumerate(palette)}
    table[spec.ignore_index] = (0, 0, 0, 0)
    return table


def _write_tiff(path: Path, rows: Iterable[tuple[int, np.ndarray]], raster: Any, layout: Layout) -> None:
    """The file is closed and opened again after each row of tiles. GDAL writes when its cache is full, which is one for
    all threads, in the order of the rows, and at the end the rest, plane by plane: with several planes the same pixels
    would be other bytes each time, depending on when that was.
    """
    profile = {
        "driver": "GTiff",
        "height": raster.height,
        "width": raster.width,
        "count": layout.planes,
        "nodata": layout.nodata,
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
        "compress": "deflate",
        "interleave": "band",
        "BIGTIFF": "IF_SAFER",
        "SPARSE_OK": True,  # the tiles come later
        **layout.creation(),
    }
    if is_georeferenced(raster) and raster.gcps is None:  # a file has a transform or control points
        profile |= {"crs": raster.crs, "transform": raster.transform}
    with _opened(path, "w", **profile) as file:
        if raster.gcps is not None:
            file.gcps = raster.gcps
        if raster.rpcs is not None:
            file.rpcs = raster.rpcs
        if layout.colours:
            file.write_colormap(1, layout.colours)
        if layout.scale != 1:
            file.scales = (layout.scale,) * layout.planes
        for k, name in enumerate(layout.names, 1):
            file.set_band_description(k, name)
        file.update_tags(**{key: value for key, value in layout.tags.items() if value})
    done = 0
    for y0, values in _whole_tiles(rows):
        done = y0 + values.shape[1]
        values = values.astype(np.float32) if values.dtype == np.float16 else values
        with _opened(path, "r+") as file:
            file.write(values, window=RasterioWindow(0, y0, raster.width, values.shape[1]))
        del values
    if done != raster.height:
        raise ValueError(f"{done} of {raster.height} rows were given")


def _opened(path: Path, mode: str, **profile: Any) -> Any:
    """The file, without a warning: a map of a plain image has no georeference, and that is meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path, mode, **profile)


def _whole_tiles(rows: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, planes × rows × width) in multiples of a tile's height, so that each tile is compressed once."""
    top = 0
    held: np.ndarray | None = None  # rows that do not fill a tile yet
    for _, values in rows:
        values = values if held is None else np.concatenate([held, values], axis=1)
        whole = values.shape[1] // TILE * TILE
        # a view would keep all of it
        held = values[:, whole:].copy() if whole < values.shape[1] else None
        if whole:
            yield top, values[:, :whole]
            top += whole
        del values  # and so would the name, until the next rows are there
    if held is not None:
        yield top, held
