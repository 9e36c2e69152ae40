"""The last step of every export: the exported model must compute what the trained one computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from paddle_rsseg.errors import RssegError

Backend = Callable[[np.ndarray], np.ndarray]
Case = tuple[int, int, int]

#: largest accepted difference of two logits, relative to the largest logit of the image. Fused convolutions round
#: differently, 5e-6 for a ResNet-50 pyramid; a wrong interpolation is off by 1e-1
TOLERANCE = 1e-3
#: two classes whose logits differ by less than this, on the same scale, are a tie that rounding may decide
NEAR_TIE = 1e-3


@dataclass
class Comparison:
    """How two back ends agree over all cases.

    Attributes:
        error: largest difference of two logits, relative to the largest absolute logit of its case; inf where
            shapes differ or a value is not finite.
        disagreement: share of pixels with another label.
        wrong: pixels with another label that are no near tie.
        cases: (batch, height, width) that were compared.
    """

    error: float
    disagreement: float
    wrong: int
    cases: list[Case]

    @property
    def equal(self) -> bool:
        return self.error <= TOLERANCE and self.wrong == 0

    def or_refuse(self, model: str, computed_by: str) -> Comparison:
        """The comparison itself if it is equal.

        Raises:
            RssegError: it is not; ``computed_by`` is the program that computes something else than ``model``.
        """
        if self.equal:
            return self
        raise RssegError(
            model,
            f"the exported graph differs from the model: logits by {self.error:.1e} (relative), "
            f"{self.wrong} labels beyond near ties",
            f"at most {TOLERANCE:g} and none",
            f"not exported; {computed_by} computes something else",
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "max_relative_error": float(f"{self.error:.3g}"),
            "label_disagreement": float(f"{self.disagreement:.3g}"),
            "cases": [list(case) for case in self.cases],
        }


def odd_cases(multiple: int, size: tuple[int, int] | None = None) -> list[Case]:
    """(batch, height, width) over which to compare: one pixel, odd sizes, several images; or the one fixed size."""
    if size is not None:
        return [(1, *size), (2, *size)]
    return [(1, 1, 1), (1, 65, 97), (2, 31, 33), (3, 2 * multiple, 3 * multiple)]


def compare(reference: Backend, other: Backend, in_channels: int, cases: Iterable[Case], seed: int = 0) -> Comparison:
    """Run both back ends on random normalised images."""
    rng = np.random.default_rng(seed)
    result = Comparison(0.0, 0.0, 0, list(cases))
    pixels = changed = 0
    for batch, height, width in result.cases:
        image = rng.standard_normal((batch, in_channels, height, width), np.float32)
        expected, seen = np.asarray(reference(image)), np.asarray(other(image))
        if expected.shape != seen.shape or not (np.isfinite(expected).all() and np.isfinite(seen).all()):
            result.error = float("inf")
            continue
        scale = max(float(np.abs(expected).max()), 1e-12)
        result.error = max(result.error, float(np.abs(expected - seen).max()) / scale)
        labels, others = expected.argmax(1)[:, None], seen.argmax(1)[:, None]
        margin = np.take_along_axis(expected, labels, 1) - np.take_along_axis(expected, others, 1)
        result.wrong += int((margin > NEAR_TIE * scale).sum())
        changed += int((labels != others).sum())
        pixels += labels.size
    result.disagreement = changed / max(pixels, 1)
    return result
