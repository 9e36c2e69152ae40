"""Transforms of transforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paddle_rsseg.data.transforms.base import Compose, Sample, within
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import TRANSFORMS


@TRANSFORMS.register()
class OneOf:
    """With probability ``prob`` one of ``transforms``, each as likely as the others; else the sample as it is.

    Args:
        transforms: components ``{type: …}``; give those that draw by themselves ``prob: 1``.
    """

    def __init__(self, transforms: Sequence[Mapping[str, Any]], prob: float = 1.0):
        if not transforms:
            raise RssegError("OneOf.transforms", "an empty list", "transforms to choose from")
        self.transforms = Compose(transforms).transforms
        self.prob = within(prob, "OneOf.prob")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        return self.transforms[rng.integers(len(self.transforms))](sample, rng)
