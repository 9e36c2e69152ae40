"""Pictures of the best and worst images of an evaluation, without keeping those of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from paddle_rsseg.geo.overlay import colourize, quicklook
from paddle_rsseg.inference.spec import InferenceSpec

SIDE = 320  # longest side of a picture in pixels
WRONG = np.array([230, 40, 40], np.uint8)


@dataclass
class Example:
    """An image of the report: its place in the data set, mIoU, number of classes, and four pictures as PNG or JPEG."""

    index: int
    name: str
    miou: float
    classes: int
    panels: dict[str, bytes]


def name_of(dataset: Any, index: int) -> str:
    """What a sample is called: its path, and the window where it is a part of a file."""
    return str(dataset.item(index).name if hasattr(dataset, "item") else dataset.paths(index)[0])


class Sampled:
    """Every f-th pixel of prediction and truth, gathered band by band."""

    def __init__(self, height: int, width: int):
        self.step = -(-max(height, width) // SIDE)
        self._rows: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, y0: int, prediction: np.ndarray, truth: np.ndarray) -> None:
        # the middle of each f×f block, counted from the image's first row
        middle = self.step // 2
        first = (middle - y0) % self.step
        rows, columns = slice(first, None, self.step), slice(middle, None, self.step)
        # copies: a view would keep the whole band
        self._rows.append((prediction[rows, columns].copy(), truth[rows, columns].copy()))

    def maps(self) -> tuple[np.ndarray, np.ndarray]:
        prediction, truth = zip(*self._rows, strict=True)
        return np.concatenate(prediction), np.concatenate(truth)


class Gallery:
    """The ``count`` best and the ``count`` worst images so far, by the mean IoU of the classes present.

    Among equals an image with more classes is the more telling one.
    """

    def __init__(self, count: int, spec: InferenceSpec):
        self.count, self.spec = count, spec
        self.best: list[Example] = []
        self.worst: list[Example] = []

    def offer(self, miou: float, matrix: np.ndarray, sampled: Sampled | None, dataset: Any, index: int) -> None:
        """Look at an image; its pictures are made only if it is among the best or worst so far."""
        if sampled is None or np.isnan(miou):
            return
        example = Example(index, name_of(dataset, index), miou, int((matrix.sum(1) > 0).sum()), {})
        best, worst = self._merge([*self.best, example], [*self.worst, example])
        if example in best or example in worst:
            with dataset.image(index) as raster:
                example.panels = self._panels(raster, sampled)
        self.best, self.worst = best, worst

    def ranked(self) -> tuple[list[Example], list[Example]]:
        """(best first, worst first); an image is in one of them only."""
        best, worst = self._merge(self.best, self.worst)
        taken = {example.index for example in worst}
        everything = {example.index: example for example in [*best, *worst]}
        if len(everything) < 2 * self.count:  # few images: split them at the middle
            order = sorted(everything.values(), key=_goodness)
            half = len(order) // 2
            return order[half:][::-1], order[:half]
        return [example for example in best if example.index not in taken], worst

    def _merge(self, best: list[Example], worst: list[Example]) -> tuple[list[Example], list[Example]]:
        return (
            sorted(best, key=_goodness, reverse=True)[: self.count],
            sorted(worst, key=lambda e: (e.miou, -e.classes, e.index))[: self.count],
        )

    def _panels(self, raster: Any, sampled: Sampled) -> dict[str, bytes]:
        prediction, truth = sampled.maps()
        picture = quicklook(raster, self.spec.bands, SIDE)
        picture = cv2.resize(picture, truth.shape[::-1], interpolation=cv2.INTER_AREA)
        counted = (truth != self.spec.ignore_index) & (prediction != self.spec.ignore_index)
        grey = picture.mean(2, keepdims=True).repeat(3, 2) * 0.6 + 80
        errors = np.where((counted & (prediction != truth))[..., None], WRONG, grey).astype(np.uint8)
        errors[~counted] = 40
        return {
            "image": _encode(picture, ".jpg"),
            "truth": _encode(colourize(truth, self.spec), ".png"),
            "prediction": _encode(colourize(prediction, self.spec), ".png"),
            "errors": _encode(errors, ".jpg"),
        }


def _goodness(example: Example) -> tuple[float, int, int]:
    return example.miou, example.classes, example.index


def _encode(picture: np.ndarray, suffix: str) -> bytes:
    done, data = cv2.imencode(suffix, picture[..., ::-1])
    assert done
    return data.tobytes()
