"""Augmentation and normalisation under PaddleSeg's names; any number of bands, any number type.

A transform is ``t(sample, rng) -> sample``. It never writes to its input, draws only from ``rng``, and keeps
``image`` (H×W×C), ``label`` (H×W), ``valid`` (H×W bool, or None) and ``fields`` ({name: H×W×K}, if there are any) in
step. Sizes are [width, height], as in PaddleSeg. The image keeps its number type until ``Normalize``; values are in the
units of the file.
"""

from paddle_rsseg.data.transforms.base import Compose
from paddle_rsseg.data.transforms.choice import OneOf
from paddle_rsseg.data.transforms.distortion import PhotoMetricDistortion
from paddle_rsseg.data.transforms.fewshot import FewShotCrop
from paddle_rsseg.data.transforms.geometric import (
    RandomHorizontalFlip,
    RandomRotate90K,
    RandomRotation,
    RandomTranspose,
    RandomVerticalFlip,
)
from paddle_rsseg.data.transforms.photometric import Normalize, RandomBlur, RandomDistort, RandomNoise, SelectBands
from paddle_rsseg.data.transforms.size import (
    Padding,
    PaddingByAspectRatio,
    RandomPaddingCrop,
    RandomScaleAspect,
    Resize,
    ResizeByLong,
    ResizeByShort,
    ResizeRangeScaling,
    ResizeStepScaling,
)

__all__ = [
    "Compose",
    "FewShotCrop",
    "Normalize",
    "OneOf",
    "Padding",
    "PaddingByAspectRatio",
    "PhotoMetricDistortion",
    "RandomBlur",
    "RandomDistort",
    "RandomHorizontalFlip",
    "RandomNoise",
    "RandomPaddingCrop",
    "RandomRotate90K",
    "RandomRotation",
    "RandomScaleAspect",
    "RandomTranspose",
    "RandomVerticalFlip",
    "Resize",
    "ResizeByLong",
    "ResizeByShort",
    "ResizeRangeScaling",
    "ResizeStepScaling",
    "SelectBands",
]
