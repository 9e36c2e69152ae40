"""All measures at once on scenes that nobody could hold."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.evaluation import Measures, evaluate
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.windows import Window

SPEC = InferenceSpec(num_classes=3, window=(64, 64), stride=(48, 48))


def classes_at(window: Window) -> np.ndarray:
    """Rectangles of 23×37 pixels in an order that has no end."""
    y, x = np.arange(window.y0, window.y1)[:, None] // 23, np.arange(window.x0, window.x1) // 37
    return ((y * 7 + x * 5 + y * x) % 3).astype(np.uint8)


class Endless:
    """An image, or its label, of any height, made where it is read."""

    def __init__(self, height: int, width: int):
        self.height, self.width, self.path = height, width, "endless"
        self.count = self.readable = 3
        self.crs = self.transform = self.nodata = None
        self.dtype = np.dtype(np.uint8)

    def read(self, window):
        return classes_at(window)

    def read_valid(self, window, bands=None, nodata=None):
        image = classes_at(Window(window.y0 + 3, window.y1 + 3, window.x0, window.x1)) * 100  # off by three rows
        return image[..., None].repeat(3, 2), None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Scene:
    name, num_classes, ignore_index, classes, palette = "scene", 3, 255, (), ()

    def __init__(self, height: int):
        self.height = height

    def __len__(self):
        return 1

    def paths(self, i):
        return "endless", "endless"

    def image(self, i):
        return Endless(self.height, 300)

    label = image


def network(batch):
    value = (batch.mean(1) * 0.5 + 0.5) * 255
    return np.stack([-((value - 100 * k) ** 2) / 900 for k in range(3)], axis=1)


def test_memory_does_not_follow_the_height():
    measures = Measures(boundary=5, sizes=(100, 800), calibration=2000)
    peaks = []
    for height in (600, 600, 3600):
        tracemalloc.start()
        result = evaluate(network, Scene(height), SPEC, "stitched", examples=1, measures=measures)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert result.scores["pixels"] == 300 * height
    assert peaks[2] < 1.2 * peaks[1]
    assert 0.2 < result.boundary["mIoU"] < result.scores["mIoU"]
    assert result.calibration.seen == 300 * 3600


def test_values_out_of_range_are_told():
    for wrong, said in (
        ({"boundary": 0}, "boundary: 0"),
        ({"boundary": 2.5}, "whole pixels, or a share"),
        ({"sizes": ()}, "ascending areas"),
        ({"sizes": (5, 5)}, "ascending areas"),
        ({"size_unit": "ha"}, "size_unit: 'ha'"),
        ({"precision": 0}, "precision: 0"),
        ({"calibration": -1}, "calibration: -1"),
    ):
        with pytest.raises(RssegError, match=said):
            Measures(**wrong)
    assert Measures.full(boundary=3) == Measures(3, (64, 1024, 9216), calibration=200_000)
    with pytest.raises(RssegError, match="class frequencies: 2; expected 3"):
        evaluate(network, Scene(64), SPEC, measures=Measures(frequencies=(0.5, 0.5)))
    with pytest.raises(RssegError, match="unknown protocol 'whole'"):
        evaluate(network, Scene(64), SPEC, "whole")
