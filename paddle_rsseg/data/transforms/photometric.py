"""What changes the pixels' values and leaves their places alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf
from typing import Literal

import cv2
import numpy as np

from paddle_rsseg.data.transforms.base import Sample, as_type, by_channels, within, without_holes
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.spec import normalize
from paddle_rsseg.registry import TRANSFORMS

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@TRANSFORMS.register()
class Normalize:
    """``(image / scale - mean) / std`` per band, float32; pixels without data become 0.

    Args:
        mean, std: one number a band, or one for all, in units of ``value / scale``.
        scale: None: the full scale of the file's number type, 255 for 8 bits. See
            :func:`paddle_rsseg.inference.spec.normalize`, which prediction uses too.
    """

    def __init__(self, mean: Sequence[float] = (0.5,), std: Sequence[float] = (0.5,), scale: float | None = None):
        if len(mean) != len(std):
            raise RssegError("Normalize", f"{len(mean)} means and {len(std)} stds", "the same number")
        if not all(s > 0 for s in std):
            raise RssegError("Normalize.std", f"{list(std)}", "numbers above 0")
        if scale is not None and not scale > 0:
            raise RssegError("Normalize.scale", f"{scale}", "a number above 0")
        self.mean, self.std, self.scale = tuple(mean), tuple(std), scale

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        bands = sample["image"].shape[2]
        if len(self.mean) not in (1, bands):
            raise RssegError(
                sample.get("name", "image"), f"{bands} bands for {len(self.mean)} values of Normalize.mean",
                "one value a band", "choose bands: [...] in the data set; 'rsseg stats CONFIG' computes mean and std",
            )  # fmt: skip
        image = normalize(sample["image"], self.mean, self.std, self.scale, sample.get("valid"))
        return {**sample, "image": image}


@TRANSFORMS.register()
class SelectBands:
    """Some of the sample's bands, in the order given.

    Args:
        bands: 1-based, counted among the bands that the data set has read.
    """

    def __init__(self, bands: Sequence[int]):
        if not bands or min(bands) < 1:
            raise RssegError("SelectBands.bands", f"{list(bands)}", "numbers from 1")
        self.bands = tuple(bands)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        available = sample["image"].shape[2]
        if max(self.bands) > available:
            raise RssegError(
                sample.get("name", "image"), f"band {max(self.bands)} of {available}", f"SelectBands up to {available}"
            )
        return {**sample, "image": sample["image"][..., [b - 1 for b in self.bands]]}


@TRANSFORMS.register()
class RandomNoise:
    """Gaussian noise, with probability ``prob``, of a deviation uniform between 0 and ``max_sigma``.

    Args:
        max_sigma: in the units of the file: 10 of 255 for 8 bits; scale it up for 16.
    """

    def __init__(self, prob: float = 0.5, max_sigma: float = 10.0):
        self.prob = within(prob, "RandomNoise.prob")
        self.max_sigma = within(max_sigma, "RandomNoise.max_sigma", 0, inf)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        image = sample["image"]
        sigma = np.float32(rng.uniform(0, self.max_sigma))
        noise = rng.standard_normal(image.shape, np.float32)
        noise *= sigma
        noise += image
        return {**sample, "image": as_type(noise, image.dtype)}


@TRANSFORMS.register()
class RandomBlur:
    """Blurring, with probability ``prob``, by a kernel 3 to 9 pixels wide, or by a Gaussian of a given deviation.

    Args:
        blur_type: a Gaussian, the median, the mean (``blur``), or one of them at random. OpenCV's median of more
            than 5×5 pixels exists for 8 bits only, so other types stay at 3 or 5.
        sigma: [smallest, largest] deviation of the Gaussian in pixels, Pillow's radius; its kernel is as wide as
            that needs.
    """

    def __init__(
        self,
        prob: float = 0.1,
        blur_type: Literal["gaussian", "median", "blur", "random"] = "gaussian",
        sigma: Sequence[float] | None = None,
    ):
        self.prob, self.blur_type, self.sigma = within(prob, "RandomBlur.prob"), blur_type, sigma
        if sigma is not None and (len(sigma) != 2 or not 0 <= sigma[0] <= sigma[1] < inf):
            raise RssegError("RandomBlur.sigma", f"{list(sigma)}", "[smallest, largest], from 0")
        if sigma is not None and blur_type != "gaussian":
            raise RssegError("RandomBlur.sigma", f"given for blur_type: {blur_type}", "blur_type: gaussian")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        if self.sigma is not None:
            return self._gaussian(sample, rng.uniform(self.sigma[0], self.sigma[1]))
        size = int(rng.choice((3, 5, 7, 9)))
        kind = self.blur_type
        if kind == "random":
            kind = ("gaussian", "median", "blur")[rng.integers(3)]
        image = without_holes(sample)["image"]
        if kind == "median":
            return {**sample, "image": _median(image, size)}
        blur = (
            (lambda part: cv2.GaussianBlur(part, (size, size), 0))
            if kind == "gaussian"
            else (lambda part: cv2.blur(part, (size, size)))
        )
        return {**sample, "image": by_channels(image, blur)}

    @staticmethod
    def _gaussian(sample: Sample, sigma: float) -> Sample:
        if sigma == 0:
            return sample
        size = 2 * ceil(4 * sigma) + 1
        image = without_holes(sample)["image"]
        return {**sample, "image": by_channels(image, lambda part: cv2.GaussianBlur(part, (size, size), sigma))}


def _median(image: np.ndarray, size: int) -> np.ndarray:
    if image.dtype == np.uint8:
        return by_channels(image, lambda part: cv2.medianBlur(part, size))
    size = min(size, 5)
    if image.dtype in (np.uint16, np.int16, np.float32):
        return by_channels(image, lambda part: cv2.medianBlur(part, size))
    # no median of doubles or 32-bit integers in OpenCV
    return as_type(by_channels(image.astype(np.float32), lambda part: cv2.medianBlur(part, size)), image.dtype)


@TRANSFORMS.register()
class RandomDistort:
    """Brightness, contrast, saturation, hue and sharpness, each with its own probability.

    A factor is uniform in 1 ± range. Brightness and contrast (about each band's mean; about the mean grey of three
    bands) and sharpness work for any bands and type; saturation needs three bands, hue three of 8 bits.

    Args:
        hue_range: in 256ths of the full circle.
        shuffle: in random order; False: in the order above.
    """

    def __init__(
        self,
        brightness_range: float = 0.5,
        brightness_prob: float = 0.5,
        contrast_range: float = 0.5,
        contrast_prob: float = 0.5,
        saturation_range: float = 0.5,
        saturation_prob: float = 0.5,
        hue_range: float = 18,
        hue_prob: float = 0.5,
        sharpness_range: float = 0.5,
        sharpness_prob: float = 0,
        shuffle: bool = True,
    ):
        self.shuffle = shuffle
        self.ranges = {
            "brightness": brightness_range, "contrast": contrast_range, "saturation": saturation_range,
            "hue": hue_range, "sharpness": sharpness_range,
        }  # fmt: skip
        self.probs = {
            "brightness": brightness_prob, "contrast": contrast_prob, "saturation": saturation_prob,
            "hue": hue_prob, "sharpness": sharpness_prob,
        }  # fmt: skip
        for name in self.ranges:
            # beyond 1 a factor would be negative: a picture turned inside out
            within(self.ranges[name], f"RandomDistort.{name}_range", 0, 128 if name == "hue" else 1)
            within(self.probs[name], f"RandomDistort.{name}_prob")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        image = sample["image"]
        self._check(sample)
        names = list(self.ranges)
        if self.shuffle:
            rng.shuffle(names)
        valid = sample.get("valid")
        pixels = image.astype(np.float32)
        for name in names:
            # drawn always, so that one probability does not shift the numbers of the others
            chance, strength = rng.random(), rng.uniform(-self.ranges[name], self.ranges[name])
            if chance < self.probs[name]:
                pixels = _clipped(getattr(self, f"_{name}")(pixels, np.float32(strength), valid), image.dtype)
        return {**sample, "image": as_type(pixels, image.dtype)}

    def _check(self, sample: Sample) -> None:
        image = sample["image"]
        for name, possible, wanted in (
            ("saturation", image.shape[2] == 3, "3 bands"),
            ("hue", image.shape[2] == 3 and image.dtype == np.uint8, "3 bands of 8 bits"),
        ):
            if self.probs[name] > 0 and not possible:
                raise RssegError(
                    sample.get("name", "image"), f"{image.shape[2]} bands of {image.dtype} in RandomDistort",
                    f"{wanted} for {name}", f"set {name}_prob: 0",
                )  # fmt: skip

    @staticmethod
    def _brightness(pixels: np.ndarray, strength: np.float32, valid: np.ndarray | None) -> np.ndarray:
        return pixels * (1 + strength)

    @staticmethod
    def _contrast(pixels: np.ndarray, strength: np.float32, valid: np.ndarray | None) -> np.ndarray:
        seen = pixels.reshape(-1, pixels.shape[2]) if valid is None else pixels[valid]
        mean = seen.mean(axis=0, dtype=np.float64).astype(np.float32) if len(seen) else np.float32(0)
        if pixels.shape[2] == 3:
            mean = np.dot(mean, LUMA)
        return mean + (pixels - mean) * (1 + strength)

    @staticmethod
    def _saturation(pixels: np.ndarray, strength: np.float32, valid: np.ndarray | None) -> np.ndarray:
        grey = (pixels @ LUMA)[..., None]
        return grey + (pixels - grey) * (1 + strength)

    @staticmethod
    def _hue(pixels: np.ndarray, strength: np.float32, valid: np.ndarray | None) -> np.ndarray:
        hsv = cv2.cvtColor(pixels / 255, cv2.COLOR_RGB2HSV)  # hue in degrees
        hsv[..., 0] = (hsv[..., 0] + strength * np.float32(360 / 256)) % 360
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255

    @staticmethod
    def _sharpness(pixels: np.ndarray, strength: np.float32, valid: np.ndarray | None) -> np.ndarray:
        kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
        smooth = by_channels(pixels, lambda part: cv2.filter2D(part, -1, kernel))
        return smooth + (pixels - smooth) * (1 + strength)


def _clipped(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return pixels.clip(limits.min, limits.max)
    return pixels
