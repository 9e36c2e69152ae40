"""How much ground a pixel covers."""

from __future__ import annotations

from typing import Any


def pixel_area(crs: Any, transform: Any) -> float | None:
    """Square metres of a pixel, in the plane of a projected coordinate system; None where there is no such system.

    In degrees pixels differ from row to row: such rasters have no one area.
    """
    if crs is None or transform is None or not crs.is_projected:
        return None
    metres = crs.linear_units_factor[1]  # in a unit of the coordinates, such as US survey feet
    return abs(transform.a * transform.e - transform.b * transform.d) * metres**2
