"""Scenes larger than any real one at hand: real pixels, resized, in a tiled GeoTIFF that is written strip by strip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import rasterio
from measure import ROOT

DUBAI = ROOT.parent / "shared/data/dubai"
GEOREFERENCE = {"crs": "EPSG:32640", "transform": rasterio.Affine(0.3, 0, 320000, 0, -0.3, 2780000)}
STRIP = 256  # rows written at once, a row of the file's tiles


def dubai_tile(tile: int) -> np.ndarray | None:
    """The nine parts of a Dubai tile side by side, H×W×3 uint8; None where the data is not at hand."""
    parts = [cv2.imread(str(DUBAI / f"Tile {tile}/images/image_part_{k:03}.jpg")) for k in range(1, 10)]
    if any(part is None for part in parts):
        return None
    # the lowest row of parts may be a pixel higher in some columns
    rows = [[part[: min(p.shape[0] for p in parts[k : k + 3])] for part in parts[k : k + 3]] for k in (0, 3, 6)]
    return np.ascontiguousarray(np.concatenate([np.concatenate(row, axis=1) for row in rows])[..., ::-1])


def mosaic(tile: int, folder: Path) -> Path:
    """A Dubai tile as one GeoTIFF, without loss."""
    image = dubai_tile(tile)
    if image is None:
        raise SystemExit(f"error: {DUBAI}: not there; this benchmark needs the Dubai images")
    path = folder / f"dubai_tile_{tile}.tif"
    profile = {"height": image.shape[0], "width": image.shape[1], "count": 3, "dtype": "uint8", **GEOREFERENCE}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, compress="deflate", **profile) as file:
        file.write(image.transpose(2, 0, 1))
    return path


def source_pixels() -> tuple[np.ndarray, str]:
    """H×W×3 uint8 and where they are from: tile 5 of the Dubai images (3378 × 3174), else a generated scene."""
    image = dubai_tile(5)
    if image is not None:
        return image, "Dubai, tile 5"
    from paddle_rsseg.data.synth import render_scene

    return render_scene(0, 2048, 2048).image, "generated"


def write_scene(path: Path, height: int, width: int, zoom: float = 6.3) -> str:
    """The source, ``zoom`` times enlarged and mirrored at its borders, as a georeferenced JPEG-compressed GeoTIFF.

    The zoom of 6.3 makes 20,000 rows of Dubai's 3174; a smaller scene is a part of a larger one of that zoom.

    Returns:
        Where the pixels are from.
    """
    source, origin = source_pixels()
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8", "tiled": True,
        "blockxsize": STRIP, "blockysize": STRIP, "compress": "JPEG", "photometric": "YCBCR", "jpeg_quality": 90,
        "BIGTIFF": "IF_SAFER", **GEOREFERENCE,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        for y in range(0, height, STRIP):
            rows = min(STRIP, height - y)
            # where in the source this strip's pixels lie, pixel centres on pixel centres
            back = np.array([[1 / zoom, 0, 0.5 / zoom - 0.5], [0, 1 / zoom, (y + 0.5) / zoom - 0.5]])
            how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            strip = cv2.warpAffine(source, back, (width, rows), flags=how, borderMode=cv2.BORDER_REFLECT)
            file.write(strip.transpose(2, 0, 1), window=((y, y + rows), (0, width)))
    return origin


def write_array(scene: Path, path: Path) -> None:
    """The decoded pixels of a scene as H×W×3 uint8 .npy, for peers that read no GeoTIFF."""
    with rasterio.open(scene) as file:
        array = np.lib.format.open_memmap(path, "w+", np.uint8, (file.height, file.width, 3))
        for y in range(0, file.height, STRIP):
            rows = min(STRIP, file.height - y)
            array[y : y + rows] = file.read(window=((y, y + rows), (0, file.width))).transpose(1, 2, 0)
        array.flush()
