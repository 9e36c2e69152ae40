"""Temperature, calibration error and thresholds against loops; the sample is the same however pixels arrive."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_rsseg.evaluation.calibration import (
    BINS,
    Sample,
    Sampler,
    calibrate,
    fit_temperature,
    log_probabilities,
    quality,
    thresholds,
)


def softmax(logits, axis=-1):
    share = np.exp(logits - logits.max(axis, keepdims=True))
    return share / share.sum(axis, keepdims=True)


def drawn(n, classes, temperature, seed=0):
    """Probabilities that are too sharp by ``temperature``, and truths drawn from the right ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes))
    right = softmax(logits).cumsum(1)
    truth = np.minimum((rng.random(n)[:, None] > right).sum(1), classes - 1).astype(np.uint8)
    return softmax(logits * temperature).astype(np.float32), truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 4.0])
@pytest.mark.parametrize("classes", [2, 7])
def test_a_known_temperature_is_found(temperature, classes):
    p, truth = drawn(40_000, classes, temperature)
    assert fit_temperature(p, truth) == pytest.approx(temperature, rel=0.03)


def test_the_fit_is_where_the_likelihood_is_best():
    p, truth = drawn(3000, 4, 2.2)
    best = fit_temperature(p, truth)

    def nll(t):
        return quality(log_probabilities(p, t), truth).nll

    assert nll(best) <= min(nll(best * 1.001), nll(best / 1.001), nll(1.0))


def test_without_errors_the_temperature_is_not_determined():
    p, _ = drawn(500, 3, 1.0)
    truth = p.argmax(1).astype(np.uint8)
    sample = Sample(np.arange(500.0), np.zeros(500, np.int32), truth, p, 500)
    found = calibrate(sample, sample.image)
    assert found.at_limit
    assert found.held_out is None  # one image


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 99))
def test_quality_is_the_naive_one(n, classes, seed):
    p, truth = drawn(n, classes, 2.0, seed)
    found = quality(log_probabilities(p), truth)
    bins = [[0, 0, 0.0] for _ in range(BINS)]
    nll = brier = 0.0
    for row, t in zip(np.exp(log_probabilities(p)).tolist(), truth.tolist(), strict=True):
        k = row.index(max(row))
        place = next(b for b in range(BINS) if row[k] <= (b + 1) / BINS or b == BINS - 1)
        bins[place] = [bins[place][0] + 1, bins[place][1] + (k == t), bins[place][2] + row[k]]
        nll -= math.log(row[t]) / n
        brier += sum((share - (k == t)) ** 2 for k, share in enumerate(row)) / n
    gaps = [abs(right / m - total / m) for m, right, total in bins if m]
    assert found.ece == pytest.approx(sum(m / n * abs(right / m - total / m) for m, right, total in bins if m))
    assert found.mce == pytest.approx(max(gaps))
    assert (found.nll, found.brier) == (pytest.approx(nll), pytest.approx(brier, abs=1e-9))
    np.testing.assert_allclose(found.bins, bins)


def test_before_after_and_held_out():
    p, truth = drawn(60_000, 5, 2.0)
    image = (np.arange(60_000) % 4).astype(np.int32)
    found = calibrate(Sample(np.arange(60_000.0), image, truth, p, 10**6), image, used=1.0)
    assert found.fitted == pytest.approx(2, rel=0.03)
    assert found.before.ece > 0.1
    assert max(found.after.ece, found.held_out.ece) < 0.012
    assert found.after.nll < found.before.nll
    assert found.after.brier < found.before.brier
    assert found.halves == (pytest.approx(2, rel=0.05), pytest.approx(2, rel=0.05))
    assert (found.pixels, found.seen, found.at_limit) == (60_000, 10**6, False)
    parts = calibrate(Sample(np.arange(60_000.0), image, truth, p, 10**6), np.zeros(60_000, int))
    assert parts.held_out is None  # all of one scene
    plain = found.as_dict()
    assert plain["before"]["ECE"] == found.before.ece
    assert len(plain["after"]["bins (pixels, right, sum of confidence)"]) == BINS


@settings(deadline=None)
@given(st.integers(1, 50), st.floats(0.3, 1.0), st.integers(0, 99))
def test_thresholds_are_the_least_that_do(n, precision, seed):
    p, truth = drawn(n, 3, 1.0, seed)
    p = np.round(p, 1) + np.float32(1e-3)  # many equal confidences
    logs = log_probabilities(p)
    share = np.exp(logs)
    chosen, confidence = share.argmax(1), share.max(1)
    for k, found in enumerate(thresholds(logs, truth, precision)):
        enough = [
            c for c in sorted(set(confidence[chosen == k]))
            if (truth[(chosen == k) & (confidence >= c)] == k).mean() >= precision
        ]  # fmt: skip
        if not enough:
            assert found.confidence is None
            continue
        kept = (chosen == k) & (confidence >= enough[0])
        assert found.confidence == pytest.approx(enough[0])
        assert found.pixels == kept.sum()
        assert found.precision == pytest.approx((truth[kept] == k).mean())
        if (truth == k).any():
            assert found.recall == pytest.approx((truth[kept] == k).sum() / (truth == k).sum())


def images():
    rng = np.random.default_rng(0)
    for height, width in ((30, 20), (11, 50), (40, 40)):
        p = softmax(rng.normal(0, 1, (3, height, width)), 0).astype(np.float32)
        yield rng.integers(0, 3, (height, width)).astype(np.uint8), rng.random((height, width)) < 0.8, p


def sampled(indices, size, step):
    sampler = Sampler(3, size, seed=5)
    for index, (truth, counted, p) in enumerate(images()):
        if index in indices:
            sampler.start(index)
            for y in range(0, len(truth), step):
                sampler.add(truth[y : y + step], counted[y : y + step], p[:, y : y + step])
    return sampler.finish()


@pytest.mark.parametrize("size", [50, 700, 10**5])
def test_the_sample_does_not_depend_on_bands_or_processes(size):
    whole = sampled((0, 1, 2), size, 1000)
    total = sum(int(counted.sum()) for _, counted, _ in images())
    assert whole.seen == total
    assert len(whole.keys) == min(size, total)
    shared = Sample.smallest([sampled((1,), size, 7), sampled((0, 2), size, 3)], size)
    for name in ("keys", "image", "truth", "probabilities"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(shared, name))
    assert shared.seen == total
    # every pixel in it is one of an image, and each image has its share
    for index, (truth, counted, p) in enumerate(images()):
        own = whole.image == index
        assert abs(own.mean() - counted.sum() / total) < 0.15
        pixels = {(int(t), *q) for t, q in zip(truth[counted], p[:, counted].T.tolist(), strict=True)}
        assert {
            (int(t), *q) for t, q in zip(whole.truth[own], whole.probabilities[own].tolist(), strict=True)
        } <= pixels
