"""One scene, rendered: the library's door to the generator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.transform import Affine

from paddle_rsseg.data.synth.layout import Plan
from paddle_rsseg.data.synth.legends import IGNORE, legend_named
from paddle_rsseg.data.synth.render import Renderer
from paddle_rsseg.errors import RssegError
from paddle_rsseg.windows import Window

DTYPES = ("uint8", "uint16")
_ZONE = "EPSG:32640"  # UTM 40 north


@dataclass(frozen=True)
class Scene:
    """A rendered scene.

    Attributes:
        image: H×W×C, uint8 or uint16.
        label: H×W uint8 class ids, 255 where there is no data.
        transform: pixel → map coordinates in metres.
        crs: of the map coordinates.
        nodata: value of pixels without data in all bands; None if every pixel has data.
        gsd: metres a pixel.
    """

    image: np.ndarray
    label: np.ndarray
    transform: Affine
    crs: CRS
    nodata: int | None
    gsd: float


class SceneStream:
    """A scene rendered tile by tile, for pictures larger than memory. Arguments: :func:`render_scene`."""

    def __init__(
        self,
        seed: int,
        height: int,
        width: int,
        *,
        scene: int = 0,
        legend: str = "isaid",
        bands: int = 3,
        dtype: str = "uint8",
        gsd: float | None = None,
        features: Iterable[str] = (),
        urbanity: float | None = None,
        collar: float = 0.0,
        label_noise: float = 0.0,
    ):
        self.legend = legend_named(legend)
        _between("seed", seed, 0, 2**63 - 1)
        _between("size", min(height, width), 16, 200_000)
        _between("size", max(height, width), 16, 200_000)
        _between("bands", bands, 1, 12)
        _between("nodata collar", collar, 0.0, 0.45)
        _between("label_noise", label_noise, 0.0, 1.0)
        if dtype not in DTYPES:
            raise RssegError("synth.dtype", f"{dtype!r}", " or ".join(DTYPES))
        rng = np.random.default_rng([seed, scene, 7])
        drawn = float(rng.uniform(0.3, 0.5))
        # small pictures are taken from higher up: 300 m are the least that shows a place
        self.gsd = gsd if gsd is not None else max(drawn, 300.0 / min(height, width))
        _between("gsd", self.gsd, 0.05, 10.0)
        self.height, self.width, self.bands, self.dtype = height, width, bands, np.dtype(dtype)
        self.crs = CRS.from_string(_ZONE)
        easting, northing = 320_000.0 + 30_000.0 * (scene % 10), 2_780_000.0 - 30_000.0 * (scene // 10 % 40)
        self.transform = Affine(self.gsd, 0.0, easting, 0.0, -self.gsd, northing)
        self.nodata = 0 if collar else None
        self._collar = collar
        self._lean = float(rng.uniform(0.4, 1.0))
        plan = Plan([seed, scene], height, width, self.gsd, features, urbanity)
        self._renderer = Renderer(plan, self.legend, bands, self.dtype, label_noise)

    def tiles(self) -> Iterator[tuple[Window, np.ndarray, np.ndarray]]:
        """(window, image H×W×C, label H×W) until the scene is covered, row by row."""
        for window, image, label in self._renderer.tiles(self.height, self.width):
            if self._collar:
                empty = ~self._covered(window)
                image[empty] = 0
                label = np.where(empty, np.uint8(IGNORE), label)
            yield window, image, label

    def _covered(self, window: Window) -> np.ndarray:
        """H×W bool: inside the slanted footprint of the sensor."""
        v = (np.arange(window.y0, window.y1, dtype=np.float32) / self.height)[:, None]
        u = (np.arange(window.x0, window.x1, dtype=np.float32) / self.width)[None]
        # a parallelogram that leans along the flight path; ``collar`` is its widest gap
        gap, lean = self._collar, self._collar * self._lean
        return (u > gap - lean * v) & (u < 1 - lean * v) & (v > lean * u) & (v < 1 - gap + lean * u)


def render_scene(seed: int, height: int, width: int, **options: Any) -> Scene:
    """Render an aerial scene with its exact labels; the same arguments give the same bytes.

    Args:
        seed: any integer ≥ 0.
        height, width: pixels, 16 or more.
        scene: number of the scene in its data set.
        legend: ``"isaid"`` (16 classes) or ``"landcover"`` (5).
        bands: 1 (panchromatic), 3 (RGB), 4 (RGB, near infrared) … 12; see :data:`materials.BANDS`.
        dtype: ``"uint8"``, tones as on a screen, or ``"uint16"``, reflectance × 10,000.
        gsd: metres a pixel; None draws 0.3–0.5, more if the picture would show less than 300 m.
        features: what must be in the picture: airport, sports, courts, tanks, trucks, roundabout, pools,
            river (with bridges), harbour.
        urbanity: -1 country … 1 town; None draws it.
        collar: widest part of the slanted border without data, as share of the side; 0: none.
        label_noise: share of objects labelled as something else, and ever more careless borders.

    Raises:
        RssegError: an argument out of its range.
    """
    stream = SceneStream(seed, height, width, **options)
    image = np.empty((height, width, stream.bands), stream.dtype)
    label = np.empty((height, width), np.uint8)
    for window, pixels, ids in stream.tiles():
        image[window.slices] = pixels
        label[window.slices] = ids
    return Scene(image, label, stream.transform, stream.crs, stream.nodata, stream.gsd)


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise RssegError(f"synth.{name}", f"{value}", f"{low} to {high}")
