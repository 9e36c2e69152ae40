"""Areas of pixels against values that can be worked out by other means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rasterio import Affine
from rasterio.crs import CRS

from paddle_rsseg.errors import RssegError
from paddle_rsseg.geo.area import pixel_size, row_areas

DEGREE = CRS.from_epsg(4326)


def test_utm_is_measured_in_the_plane():
    place = Affine(0.5, 0, 5e5, 0, -0.25, 2.8e6)
    np.testing.assert_array_equal(row_areas(CRS.from_epsg(32640), place, 3), [0.125] * 3)
    turned = place @ Affine.rotation(30)
    np.testing.assert_allclose(row_areas(CRS.from_epsg(32640), turned, 2), [0.125] * 2)
    assert pixel_size(CRS.from_epsg(32640), place, 7) == (0.5, 0.25)


def test_feet_become_metres():
    # New York Long Island (US survey feet)
    areas = row_areas(CRS.from_epsg(2263), Affine(2, 0, 0, 0, -2, 0), 1)
    np.testing.assert_allclose(areas, [4 * (1200 / 3937) ** 2], rtol=1e-9)


def test_the_whole_earth():
    """WGS84's surface is 510 065 621.724 km² (NIMA TR8350.2 gives a sphere of equal area of 6 371 007.1809 m)."""
    areas = row_areas(DEGREE, Affine(360 / 7, 0, -180, 0, -180 / 11, 90), 11)
    assert areas.sum() * 7 == pytest.approx(4 * math.pi * 6371007.1809**2, rel=1e-9)
    np.testing.assert_allclose(areas, areas[::-1], rtol=1e-9)  # north and south alike


def test_a_sphere():
    sphere = CRS.from_proj4("+proj=longlat +R=1000 +no_defs")
    areas = row_areas(sphere, Affine(1, 0, 10, 0, -1, 60), 2)
    expected = [1e6 * math.radians(1) * (math.sin(math.radians(n)) - math.sin(math.radians(n - 1))) for n in (60, 59)]
    np.testing.assert_allclose(areas, expected, rtol=1e-9)


def test_one_second_of_arc_against_the_ellipsoids_radii():
    """A small cell is, nearly, a rectangle of N cos φ dλ by M dφ."""
    second = 1 / 3600
    for latitude in (0.0, 25.0, -52.5, 80.0):
        place = Affine(second, 0, 7, 0, -second, latitude)
        area = row_areas(DEGREE, place, 1)[0]
        wide, high = pixel_size(DEGREE, place, 0)
        assert area == pytest.approx(wide * high, rel=1e-7)
    # one degree of latitude is 110.574 km at the equator, and of longitude 111.320 km
    wide, high = pixel_size(DEGREE, Affine(1, 0, 0, 0, -1, 0.5), 0)
    assert wide == pytest.approx(111320, abs=5)
    assert high == pytest.approx(110574, abs=5)


def test_web_mercator_is_measured_on_the_ground():
    """At 60° its plane is four times too large; a cell there is the one of the same corners in degrees."""
    mercator = CRS.from_epsg(3857)
    y = 6378137 * math.log(math.tan(math.pi / 4 + math.radians(60) / 2))
    area = row_areas(mercator, Affine(1, 0, 0, 0, -1, y), 1)[0]
    assert area == pytest.approx(0.25, rel=0.01)
    degree = math.degrees(1 / 6378137)
    north = 60 - math.degrees(2 * math.atan(math.exp((y - 1) / 6378137)) - math.pi / 2)
    assert area == pytest.approx(row_areas(DEGREE, Affine(degree, 0, 0, 0, -north, 60), 1)[0], rel=1e-4)


def test_a_rotated_map_in_degrees_is_refused():
    with pytest.raises(RssegError, match="north up"):
        row_areas(DEGREE, Affine(0.001, 0, 7, 0, -0.001, 50) @ Affine.rotation(10), 5, "a.tif")


def test_without_a_crs_pixels_are_counted():
    np.testing.assert_array_equal(row_areas(None, Affine(2, 0, 0, 0, -2, 0), 3), [1, 1, 1])
