"""Mean, deviation and range of every band, and the pixels of every class, of a whole data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from paddle_rsseg.data.parallel import over
from paddle_rsseg.errors import RssegError
from paddle_rsseg.windows import Window

#: pixels read at a time
CHUNK_PIXELS = 1 << 22


@dataclass
class BandStatistics:
    """Count, mean, sum of squared deviations, minimum and maximum per band, all float64; merged without loss."""

    count: int
    mean: np.ndarray
    squares: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray) -> BandStatistics:
        """Of N×C pixels."""
        count, bands = pixels.shape
        if count == 0:
            nothing = np.zeros(bands)
            return cls(0, nothing, nothing, np.full(bands, np.inf), np.full(bands, -np.inf))
        mean, squares, minimum, maximum = np.empty((4, bands))
        for band in range(bands):  # a band at a time: float64 copies are large
            values = np.ascontiguousarray(pixels[:, band])
            minimum[band], maximum[band] = values.min(), values.max()
            mean[band] = values.mean(dtype=np.float64)
            deviation = values - mean[band]
            squares[band] = np.dot(deviation, deviation)
        return cls(count, mean, squares, minimum, maximum)

    def __add__(self, other: BandStatistics) -> BandStatistics:
        # Chan, Golub and LeVeque: the mean of two parts, and what their distance adds to the squares
        count = self.count + other.count
        if count == 0:
            return self
        delta = other.mean - self.mean
        share = other.count / count
        return BandStatistics(
            count,
            self.mean + delta * share,
            self.squares + other.squares + delta**2 * (self.count * share),
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
        )

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of all pixels."""
        return np.sqrt(self.squares / max(self.count, 1))


@dataclass
class Statistics:
    """Of a data set.

    Attributes:
        bands: over the pixels that have data, in the units of the files.
        valid_share: of all pixels.
        class_pixels: K labelled pixels, empty without labels.
        ignored: unlabelled pixels.
    """

    bands: BandStatistics
    valid_share: float
    class_pixels: np.ndarray
    ignored: int

    def normalize_spec(self) -> dict[str, Any]:
        """The arguments of Normalize, in the units of the files, six digits."""
        std = np.where(self.bands.std > 0, self.bands.std, 1.0)
        return {
            "type": "Normalize",
            "mean": [float(f"{v:.6g}") for v in self.bands.mean],
            "std": [float(f"{v:.6g}") for v in std],
            "scale": 1,
        }


def chunks(height: int, width: int) -> Iterator[Window]:
    """Full-width windows that cover an image, of a few million pixels each."""
    rows = max(1, CHUNK_PIXELS // width)
    for y0 in range(0, height, rows):
        yield Window(y0, min(y0 + rows, height), 0, width)


def compute_statistics(dataset: Any, num_workers: int | None = None, console: Any = None) -> Statistics:
    """Read every image and label of ``dataset`` once, as they are before the transforms.

    Args:
        num_workers: processes; None: one per processor.
        console: where progress is shown.

    Raises:
        RssegError: a file that cannot be read, a label value without a class, no pixel with data in any image.
    """
    bands, counts, pixels = BandStatistics.of(np.zeros((0, dataset.in_channels))), np.zeros(256, np.int64), 0
    for part, histogram, size in over(_scene, dataset, dataset.scenes(), num_workers, console, "statistics"):
        bands, counts, pixels = bands + part, counts + histogram, pixels + size
    if bands.count == 0:
        seen = f"not one pixel with data in {len(dataset.scenes())} images"
        raise RssegError(
            dataset.name, seen, "some", "check nodata of the data set, and the images' own nodata and masks"
        )
    labelled = counts[: dataset.num_classes].copy()
    ignored = int(counts[dataset.ignore_index])
    if dataset.ignore_index < dataset.num_classes:
        labelled[dataset.ignore_index] = 0
    return Statistics(bands, bands.count / max(pixels, 1), labelled, ignored)


def _scene(dataset: Any, item: Any) -> tuple[BandStatistics, np.ndarray, int]:
    counts = np.zeros(256, np.int64)
    with dataset.open_image(item) as image:
        label, wanted = dataset.open_label(item), dataset.choose_bands(image)
        bands = BandStatistics.of(np.zeros((0, dataset.in_channels)))
        for window in chunks(image.height, image.width):
            pixels, valid = image.read_valid(window, wanted, dataset.nodata)
            bands += BandStatistics.of(pixels.reshape(-1, pixels.shape[2]) if valid is None else pixels[valid])
            if label is not None:
                classes = label.read(window)
                if valid is not None:
                    classes[~valid] = dataset.ignore_index
                counts += np.bincount(classes.ravel(), minlength=256)
        return bands, counts, image.height * image.width
