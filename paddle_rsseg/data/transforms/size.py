"""Resizing, padding and cropping. Sizes are [width, height], as in PaddleSeg."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from paddle_rsseg.data.transforms.base import INTERPOLATIONS, Sample, cropped, padded, resized, within
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import TRANSFORMS

Interpolation = Literal["NEAREST", "LINEAR", "CUBIC", "AREA", "LANCZOS4", "RANDOM"]


def _pair(value: Sequence[int], where: str) -> tuple[int, int]:
    if len(value) != 2 or min(value) < 1:
        raise RssegError(where, f"{list(value)}", "[width, height] in pixels")
    return value[0], value[1]


@TRANSFORMS.register()
class Resize:
    """The image at a given size.

    Args:
        target_size: [width, height].
        keep_ratio: as large as fits into ``target_size`` or its transpose, with the image's own proportions.
        size_divisor: round both sides up to a multiple of it.
        interp: of the image; labels are always resized by nearest neighbour.
    """

    def __init__(
        self,
        target_size: Sequence[int] = (512, 512),
        keep_ratio: bool = False,
        size_divisor: int | None = None,
        interp: Interpolation = "LINEAR",
    ):
        self.target_size = _pair(target_size, "Resize.target_size")
        self.keep_ratio = keep_ratio
        if size_divisor is not None:
            within(size_divisor, "Resize.size_divisor", 1, math.inf)
        self.size_divisor = size_divisor
        self.interp = interp

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        names = list(INTERPOLATIONS)
        name = names[rng.integers(len(names))] if self.interp == "RANDOM" else self.interp
        width, height = self.target_size
        if self.keep_ratio:
            old_height, old_width = sample["image"].shape[:2]
            scale = min(
                max(width, height) / max(old_width, old_height), min(width, height) / min(old_width, old_height)
            )
            width, height = round(old_width * scale), round(old_height * scale)
        if self.size_divisor:
            width = math.ceil(width / self.size_divisor) * self.size_divisor
            height = math.ceil(height / self.size_divisor) * self.size_divisor
        return resized(sample, width, height, INTERPOLATIONS[name])


@TRANSFORMS.register()
class ResizeByLong:
    """The longer side becomes ``long_size`` pixels."""

    def __init__(self, long_size: int):
        self.long_size = within(long_size, "ResizeByLong.long_size", 1, math.inf)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample["image"].shape[:2]
        return _scaled(sample, self.long_size / max(height, width))


@TRANSFORMS.register()
class ResizeByShort:
    """The shorter side becomes ``short_size`` pixels, less if the longer one would exceed ``max_size``."""

    def __init__(self, short_size: int | list[int], max_size: float = 1e10):
        self.short_sizes = (short_size,) if isinstance(short_size, int) else tuple(short_size)
        if not self.short_sizes:
            raise RssegError("ResizeByShort.short_size", "an empty list", "one size or several")
        for size in self.short_sizes:
            within(size, "ResizeByShort.short_size", 1, math.inf)
        self.max_size = within(max_size, "ResizeByShort.max_size", 1, math.inf)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample["image"].shape[:2]
        short = self.short_sizes[rng.integers(len(self.short_sizes))]
        return _scaled(sample, min(short / min(height, width), self.max_size / max(height, width)))


@TRANSFORMS.register()
class ResizeRangeScaling:
    """The longer (or shorter) side becomes a number of pixels uniform between ``min_value`` and ``max_value``."""

    def __init__(self, min_value: int = 400, max_value: int = 600, side: Literal["long", "short"] = "long"):
        _check_range("ResizeRangeScaling", min_value, max_value)
        if side not in ("long", "short"):
            raise RssegError("ResizeRangeScaling.side", repr(side), "long or short")
        self.min_value, self.max_value, self.side = min_value, max_value, side

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sides = sample["image"].shape[:2]
        side = max(sides) if self.side == "long" else min(sides)
        return _scaled(sample, int(rng.uniform(self.min_value, self.max_value) + 0.5) / side)


@TRANSFORMS.register()
class ResizeStepScaling:
    """Both sides times a random factor from ``min_scale_factor`` to ``max_scale_factor`` in equal steps.

    Args:
        scale_step_size: distance of the factors; 0: any factor between the two.
    """

    def __init__(self, min_scale_factor: float = 0.75, max_scale_factor: float = 1.25, scale_step_size: float = 0.25):
        _check_range("ResizeStepScaling", min_scale_factor, max_scale_factor)
        self.min_scale_factor, self.max_scale_factor = min_scale_factor, max_scale_factor
        self.scale_step_size = within(scale_step_size, "ResizeStepScaling.scale_step_size", 0, math.inf)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        low, high = self.min_scale_factor, self.max_scale_factor
        if self.scale_step_size == 0:
            return _scaled(sample, rng.uniform(low, high))
        factors = np.linspace(low, high, int((high - low) / self.scale_step_size + 1))
        return _scaled(sample, float(factors[rng.integers(len(factors))]))


@TRANSFORMS.register()
class Padding:
    """Filled up at the right and bottom to ``target_size``; an image larger than that is an error.

    Args:
        target_size: [width, height].
        im_padding_value: in the units of the file; one number, or one a band.
    """

    def __init__(
        self,
        target_size: Sequence[int],
        im_padding_value: float | list[float] = 127.5,
        label_padding_value: int = 255,
    ):
        self.target_size = _pair(target_size, "Padding.target_size")
        self.im_padding_value = im_padding_value
        self.label_padding_value = within(label_padding_value, "Padding.label_padding_value", 0, 255)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample["image"].shape[:2]
        if width > self.target_size[0] or height > self.target_size[1]:
            raise RssegError(
                sample.get("name", "image"), f"{width}×{height} pixels (width × height)",
                f"at most Padding.target_size, {self.target_size[0]}×{self.target_size[1]}", "or use RandomPaddingCrop",
            )  # fmt: skip
        return padded(sample, *self.target_size, self.im_padding_value, self.label_padding_value)


@TRANSFORMS.register()
class PaddingByAspectRatio:
    """Filled up at the right or bottom until width / height is ``aspect_ratio``."""

    def __init__(
        self, aspect_ratio: float = 1, im_padding_value: float | list[float] = 127.5, label_padding_value: int = 255
    ):
        if not 0 < aspect_ratio < math.inf:
            raise RssegError("PaddingByAspectRatio.aspect_ratio", f"{aspect_ratio}", "width / height, above 0")
        self.aspect_ratio = aspect_ratio
        self.im_padding_value = im_padding_value
        self.label_padding_value = within(label_padding_value, "PaddingByAspectRatio.label_padding_value", 0, 255)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample["image"].shape[:2]
        wide, high = int(height * self.aspect_ratio), int(width / self.aspect_ratio)
        return padded(sample, wide, high, self.im_padding_value, self.label_padding_value)


@TRANSFORMS.register()
class RandomPaddingCrop:
    """A random window; a smaller image is filled up at the right and bottom.

    Args:
        crop_size: [width, height].
        im_padding_value: in the units of the file; one number, or one a band.
        category_max_ratio: draw again while one class has more than this share of the labelled pixels.
        ignore_index: what counts as unlabelled for that.
        loop_times: how often at most.
    """

    def __init__(
        self,
        crop_size: Sequence[int] = (512, 512),
        im_padding_value: float | list[float] = 127.5,
        label_padding_value: int = 255,
        category_max_ratio: float = 1.0,
        ignore_index: int = 255,
        loop_times: int = 10,
    ):
        self.crop_size = _pair(crop_size, "RandomPaddingCrop.crop_size")
        self.im_padding_value = im_padding_value
        self.label_padding_value = within(label_padding_value, "RandomPaddingCrop.label_padding_value", 0, 255)
        if category_max_ratio <= 0:
            raise RssegError("RandomPaddingCrop.category_max_ratio", f"{category_max_ratio}", "more than 0")
        self.category_max_ratio = category_max_ratio
        self.ignore_index = ignore_index
        if loop_times < 1:
            raise RssegError("RandomPaddingCrop.loop_times", f"{loop_times}", "1 or more")
        self.loop_times = loop_times

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        width, height = self.crop_size
        old_height, old_width = sample["image"].shape[:2]
        for _ in range(self.loop_times):
            y0 = int(rng.integers(max(old_height - height, 0) + 1))
            x0 = int(rng.integers(max(old_width - width, 0) + 1))
            out = cropped(sample, y0, x0, height, width)
            if self._balanced(out):
                break
        # padding after cropping copies no more than the window
        return padded(out, width, height, self.im_padding_value, self.label_padding_value)

    def _balanced(self, sample: Sample) -> bool:
        if self.category_max_ratio >= 1 or "label" not in sample:
            return True
        label = sample["label"]
        counts = np.bincount(label[label != self.ignore_index].ravel())
        return counts.size > 0 and counts.max() <= self.category_max_ratio * counts.sum()


@TRANSFORMS.register()
class RandomScaleAspect:
    """A random window of other proportions, resized to the size of the image.

    Args:
        min_scale: smallest share of the image's area.
        aspect_ratio: smallest width / height, the largest is its inverse.
    """

    def __init__(self, min_scale: float = 0.5, aspect_ratio: float = 0.33):
        self.min_scale = within(min_scale, "RandomScaleAspect.min_scale")
        self.aspect_ratio = within(aspect_ratio, "RandomScaleAspect.aspect_ratio")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if self.min_scale == 0 or self.aspect_ratio == 0:
            return sample
        height, width = sample["image"].shape[:2]
        for _ in range(10):
            area = height * width * rng.uniform(self.min_scale, 1.0)
            aspect = rng.uniform(self.aspect_ratio, 1 / self.aspect_ratio)
            w, h = int(math.sqrt(area * aspect)), int(math.sqrt(area / aspect))
            if rng.random() < 0.5:
                w, h = h, w
            if 0 < h < height and 0 < w < width:
                y0, x0 = int(rng.integers(height - h)), int(rng.integers(width - w))
                return resized(cropped(sample, y0, x0, h, w), width, height)
        return sample


def _scaled(sample: Sample, factor: float) -> Sample:
    height, width = sample["image"].shape[:2]
    return resized(sample, round(width * factor), round(height * factor))


def _check_range(where: str, low: float, high: float) -> None:
    if not 0 < low <= high:
        raise RssegError(where, f"from {low} to {high}", "0 < smallest ≤ largest")
