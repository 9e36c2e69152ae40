"""How large a pixel is on the ground.

Where rows of pixels are parallels of latitude (geographic coordinates, web Mercator) pixels of one row have one area,
that of their cell on the ellipsoid, by the exact formula. In any other projection it is that in the plane of the
projection, as GIS programs measure it: exact for equal-area ones, and within 0.1 % in a zone of UTM.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import rasterio.warp
from rasterio import Affine

from paddle_rsseg.errors import RssegError

#: metres, and reciprocal of the flattening
WGS84 = 6378137.0, 298.257223563


def row_areas(crs: Any, transform: Affine, height: int, where: Any = "map") -> np.ndarray:
    """Area of a pixel of each row in m², float64; in pixels (ones) without a CRS.

    Raises:
        RssegError: a map in geographic coordinates whose rows are not parallels.
    """
    if crs is None:
        return np.ones(height)
    if not _rows_are_parallels(crs):
        return np.full(height, abs(transform.determinant) * _unit(crs) ** 2)
    if transform.b or transform.d:
        raise RssegError(
            where, f"rotated, in {crs.to_string()}", "north up", "gdalwarp writes it so; then its areas can be told"
        )
    degrees, latitudes, ellipsoid = _degrees(crs, transform, height)
    zones = _area_to_equator(latitudes, *ellipsoid)
    return np.abs(np.diff(zones)) * math.radians(degrees)


def pixel_size(crs: Any, transform: Affine, row: float) -> tuple[float, float]:
    """Width and height of a pixel near a row of the map in metres; 1 and 1 without a CRS."""
    if crs is None:
        return 1.0, 1.0
    if not _rows_are_parallels(crs):
        unit = _unit(crs)
        return math.hypot(transform.a, transform.d) * unit, math.hypot(transform.b, transform.e) * unit
    down = Affine(transform.a, transform.b, transform.c, transform.d, transform.e, transform.f + row * transform.e)
    degrees, (north, south), (radius, inverse) = _degrees(crs, down, 1)
    squared = _eccentricity_squared(inverse)
    flat = 1 - squared * math.sin(math.radians((north + south) / 2)) ** 2
    parallel = radius * math.cos(math.radians((north + south) / 2)) / math.sqrt(flat)
    meridian = radius * (1 - squared) / flat**1.5
    return parallel * math.radians(degrees), meridian * math.radians(abs(north - south))


def _rows_are_parallels(crs: Any) -> bool:
    return crs.is_geographic or crs.to_epsg() == 3857


def _unit(crs: Any) -> float:
    """Metres in a unit of the coordinates."""
    return float(crs.linear_units_factor[1])


def _degrees(crs: Any, transform: Affine, rows: int) -> tuple[float, np.ndarray, tuple[float, float]]:
    """Width of a pixel in degrees of longitude, latitudes of the edges of the rows, ellipsoid."""
    y = transform.f + np.arange(rows + 1) * transform.e
    if crs.is_geographic:
        unit = math.degrees(crs.units_factor[1])
        return abs(transform.a) * unit, y * unit, _ellipsoid(crs)
    x = np.array([transform.c, transform.c + transform.a])
    longitudes, _ = rasterio.warp.transform(crs, "EPSG:4326", x, [y[0], y[0]])
    _, latitudes = rasterio.warp.transform(crs, "EPSG:4326", np.full(len(y), transform.c), y)
    return abs(longitudes[1] - longitudes[0]), np.array(latitudes), WGS84


def _ellipsoid(crs: Any) -> tuple[float, float]:
    """Equatorial radius in metres and reciprocal of the flattening (0: a sphere)."""
    found = re.search(r'(?:ELLIPSOID|SPHEROID)\["[^"]*",\s*([-+.\deE]+),\s*([-+.\deE]+)', crs.to_wkt())
    return (float(found[1]), float(found[2])) if found else WGS84


def _eccentricity_squared(inverse: float) -> float:
    flattening = 1 / inverse if inverse else 0.0
    return flattening * (2 - flattening)


def _area_to_equator(latitudes: np.ndarray, radius: float, inverse: float) -> np.ndarray:
    """Area on the ellipsoid between the equator and a parallel, for one radian of longitude, m².

    Half the squared polar radius times [sin φ / (1 - e² sin² φ) + artanh(e sin φ) / e]: Snyder, Map Projections: a
    Working Manual, USGS 1395 (1987), equation 3-12.
    """
    sine = np.sin(np.radians(np.clip(latitudes, -90, 90)))
    squared = _eccentricity_squared(inverse)
    if squared == 0:
        return radius**2 * sine
    e = math.sqrt(squared)
    return radius**2 * (1 - squared) / 2 * (sine / (1 - squared * sine**2) + np.arctanh(e * sine) / e)
