"""Bootstrap intervals: the same every time, of the right scores, and covering as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_rsseg.evaluation.bootstrap import bootstrap
from paddle_rsseg.evaluation.metrics import scores


def scene(rng, right: float, pixels: int = 400) -> np.ndarray:
    """Two classes, half each, of which a share ``right`` is called so."""
    hits = rng.binomial(pixels // 2, right, 2)
    return np.array([[hits[0], pixels // 2 - hits[0], 0], [pixels // 2 - hits[1], hits[1], 0], [0, 0, 0]])


def test_intervals_are_those_of_a_loop():
    rng = np.random.default_rng(1)
    matrices = [scene(rng, right) for right in (0.5, 0.9, 0.7, 0.8)] + [np.zeros((3, 3), int)]
    found = bootstrap(matrices, "scenes", resamples=200, level=0.9, seed=3)
    assert (found.units, found.unit, found.resamples, found.level) == (4, "scenes", 200, 0.9)  # one counts nothing
    rng = np.random.default_rng(3)
    drawn = np.concatenate([rng.multinomial(4, [0.25] * 4, 100) for _ in range(2)])
    loop = [scores(sum(n * m for n, m in zip(row, matrices, strict=False))) for row in drawn]
    for name in ("mIoU", "mIoU_present", "Acc"):
        assert getattr(found, name) == pytest.approx(tuple(np.percentile([s[name] for s in loop], [5, 95])))
    assert found.IoU[1] == pytest.approx(tuple(np.percentile([s["IoU"][1] for s in loop], [5, 95])))
    assert np.isnan(found.IoU[2]).all()
    assert bootstrap(matrices, "scenes", resamples=200, level=0.9, seed=3).mIoU == found.mIoU
    assert bootstrap(matrices, "scenes", resamples=200, level=0.9, seed=4).mIoU != found.mIoU


def test_they_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    truth = scores(sum(scene(rng, rng.beta(8, 2)) for _ in range(20_000)))["Acc"]
    covered = 0
    for _ in range(200):
        low, high = bootstrap([scene(rng, rng.beta(8, 2)) for _ in range(30)], resamples=300).Acc
        assert low < high
        covered += low <= truth <= high
    assert 0.87 <= covered / 200 <= 0.99  # 95 %, somewhat less with 30 scenes


def test_one_scene_says_nothing_about_others():
    rng = np.random.default_rng(0)
    assert bootstrap([scene(rng, 0.8)]) is None
    assert bootstrap([scene(rng, 0.8), np.zeros((3, 3), int)]) is None
