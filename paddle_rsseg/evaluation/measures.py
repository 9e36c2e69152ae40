"""What is counted of an image while its rows go by: the confusion matrix always, the rest if asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from paddle_rsseg.errors import RssegError
from paddle_rsseg.evaluation.boundary import OUTSIDE, RATIO, BoundaryCounter, rim_width
from paddle_rsseg.evaluation.calibration import PIXELS, Sampler
from paddle_rsseg.evaluation.confusion import confusion_matrix
from paddle_rsseg.evaluation.objects import EDGES, ObjectCounter
from paddle_rsseg.inference.spec import InferenceSpec


@dataclass(frozen=True)
class Measures:
    """What to measure beside the confusion matrix.

    Attributes:
        boundary: boundary IoU, with a rim of so many pixels (a whole number) or of this share of the diagonal of image
            or window (below 1); None: not.
        sizes: scores by the size of objects: areas at which bins begin; None: not.
        size_unit: of these: ``px``, or ``m2``, for which every image must have a place on the ground.
        calibration: temperature, calibration error and thresholds from a sample of so many pixels; 0: not.
        precision: that the thresholds are to reach, 0..1.
        block: bootstrap intervals over blocks of this side in pixels, instead of over scenes; None: over scenes.
        frequencies: of the classes, for a frequency-weighted IoU with these in place of the truth's; None: not.

    Raises:
        RssegError: a value out of range.
    """

    boundary: float | None = None
    sizes: tuple[float, ...] | None = None
    size_unit: Literal["px", "m2"] = "px"
    calibration: int = 0
    precision: float = 0.9
    block: int | None = None
    frequencies: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        width = self.boundary
        if width is not None and (width <= 0 or (width >= 1 and width != int(width))):
            raise RssegError("boundary", f"{width:g}", "whole pixels, or a share of the diagonal below 1")
        edges = self.sizes
        if edges is not None and (not edges or list(edges) != sorted({e for e in edges if e > 0})):
            raise RssegError("sizes", " ".join(f"{e:g}" for e in edges), "ascending areas above 0")
        if self.size_unit not in ("px", "m2"):
            raise RssegError("size_unit", repr(self.size_unit), "px or m2")
        if not 0 < self.precision <= 1:
            raise RssegError("precision", f"{self.precision:g}", "above 0 and at most 1")
        if self.block is not None and self.block < 1:
            raise RssegError("blocks", str(self.block), "a side of at least 1 pixel")
        if self.calibration < 0:
            raise RssegError("calibration", str(self.calibration), "a number of pixels, or 0")

    @classmethod
    def full(cls, **others: Any) -> Measures:
        """Everything, with the usual values."""
        return cls(**{"boundary": RATIO, "sizes": EDGES, "calibration": PIXELS, **others})


class ImageCounter:
    """Counts one image, row band by row band.

    Args:
        measures: what to count.
        spec: for classes, ``ignore_index`` and window.
        height, width: of the image.
        pixel_area: in m², for sizes in m².
        sampler: that the probabilities go to, already started with the image; None: there are none.
    """

    def __init__(
        self, measures: Measures, spec: InferenceSpec, height: int, width: int, pixel_area: float = 1.0,
        sampler: Sampler | None = None,
    ):  # fmt: skip
        classes = spec.num_classes
        self.spec, self.sampler, self.rim = spec, sampler, 0
        self.matrix = np.zeros((classes, classes), np.int64)
        self.blocks: np.ndarray | None = None
        self._boundary: BoundaryCounter | None = None
        self._objects: ObjectCounter | None = None
        if measures.block is not None:
            self._side = measures.block
            self._grid = np.zeros((-(-height // self._side), -(-width // self._side), classes, classes), np.int64)
            self.blocks = self._grid.reshape(-1, classes, classes)
        if measures.boundary is not None:
            share = measures.boundary
            self.rim = int(share) if share >= 1 else rim_width(height, width, spec.window, share)
            self._boundary = BoundaryCounter(classes, self.rim, width)
        if measures.sizes is not None:
            unit = pixel_area if measures.size_unit == "m2" else 1.0
            self._objects = ObjectCounter(classes, measures.sizes, unit)

    def add(self, y0: int, prediction: np.ndarray, truth: np.ndarray, layers: Mapping[str, np.ndarray]) -> None:
        """Rows from ``y0`` on, rows×width uint8 each; ``layers`` may hold "probabilities", K×rows×width.

        Raises:
            ValueError: see :func:`paddle_rsseg.evaluation.confusion.confusion_matrix`.
        """
        if self.blocks is None:
            self.matrix += self._confusion(prediction, truth)
        else:
            self._add_blocks(y0, prediction, truth)
        if self._boundary is None and self._objects is None and self.sampler is None:
            return
        counted = (truth != self.spec.ignore_index) & (prediction != self.spec.ignore_index)
        if self.sampler is not None:
            self.sampler.add(truth, counted, layers["probabilities"])
        if self._boundary is not None or self._objects is not None:
            maps = [np.where(counted, rows, np.uint8(OUTSIDE)) for rows in (truth, prediction)]
            for counter in (self._boundary, self._objects):
                if counter is not None:
                    counter.add(*maps)

    def finish(self) -> dict[str, Any]:
        """The fields of :class:`~paddle_rsseg.evaluation.result.ImageResult` that were counted."""
        return {
            "matrix": self.matrix,
            "blocks": self.blocks,
            "rim": self.rim,
            "boundary": None if self._boundary is None else self._boundary.finish(),
            "objects": None if self._objects is None else self._objects.finish(),
        }

    def _confusion(self, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
        return confusion_matrix(prediction, truth, self.spec.num_classes, self.spec.ignore_index)

    def _add_blocks(self, y0: int, prediction: np.ndarray, truth: np.ndarray) -> None:
        y, y1, side = y0, y0 + len(truth), self._side
        while y < y1:
            end = min(y1, (y // side + 1) * side)
            for j, x in enumerate(range(0, truth.shape[1], side)):
                part = slice(y - y0, end - y0), slice(x, x + side)
                found = self._confusion(prediction[part], truth[part])
                self._grid[y // side, j] += found
                self.matrix += found
            y = end
