"""Are probabilities what they say? Temperature, calibration error, reliability, thresholds for a precision.

All of it is computed on a uniform sample of the counted pixels, drawn with a seed from all images together: memory is
bounded, and neither the number of processes nor the way the rows arrive changes a pixel of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: pixels of the sample; the standard error of a share is then below 0.12 %
PIXELS = 200_000
BINS = 15  # of confidence, as Guo et al. 2017
COOLEST, HOTTEST = 0.05, 20.0
#: probabilities below count as this, so that one pixel that was thought impossible does not make the mean infinite
LEAST = 1e-12


@dataclass
class Sample:
    """Pixels and what the network thought of them.

    Attributes:
        keys: n random numbers, ascending: the pixels with the smallest of all.
        image: n, the index of the image that each comes from.
        truth: n class numbers.
        probabilities: n×K float32, at temperature 1.
        seen: how many pixels there were to draw from.
    """

    keys: np.ndarray
    image: np.ndarray
    truth: np.ndarray
    probabilities: np.ndarray
    seen: int = 0

    @classmethod
    def empty(cls, classes: int) -> Sample:
        return cls(np.empty(0), np.empty(0, np.int32), np.empty(0, np.uint8), np.empty((0, classes), np.float32))

    @classmethod
    def smallest(cls, parts: Sequence[Sample], size: int) -> Sample:
        """The ``size`` pixels of smallest key among those of all parts."""
        keys, image, truth, probabilities = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("keys", "image", "truth", "probabilities")
        )
        order = np.lexsort((image, keys))[:size]
        seen = sum(part.seen for part in parts)
        return cls(keys[order], image[order], truth[order], probabilities[order], seen)


class Sampler:
    """Draws the sample while images pass by; it holds up to twice the pixels.

    Each pixel has a random key that depends on the seed, its image and its place alone.
    """

    def __init__(self, classes: int, size: int = PIXELS, seed: int = 0):
        self.size, self.seed = size, seed
        self.sample = Sample.empty(classes)
        self._waiting: list[Sample] = []
        self._limit = 1.0  # pixels with larger keys cannot be in the sample
        self._index, self._rng = -1, np.random.default_rng(seed)

    def start(self, index: int) -> None:
        """The rows to come are image ``index``'s, from its top."""
        self._index, self._rng = index, np.random.default_rng([self.seed, index])

    def add(self, truth: np.ndarray, counted: np.ndarray, probabilities: np.ndarray) -> None:
        """The next rows.

        Args:
            truth: rows×width class numbers; counted: likewise, bool; probabilities: K×rows×width float32.
        """
        keys = self._rng.random(truth.shape)
        near = counted & (keys < self._limit)
        if np.count_nonzero(near) > self.size:  # of so many the others of these rows are enough to keep some out
            near &= keys <= np.partition(keys[near], self.size - 1)[self.size - 1]
        rows, columns = np.nonzero(near)
        drawn = Sample(
            keys[rows, columns],
            np.full(len(rows), self._index, np.int32),
            truth[rows, columns].astype(np.uint8),
            probabilities[:, rows, columns].T.astype(np.float32, order="C"),
            int(np.count_nonzero(counted)),
        )
        self._waiting.append(drawn)
        if sum(len(part.keys) for part in self._waiting) >= self.size:
            self.finish()

    def finish(self) -> Sample:
        """The sample of everything so far."""
        self.sample = Sample.smallest([self.sample, *self._waiting], self.size)
        self._waiting = []
        if len(self.sample.keys) == self.size:
            self._limit = float(self.sample.keys[-1])
        return self.sample


def log_probabilities(probabilities: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """n×K → logarithms of p^(1/T) / Σ p^(1/T), float64."""
    return _tempered(np.log(np.maximum(probabilities, LEAST, dtype=np.float64)), 1 / temperature)


def _tempered(logs: np.ndarray, coldness: float) -> np.ndarray:
    scores = logs * coldness
    scores -= scores.max(axis=1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def fit_temperature(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The temperature T that makes the mean of -ln p(truth) of p^(1/T) least (Guo et al., ICML 2017).

    In 1/T that mean is convex with the slope ``mean(E[ln p] - ln p(truth))``, so halving finds the one minimum. T lies
    in 0.05..20; at an end of that range the pixels do not determine it (all right, or no better than chance).
    """
    logs = np.log(np.maximum(probabilities, LEAST, dtype=np.float64))
    chosen = float(logs[np.arange(len(truth)), truth].mean())
    low, high = math.log(1 / HOTTEST), math.log(1 / COOLEST)  # of ln 1/T
    for _ in range(40):
        middle = (low + high) / 2
        expected = (np.exp(_tempered(logs, math.exp(middle))) * logs).sum(axis=1).mean()
        low, high = (low, middle) if expected > chosen else (middle, high)
    return math.exp(-(low + high) / 2)


@dataclass(frozen=True)
class Quality:
    """How good probabilities are.

    Attributes:
        nll: mean of -ln p(truth), in nats.
        brier: mean over pixels of Σ_k (p_k - [k is the truth])², 0..2.
        ece: expected calibration error: Σ over bins of (share of pixels) · |accuracy - mean confidence|, 0..1.
        mce: the largest of these differences over bins that hold at least a thousandth of the pixels.
        bins: BINS × (pixels, right ones, sum of confidence), by the confidence of the chosen class, evenly in 0..1.
    """

    nll: float
    brier: float
    ece: float
    mce: float
    bins: np.ndarray


def quality(logs: np.ndarray, truth: np.ndarray) -> Quality:
    """Of n×K log-probabilities and n class numbers, n ≥ 1."""
    n = len(truth)
    share, own = np.exp(logs), np.arange(n)
    chosen = share.argmax(axis=1)
    confidence = share[own, chosen]
    brier = float(((share**2).sum(axis=1) - 2 * share[own, truth] + 1).mean())
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    columns = (None, (chosen == truth).astype(np.float64), confidence)
    bins = np.column_stack([np.bincount(place, weights, BINS) for weights in columns])
    filled = bins[bins[:, 0] > 0]
    gap = np.abs(filled[:, 1] - filled[:, 2]) / filled[:, 0]
    ece, mce = float((filled[:, 0] * gap).sum() / n), float(gap[filled[:, 0] >= n / 1000].max())
    return Quality(float(-logs[own, truth].mean()), brier, ece, mce, bins)


@dataclass(frozen=True)
class Threshold:
    """From which confidence on the pixels called a class are right often enough.

    Attributes:
        confidence: the least one; None: none is enough.
        precision: of the pixels called so with that confidence or more.
        recall: share of the class's true pixels among them.
        pixels: how many of the sample.
    """

    confidence: float | None
    precision: float
    recall: float
    pixels: int


def thresholds(logs: np.ndarray, truth: np.ndarray, precision: float) -> list[Threshold]:
    """One a class: the least confidence with at least this ``precision`` (0..1) among the pixels called so."""
    chosen = logs.argmax(axis=1)
    confidence = np.exp(logs[np.arange(len(truth)), chosen])
    found = []
    for k in range(logs.shape[1]):
        called = np.flatnonzero(chosen == k)
        called = called[np.argsort(-confidence[called], kind="stable")]
        right, number = np.cumsum(truth[called] == k), np.arange(1, len(called) + 1)
        # equal confidences are kept or dropped together
        ends = np.append(np.diff(confidence[called]) != 0, True)[: len(called)]
        enough = np.flatnonzero(ends & (right >= precision * number))
        if not len(enough):
            found.append(Threshold(None, math.nan, math.nan, 0))
            continue
        last, true = int(enough[-1]), int(np.count_nonzero(truth == k))
        recall = float(right[last] / true) if true else math.nan
        found.append(Threshold(float(confidence[called[last]]), float(right[last] / (last + 1)), recall, last + 1))
    return found


@dataclass(frozen=True)
class Calibration:
    """What a sample of pixels says about the probabilities.

    Attributes:
        before, after: at the temperature that was in use, and at the fitted one.
        used, fitted: these temperatures.
        held_out: the quality when each half of the scenes gets the temperature fitted on the other half; None with
            fewer than two scenes.
        halves: those two temperatures.
        pixels, seen: of the sample, and how many it was drawn from.
        precision, thresholds: see :func:`thresholds`; of the probabilities at the fitted temperature.
    """

    before: Quality
    after: Quality
    used: float
    fitted: float
    held_out: Quality | None
    halves: tuple[float, float] | None
    pixels: int
    seen: int
    precision: float
    thresholds: tuple[Threshold, ...]

    @property
    def at_limit(self) -> bool:
        """The pixels did not determine the temperature."""
        return not COOLEST * 1.01 < self.fitted < HOTTEST / 1.01

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""

        def numbers(found: Quality) -> dict[str, Any]:
            plain = {"NLL": found.nll, "Brier": found.brier, "ECE": found.ece, "MCE": found.mce}
            return plain | {"bins (pixels, right, sum of confidence)": found.bins.tolist()}

        held = {} if self.held_out is None else {"held out": numbers(self.held_out), "halves": list(self.halves or ())}
        return {
            "temperature": self.fitted, "temperature before": self.used, "pixels": self.pixels, "of": self.seen,
            "before": numbers(self.before), "after": numbers(self.after), **held,
        }  # fmt: skip


def calibrate(sample: Sample, scene: np.ndarray, used: float = 1.0, precision: float = 0.9) -> Calibration:
    """Fit the temperature and measure before and after.

    Args:
        sample: at least one pixel.
        scene: n, a number for what each pixel's image is a part of: every other scene makes one half.
        used: the temperature before.
        precision: see :func:`thresholds`.
    """
    p, truth = sample.probabilities, sample.truth
    fitted = fit_temperature(p, truth)
    after = log_probabilities(p, fitted)
    held_out, halves = None, None
    first = np.isin(scene, np.unique(scene)[::2])
    if not first.all():
        halves = fit_temperature(p[first], truth[first]), fit_temperature(p[~first], truth[~first])
        crossed = np.where(first[:, None], log_probabilities(p, halves[1]), log_probabilities(p, halves[0]))
        held_out = quality(crossed, truth)
    return Calibration(
        quality(log_probabilities(p, used), truth), quality(after, truth), used, fitted, held_out, halves,
        len(truth), sample.seen, precision, tuple(thresholds(after, truth, precision)),
    )  # fmt: skip
