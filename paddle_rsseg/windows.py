"""The one grid of windows: preparation, crops, evaluation, prediction and deployment all cut an image here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """A rectangle of pixels: rows ``y0:y1`` and columns ``x0:x1`` (ends excluded)."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    def moved(self, down: int, right: int) -> Window:
        return Window(self.y0 + down, self.y1 + down, self.x0 + right, self.x1 + right)

    @property
    def slices(self) -> tuple[slice, slice]:
        """``array[window.slices]`` is the window of an H×W×… array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


def starts(length: int, size: int, stride: int) -> list[int]:
    """First pixels of the windows along one axis.

    With k = min(size, length) there are ``ceil((length - k) / stride) + 1`` windows, the i-th starting at
    ``min(stride * i, length - k)``: the last one is pulled back inside (FarSeg, SimpleCV's sliding window).
    """
    if length < 1 or size < 1 or stride < 1:
        raise ValueError(f"length, size and stride must be positive, got {length}, {size}, {stride}")
    size = min(size, length)
    count = -(-(length - size) // stride) + 1
    return [min(stride * i, length - size) for i in range(count)]


class Span(NamedTuple):
    """Along one axis: the pixels ``start:stop`` are seen, some perhaps beyond the image, and ``first:last`` count."""

    start: int
    stop: int
    first: int
    last: int


def sliding(length: int, size: int, stride: int) -> list[Span]:
    """Windows inside the image (:func:`starts`), of which all pixels count."""
    size = min(size, length)
    return [Span(first, first + size, first, first + size) for first in starts(length, size, stride)]


def expanded(length: int, centre: int, margin: int) -> list[Span]:
    """Centres side by side, each seen with ``margin`` pixels around it (NAIC_AI-RS's "dilated" prediction)."""
    return [
        Span(first - margin, first + centre + margin, first, min(first + centre, length))
        for first in range(0, length, centre)
    ]


def roomiest(length: int, sizes: Sequence[int]) -> int:
    """The size that leaves most of the image to the last of its tiles; of equals the one that then lacks least."""

    def leftover(size: int) -> int:
        return length % size or size

    return max(sizes, key=lambda size: (leftover(size), leftover(size) - size))


def grid(height: int, width: int, size: tuple[int, int], stride: tuple[int, int]) -> Iterator[Window]:
    """Windows of a ``height`` × ``width`` image, row by row; each lies inside, so small images give small windows.

    Args:
        size: (height, width) of a window.
        stride: (vertical, horizontal) distance between neighbours.
    """
    columns = starts(width, size[1], stride[1])
    for y0 in starts(height, size[0], stride[0]):
        y1 = min(y0 + size[0], height)
        for x0 in columns:
            yield Window(y0, y1, x0, min(x0 + size[1], width))


#: weights of a window's pixels
WEIGHTS = ("uniform", "linear", "cosine", "gaussian", "centre")


def blend_weights(height: int, width: int, kind: str = "uniform") -> np.ndarray:
    """H×W float32 weights by which overlapping windows are averaged; always positive.

    They are products of a row's and a column's, sampled at pixel centres; t runs from 0 to 1 across the window.

    ========  =====================================================================================================
    uniform   1: the protocol of the published scores
    linear    a tent, min(t, 1 - t)
    cosine    a raised cosine, sin²(πt): falls towards the border, where a network sees least, so that no seam shows
    gaussian  exp(-(t - ½)² / 2σ²) with σ = 1/8 (MONAI, nnU-Net)
    centre    1 in the inner half, next to nothing outside: the border counts only where no other window reaches
    ========  =====================================================================================================

    Raises:
        ValueError: another kind.
    """
    if kind not in WEIGHTS:
        raise ValueError(f"unknown window weights {kind!r}: {', '.join(WEIGHTS)}")

    def ramp(n: int) -> np.ndarray:
        t = (np.arange(n) + 0.5) / n
        return {
            "uniform": lambda: np.ones(n),
            "linear": lambda: 2 * np.minimum(t, 1 - t),
            "cosine": lambda: np.sin(np.pi * t) ** 2,
            "gaussian": lambda: np.exp(-((t - 0.5) ** 2) / (2 * 0.125**2)),
            "centre": lambda: np.where(abs(t - 0.5) <= 0.25, 1.0, 0.0),
        }[kind]()

    # never 0, so that a pixel which only one border covers has a weight
    return np.maximum(np.outer(ramp(height), ramp(width)), 1e-6).astype(np.float32)
