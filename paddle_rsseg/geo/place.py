"""Do two rasters show the same place?"""

from __future__ import annotations

from typing import Any

from paddle_rsseg.errors import RssegError
from paddle_rsseg.geo.writer import is_georeferenced


def check_same_place(raster: Any, base: Any) -> None:
    """
    Raises:
        RssegError: ``raster`` has another size than ``base``, or lies more than a hundredth of a pixel elsewhere.
    """
    fix = "predict both from the same image"
    if (raster.height, raster.width) != (base.height, base.width):
        seen, wanted = (f"{r.width}×{r.height} pixels" for r in (raster, base))
        raise RssegError(raster.path, seen, f"{wanted}, as {base.path}", fix)
    if is_georeferenced(raster) and is_georeferenced(base):
        pixel = max(abs(base.transform.a), abs(base.transform.e))
        if raster.crs != base.crs or not raster.transform.almost_equals(base.transform, precision=0.01 * pixel):
            raise RssegError(raster.path, "lies elsewhere", f"the place of {base.path}", fix)
