"""Flips and rotations."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from paddle_rsseg.data.transforms.base import Sample, as_type, by_channels, mapped, within, without_holes
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import TRANSFORMS


@TRANSFORMS.register()
class RandomHorizontalFlip:
    """Left and right exchanged with probability ``prob``."""

    def __init__(self, prob: float = 0.5):
        self.prob = within(prob, "RandomHorizontalFlip.prob")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        return mapped(sample, lambda image: image[:, ::-1], lambda mask: mask[:, ::-1])


@TRANSFORMS.register()
class RandomVerticalFlip:
    """Top and bottom exchanged with probability ``prob``."""

    def __init__(self, prob: float = 0.1):
        self.prob = within(prob, "RandomVerticalFlip.prob")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        return mapped(sample, lambda image: image[::-1], lambda mask: mask[::-1])


@TRANSFORMS.register()
class RandomTranspose:
    """Rows and columns exchanged with probability ``prob``: a mirror image about the main diagonal."""

    def __init__(self, prob: float = 0.5):
        self.prob = within(prob, "RandomTranspose.prob")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        return mapped(sample, lambda image: image.swapaxes(0, 1), lambda mask: mask.T)


@TRANSFORMS.register()
class RandomRotate90K:
    """Rotation by k·90° counter-clockwise, k uniform among ``K``; odd k exchange height and width."""

    def __init__(self, K: Sequence[int] = (0, 1, 2, 3)):
        if not K:
            raise RssegError("RandomRotate90K.K", "an empty list", "quarter turns, such as [0, 1, 2, 3]")
        self.K = tuple(within(k, "RandomRotate90K.K", 0, 3) for k in K)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        k = self.K[rng.integers(len(self.K))]
        if k == 0:
            return sample
        return mapped(sample, lambda image: np.rot90(image, k), lambda mask: np.rot90(mask, k))


@TRANSFORMS.register()
class RandomRotation:
    """Rotation by an angle uniform in ±``max_rotation`` degrees, on a canvas that holds the whole image.

    Args:
        im_padding_value: of the new corners, in the units of the file; one number, or one a band.
        label_padding_value: of the label there.
    """

    def __init__(
        self, max_rotation: float = 15, im_padding_value: float | list[float] = 127.5, label_padding_value: int = 255
    ):
        self.max_rotation = within(max_rotation, "RandomRotation.max_rotation", 0, 180)
        self.im_padding_value = im_padding_value
        self.label_padding_value = within(label_padding_value, "RandomRotation.label_padding_value", 0, 255)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if self.max_rotation == 0:
            return sample
        height, width = sample["image"].shape[:2]
        matrix = cv2.getRotationMatrix2D(
            (width // 2, height // 2), rng.uniform(-self.max_rotation, self.max_rotation), 1.0
        )
        cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
        size = (int(height * sin + width * cos), int(height * cos + width * sin))
        matrix[:, 2] += size[0] / 2 - width // 2, size[1] / 2 - height // 2

        def turn(mask: np.ndarray, outside: int) -> np.ndarray:
            mask = np.ascontiguousarray(mask)
            return cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_NEAREST, borderValue=float(outside))

        outside = turn(np.ones((height, width), np.uint8), 0) == 0

        def turn_smoothly(image: np.ndarray, corners: float | list[float]) -> np.ndarray:
            # the border is put in afterwards: OpenCV's border value has four channels, and edges must not blend with it
            turned = by_channels(
                image,
                lambda part: cv2.warpAffine(
                    part, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                ),
            )
            turned[outside] = as_type(np.asarray(corners, np.float64), turned.dtype)
            return turned

        sample = without_holes(sample)
        out = {**sample, "image": turn_smoothly(sample["image"], self.im_padding_value)}
        if "fields" in sample:
            out["fields"] = {name: turn_smoothly(array, 0) for name, array in sample["fields"].items()}
        if "label" in sample:
            out["label"] = turn(sample["label"], self.label_padding_value)
        if sample.get("valid") is not None:
            out["valid"] = turn(sample["valid"].view(np.uint8), 0).astype(bool)
        return out
