"""Compose, and what the transforms share: OpenCV beyond four channels and eight bits, padding, invalid pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import cv2
import numpy as np

from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import TRANSFORMS

Sample = dict[str, Any]
Transform = Callable[[Sample, np.random.Generator], Sample]
Number = TypeVar("Number", int, float)

#: OpenCV's names, as PaddleSeg spells them
INTERPOLATIONS = {
    "NEAREST": cv2.INTER_NEAREST,
    "LINEAR": cv2.INTER_LINEAR,
    "CUBIC": cv2.INTER_CUBIC,
    "AREA": cv2.INTER_AREA,
    "LANCZOS4": cv2.INTER_LANCZOS4,
}
#: number types that OpenCV resizes, warps and blurs as they are
CV_TYPES = {"uint8", "uint16", "int16", "float32", "float64"}


class Compose:
    """Transforms one after the other.

    Args:
        transforms: components ``{type: …}`` or callables.
    """

    def __init__(self, transforms: Sequence[Mapping[str, Any] | Transform] = ()):
        self.transforms: list[Transform] = [
            TRANSFORMS.build(t, f"transforms.{i}") if isinstance(t, Mapping) else t for i, t in enumerate(transforms)
        ]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample


def within(value: Number, where: str, low: float = 0, high: float = 1) -> Number:
    """``value``; RssegError unless it lies from ``low`` to ``high``. The default is the range of a probability."""
    if not low <= value <= high:  # also for NaN
        wanted = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
        raise RssegError(where, f"{value}", wanted)
    return value


Change = Callable[[np.ndarray], np.ndarray]


def mapped(sample: Sample, image: Change, mask: Change, field: Change | None = None) -> Sample:
    """``image`` applied to the pixels, ``mask`` to label and validity, ``field`` (None: ``image``) to the fields."""
    out = {**sample, "image": image(sample["image"])}
    if "fields" in sample:
        out["fields"] = {name: (field or image)(array) for name, array in sample["fields"].items()}
    if "label" in sample:
        out["label"] = mask(sample["label"])
    if sample.get("valid") is not None:
        out["valid"] = mask(sample["valid"].view(np.uint8)).view(bool)
    return out


def by_channels(image: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """An OpenCV function of H×W×(1 … 4) arrays, applied to any number of bands and any number type.

    Four channels at a time, because borders and warps know no more; types that OpenCV lacks travel as float64.
    """
    dtype = image.dtype
    if dtype.name not in CV_TYPES:
        image = image.astype(np.float64)
    parts = []
    for first in range(0, image.shape[2], 4):
        part = function(np.ascontiguousarray(image[..., first : first + 4]))
        parts.append(part if part.ndim == 3 else part[..., None])
    out = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    return out if out.dtype == dtype else as_type(out, dtype)


def as_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floats → ``dtype``; integers are rounded and clipped to their range."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return np.rint(values).clip(limits.min, limits.max).astype(dtype)
    return values.astype(dtype)


def without_holes(sample: Sample) -> Sample:
    """The sample with invalid pixels at their bands' means, so that nodata values do not bleed into neighbours."""
    valid = sample.get("valid")
    if valid is None:
        return sample
    image = sample["image"].copy()
    fill = image[valid].mean(axis=0, dtype=np.float64) if valid.any() else np.zeros(image.shape[2])
    image[~valid] = as_type(fill, image.dtype)
    return {**sample, "image": image}


def resized(sample: Sample, width: int, height: int, interpolation: int = cv2.INTER_LINEAR) -> Sample:
    """The sample at ``width`` × ``height`` pixels, at least one each; labels by nearest neighbour, fields linearly."""
    size = (max(width, 1), max(height, 1))
    if size == (sample["image"].shape[1], sample["image"].shape[0]):
        return sample
    if interpolation != cv2.INTER_NEAREST:
        sample = without_holes(sample)
    return mapped(
        sample,
        lambda image: by_channels(image, lambda part: cv2.resize(part, size, interpolation=interpolation)),
        lambda mask: cv2.resize(np.ascontiguousarray(mask), size, interpolation=cv2.INTER_NEAREST),
        lambda field: by_channels(field, lambda part: cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)),
    )


def padded(sample: Sample, width: int, height: int, value: float | Sequence[float], label_value: int) -> Sample:
    """The sample filled up at the right and bottom to at least ``width`` × ``height``.

    New pixels are invalid if the sample has invalid pixels; else only their label marks them. Fields are 0 there.
    """
    old_height, old_width = sample["image"].shape[:2]
    right, bottom = max(width - old_width, 0), max(height - old_height, 0)
    if not right and not bottom:
        return sample

    def fill(array: np.ndarray, constant: Any) -> np.ndarray:
        out = np.empty((old_height + bottom, old_width + right, *array.shape[2:]), array.dtype)
        out[:] = as_type(np.asarray(constant, np.float64), array.dtype)
        out[:old_height, :old_width] = array
        return out

    out = {**sample, "image": fill(sample["image"], value)}
    if "label" in sample:
        out["label"] = fill(sample["label"], label_value)
    if "fields" in sample:
        out["fields"] = {name: fill(array, 0) for name, array in sample["fields"].items()}
    if sample.get("valid") is not None:
        out["valid"] = fill(sample["valid"], False)
    return out


def cropped(sample: Sample, y0: int, x0: int, height: int, width: int) -> Sample:
    """Rows ``y0:y0+height`` and columns ``x0:x0+width`` of the sample, without copying."""

    def cut(array: np.ndarray) -> np.ndarray:
        return array[y0 : y0 + height, x0 : x0 + width]

    return mapped(sample, cut, cut)
