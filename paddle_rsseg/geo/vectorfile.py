"""Polygons on disk: GeoPackage, GeoJSON, FlatGeobuf; written chunk by chunk, complete or absent."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.warp
from rasterio import Affine

from paddle_rsseg.data.files import replacing
from paddle_rsseg.errors import RssegError
from paddle_rsseg.geo.polygons import Polygons

#: suffix → GDAL's driver
DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".fgb": "FlatGeobuf"}
FORMATS = tuple(suffix[1:] for suffix in DRIVERS)
#: corners of polygons that are kept to be written together
CHUNK = 100_000


@dataclass(frozen=True)
class Place:
    """Where a map lies: rasterio's CRS (None: nobody knows) and transform from (column, row)."""

    crs: Any
    transform: Affine

    def coordinates(self, pixels: np.ndarray, degrees: bool) -> np.ndarray:
        """N×2 (column, row) → N×2 coordinates of the CRS, or longitudes and latitudes of WGS84."""
        t = self.transform
        x = t.a * pixels[:, 0] + t.b * pixels[:, 1] + t.c
        y = t.d * pixels[:, 0] + t.e * pixels[:, 1] + t.f
        if degrees:
            x, y = rasterio.warp.transform(self.crs, "EPSG:4326", x, y)
        return np.stack([x, y], axis=1)


def need_vector_packages() -> None:
    """
    Raises:
        RssegError: they are not installed.
    """
    try:
        import pyogrio.raw
        import shapely
    except ImportError as error:
        raise RssegError("polygons", f"{error}", fix="pip install 'paddle-rsseg[vector]'") from error
    del pyogrio
    if not hasattr(shapely, "coverage_simplify"):
        raise RssegError("shapely", shapely.__version__, "2.1 or later", "pip install 'paddle-rsseg[vector]'")


def check_vector_path(path: Path, crs: Any) -> None:
    """
    Raises:
        RssegError: no such format, or GeoJSON of a map that does not say where it lies.
    """
    if path.suffix.lower() not in DRIVERS:
        raise RssegError(path, f"the suffix {path.suffix!r}", ", ".join(DRIVERS))
    if path.suffix.lower() == ".geojson" and crs is None:
        raise RssegError(path, "a map without a CRS", "one with", "GeoJSON is in degrees always; write a .gpkg")


def write_polygons(
    path: Path, found: Iterable[Polygons], place: Place, names: Mapping[int, str], confidence: bool = False
) -> int:
    """Write polygons as features with ``class_id``, ``class``, ``area_m2`` (``area_px`` without a CRS), ``confidence``.

    GeoJSON is in WGS84, as RFC 7946 has it; every vertex is taken there, and neighbours have the same vertices, so
    they still fit. The others are in the CRS of the map.

    Args:
        path: its suffix, of :data:`DRIVERS`, says the format.
        found: in pixel coordinates.
        names: of the classes.
        confidence: write the polygons' ``means`` as ``confidence``.

    Returns:
        Number of polygons.

    Raises:
        RssegError: the file cannot be written.
    """
    from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

    suffix = path.suffix.lower()
    with replacing(path) as temporary:
        # Only a GeoPackage can be added to without being read; the others are made from it, feature by feature.
        package = temporary
        if suffix != ".gpkg":
            package = temporary.with_name(temporary.name.removesuffix(path.suffix) + ".whole.part.gpkg")
        try:
            count = _write_package(package, path.stem, found, place, names, confidence, suffix == ".geojson")
            if package is not temporary:
                _convert(package, temporary, path.stem, suffix)
        except (CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError) as error:
            raise OSError(str(error)) from error
        finally:
            if package is not temporary:
                package.unlink(missing_ok=True)
    return count


def _write_package(
    path: Path,
    layer: str,
    found: Iterable[Polygons],
    place: Place,
    names: Mapping[int, str],
    confidence: bool,
    degrees: bool,
) -> int:
    import pyogrio.raw
    import shapely

    crs = None if place.crs is None else "EPSG:4326" if degrees else place.crs.to_wkt(version="WKT2_2019")
    fields = ["class_id", "class", "area_px" if place.crs is None else "area_m2", *(["confidence"] * confidence)]
    written = 0
    with _without_journal(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        for chunk in _chunks(found):
            shapes = shapely.transform(chunk.shapes, lambda pixels: place.coordinates(pixels, degrees))
            class_names = np.array([names.get(k, f"class {k}") for k in chunk.labels.tolist()], object)
            columns = [chunk.labels.astype(np.int32), class_names, chunk.areas, *([chunk.means] * confidence)]
            pyogrio.raw.write(
                path, shapely.to_wkb(shapes), columns, fields, layer=layer, driver="GPKG", geometry_type="Polygon",
                crs=crs, append=written > 0,
            )  # fmt: skip
            written += len(shapes)
    return written


def _chunks(found: Iterable[Polygons]) -> Iterator[Polygons]:
    """The same polygons, so many at once that writing them pays; an empty chunk if there are none."""
    import shapely

    held: list[Polygons] = []
    corners, any_yet = 0, False
    for part in found:
        held.append(part)
        corners += int(shapely.get_num_coordinates(part.shapes).sum())
        if corners >= CHUNK:
            yield _together(held)
            held, corners, any_yet = [], 0, True
    if held or not any_yet:
        nothing = Polygons(np.zeros(0, object), np.zeros(0, np.uint8), np.zeros(0), np.zeros(0))
        yield _together([*held, nothing])


def _together(parts: list[Polygons]) -> Polygons:
    return Polygons(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _convert(package: Path, path: Path, layer: str, suffix: str) -> None:
    """All features of a GeoPackage into another format, a few at a time."""
    import pyogrio.raw

    options = {"RFC7946": "YES"} if suffix == ".geojson" else {}
    with pyogrio.raw.open_arrow(package, use_pyarrow=False) as (meta, stream), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        pyogrio.raw.write_arrow(
            stream, path, layer=layer, driver=DRIVERS[suffix], geometry_type="Polygon",
            geometry_name=meta["geometry_name"] or "geom", crs=meta["crs"], layer_options=options,
        )  # fmt: skip


@contextmanager
def _without_journal() -> Iterator[None]:
    """A file that is thrown away if it is not finished needs no second one to undo changes with."""
    import pyogrio

    options = ("OGR_SQLITE_JOURNAL", "OGR_SQLITE_SYNCHRONOUS")
    before = {name: pyogrio.get_gdal_config_option(name) for name in options}
    pyogrio.set_gdal_config_options(dict.fromkeys(options, "OFF"))
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)
