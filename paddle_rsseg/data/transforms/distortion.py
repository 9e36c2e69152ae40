"""mmsegmentation's photometric distortion."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import cv2
import numpy as np

from paddle_rsseg.data.transforms.base import Sample, as_type, within
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import TRANSFORMS


@TRANSFORMS.register()
class PhotoMetricDistortion:
    """Brightness, then contrast either before or after saturation and hue; each with probability ``prob``.

    Unlike in ``RandomDistort``, brightness is added and contrast is a factor about 0. Whole numbers are cut off at the
    ends of their type after each step. Brightness and contrast work for any bands and type; saturation and hue need
    three bands of 8 or 16 bits, red first.

    Args:
        brightness_delta: largest number added, in 255ths of the number type's full scale (1 for floats).
        contrast_range, saturation_range: [smallest, largest] factor.
        hue_delta: largest turn of the hue, in 180ths of the full circle.
        prob: of each of the four.
    """

    def __init__(
        self,
        brightness_delta: float = 32,
        contrast_range: Sequence[float] = (0.5, 1.5),
        saturation_range: Sequence[float] = (0.5, 1.5),
        hue_delta: float = 18,
        prob: float = 0.5,
    ):
        self.brightness_delta = within(brightness_delta, "PhotoMetricDistortion.brightness_delta", 0, 255)
        self.contrast_range = _range(contrast_range, "PhotoMetricDistortion.contrast_range")
        self.saturation_range = _range(saturation_range, "PhotoMetricDistortion.saturation_range")
        self.hue_delta = within(hue_delta, "PhotoMetricDistortion.hue_delta", 0, 90)
        self.prob = within(prob, "PhotoMetricDistortion.prob")
        self.coloured = self.prob > 0 and (self.saturation_range != (1, 1) or self.hue_delta > 0)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        image = sample["image"]
        self._check(sample)
        # drawn always, so that one probability does not shift the numbers of the others
        brighter, contrasted, saturated, turned = (rng.random(4) < self.prob).tolist()
        contrast_last = rng.random() < 0.5
        added = rng.uniform(-self.brightness_delta, self.brightness_delta) / 255
        contrast, saturation = rng.uniform(*self.contrast_range), rng.uniform(*self.saturation_range)
        turn = rng.uniform(-self.hue_delta, self.hue_delta) * 2

        low, high, full = _limits(image.dtype)
        pixels = image.astype(np.float32 if image.dtype.itemsize <= 2 else np.float64)
        if brighter:
            pixels = (pixels + pixels.dtype.type(added * full)).clip(low, high)
        if contrasted and not contrast_last:
            pixels = (pixels * pixels.dtype.type(contrast)).clip(low, high)
        if self.coloured and (saturated or turned):
            pixels = _recoloured(pixels, full, saturation if saturated else 1, turn if turned else 0)
        if contrasted and contrast_last:
            pixels = (pixels * pixels.dtype.type(contrast)).clip(low, high)
        return {**sample, "image": as_type(pixels, image.dtype)}

    def _check(self, sample: Sample) -> None:
        image = sample["image"]
        if self.coloured and not (image.shape[2] == 3 and image.dtype in (np.uint8, np.uint16)):
            raise RssegError(
                sample.get("name", "image"), f"{image.shape[2]} bands of {image.dtype} in PhotoMetricDistortion",
                "3 bands of 8 or 16 bits for saturation and hue", "set saturation_range: [1, 1] and hue_delta: 0",
            )  # fmt: skip


def _limits(dtype: np.dtype) -> tuple[float, float, float]:
    """Smallest and largest number of a type, and its full scale."""
    if np.issubdtype(dtype, np.integer):
        return np.iinfo(dtype).min, np.iinfo(dtype).max, np.iinfo(dtype).max
    return -inf, inf, 1.0


def _recoloured(pixels: np.ndarray, full: float, saturation: float, turn: float) -> np.ndarray:
    """RGB in 0 … ``full`` with the saturation times a factor and the hue turned by degrees."""
    hsv = cv2.cvtColor(pixels / np.float32(full), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + np.float32(turn)) % 360
    hsv[..., 1] = (hsv[..., 1] * np.float32(saturation)).clip(0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * np.float32(full)


def _range(values: Sequence[float], where: str) -> tuple[float, float]:
    if len(values) != 2 or not 0 <= values[0] <= values[1] < inf:
        raise RssegError(where, f"{list(values)}", "[smallest, largest], from 0")
    return values[0], values[1]
