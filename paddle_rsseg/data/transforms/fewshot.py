"""Crops that favour what is rare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from paddle_rsseg.data.transforms.base import Sample, cropped, padded, within
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import TRANSFORMS
from paddle_rsseg.windows import grid


@TRANSFORMS.register()
class FewShotCrop:
    """One window of a grid, drawn among those in which ``classes`` have a share of at least ``min_ratio`` (SegHZ).

    With the defaults a 512² tile has nine windows of 256², in steps of 128. An image smaller than a window is filled up
    at the right and bottom.

    Args:
        classes: the rare classes, numbered from 0: of Hangzhou's 20 classes 8 … 17, of its 11 classes 6 … 9.
        version: what happens where no window has that share. ``v0``: the sample teaches nothing, every label is
            ignored; ``v1``: the window with the largest share, the first of several; ``v2``: any window.
        crop_size: side of a window in pixels.
        overlap: share of a side by which neighbours overlap.
        min_ratio: of all pixels of a window, unlabelled ones included.
        im_padding_value: in the units of the file; one number, or one a band.
        ignore_index: label of new pixels, and of what teaches nothing.
    """

    def __init__(
        self,
        classes: Sequence[int],
        version: Literal["v0", "v1", "v2"] = "v1",
        crop_size: int = 256,
        overlap: float = 0.5,
        min_ratio: float = 0.1,
        im_padding_value: float | list[float] = 0,
        ignore_index: int = 255,
    ):
        if not classes:
            raise RssegError("FewShotCrop.classes", "an empty list", "class numbers from 0")
        self.rare = np.zeros(256, bool)
        self.rare[[within(k, "FewShotCrop.classes", 0, 255) for k in classes]] = True
        if version not in ("v0", "v1", "v2"):
            raise RssegError("FewShotCrop.version", repr(version), "v0, v1 or v2")
        self.version = version
        self.crop_size = within(crop_size, "FewShotCrop.crop_size", 1, math.inf)
        self.stride = math.ceil(crop_size * (1 - within(overlap, "FewShotCrop.overlap", 0, 0.99)))
        self.min_ratio = within(min_ratio, "FewShotCrop.min_ratio")
        self.im_padding_value = im_padding_value
        self.ignore_index = within(ignore_index, "FewShotCrop.ignore_index", 0, 255)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if "label" not in sample:
            raise RssegError(sample.get("name", "image"), "no label", "a label, by which FewShotCrop chooses a window")
        side = self.crop_size
        sample = padded(sample, side, side, self.im_padding_value, self.ignore_index)
        height, width = sample["label"].shape
        windows = list(grid(height, width, (side, side), (self.stride, self.stride)))
        rare = self.rare[sample["label"]]
        shares = [rare[window.slices].mean() for window in windows]
        candidates = [i for i, share in enumerate(shares) if share >= self.min_ratio]
        hopeless = not candidates
        if hopeless:
            candidates = [int(np.argmax(shares))] if self.version == "v1" else list(range(len(windows)))
        window = windows[candidates[rng.integers(len(candidates))]]
        out = cropped(sample, window.y0, window.x0, side, side)
        if hopeless and self.version == "v0":
            out["label"] = np.full_like(out["label"], self.ignore_index)
            if "fields" in out:  # 0, as in padding: a target of no class
                out["fields"] = {name: np.zeros_like(array) for name, array in out["fields"].items()}
        return out
