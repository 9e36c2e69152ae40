"""Scores by size against a search pixel by pixel, and however the rows arrive."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_rsseg.evaluation.objects import ObjectCounter, object_scores

EDGES = (3, 12)


def components(labels: np.ndarray) -> list[tuple[int, frozenset]]:
    """(class, pixels) of every component, by walking from neighbour to neighbour."""
    left = {(y, x) for y, x in np.argwhere(labels != 255).tolist()}
    found = []
    while left:
        start = left.pop()
        kind, pixels, waiting = int(labels[start]), {start}, [start]
        while waiting:
            y, x = waiting.pop()
            for other in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                if other in left and labels[other] == kind:
                    left.remove(other)
                    pixels.add(other)
                    waiting.append(other)
        found.append((kind, frozenset(pixels)))
    return found


def naive(truth, prediction, classes, edges, pixel_area=1.0):
    bins = len(edges) + 1
    true, iou, called = np.zeros((bins, classes, 4), int), np.zeros((bins, classes)), np.zeros((bins, classes, 3), int)
    theirs = components(prediction)

    def size(pixels):
        return sum(len(pixels) * pixel_area >= edge for edge in edges)

    for kind, pixels in components(truth):
        touching = [p for k, p in theirs if k == kind and p & pixels]
        hits, union = len(pixels & frozenset().union(*touching)), len(pixels.union(*touching))
        true[size(pixels), kind] += [1, len(pixels), hits, 2 * hits >= union]
        iou[size(pixels), kind] += hits / union
    for kind, pixels in theirs:
        called[size(pixels), kind] += [1, len(pixels), not any(truth[p] == kind for p in pixels)]
    return true, iou, called


def counted(truth, prediction, classes, cuts, pixel_area=1.0):
    counter = ObjectCounter(classes, EDGES, pixel_area)
    rows = [0, *sorted({min(cut, len(truth)) for cut in cuts} - {0, len(truth)}), len(truth)]
    for y0, y1 in pairwise(rows):
        counter.add(truth[y0:y1], prediction[y0:y1])
    return counter.finish()


@settings(deadline=None)
@given(
    st.integers(1, 16), st.integers(1, 16), st.integers(1, 3), st.lists(st.integers(1, 15)), st.integers(0, 999),
    st.sampled_from([1.0, 0.25]), st.sampled_from([0.05, 0.4]),
)  # fmt: skip
def test_in_any_bands_it_is_the_naive_search(height, width, classes, cuts, seed, pixel_area, noise):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (height, width)).astype(np.uint8)
    truth = truth.repeat(2, 0).repeat(2, 1)[:height, :width]
    prediction = np.where(rng.random(truth.shape) < noise, rng.integers(0, classes, truth.shape), truth)
    prediction = prediction.astype(np.uint8)
    nowhere = rng.random(truth.shape) < 0.1
    truth, prediction = np.where(nowhere, np.uint8(255), truth), np.where(nowhere, np.uint8(255), prediction)
    found = counted(truth, prediction, classes, cuts, pixel_area)
    true, iou, called = naive(truth, prediction, classes, EDGES, pixel_area)
    np.testing.assert_array_equal(found.truth, true)
    np.testing.assert_allclose(found.iou, iou)
    np.testing.assert_array_equal(found.predicted, called)


def test_what_is_over_is_forgotten():
    # a snake down the whole image, and squares beside it in every band
    truth = np.zeros((400, 60), np.uint8)
    truth[::8, 5:60] = truth[:, 5] = 1
    counter, most = ObjectCounter(2, EDGES), 0
    for y in range(0, 400, 10):
        counter.add(truth[y : y + 10], truth[y : y + 10])
        most = max(most, counter._true.number, counter._pairs.shape[1])
    assert most <= 6
    assert counter.finish().truth[..., 0].sum() == 2 + 50  # the snake, what is left of it, and 50 gaps


def test_scores_by_hand():
    truth, prediction = np.zeros((2, 10, 10), np.uint8)
    truth[0:2, 0:2] = prediction[0:2, 0:3] = 1  # 4 pixels, found: IoU 4/6
    truth[5:9, 5:9] = prediction[5, 5:9] = 1  # 16 pixels, of which 4
    prediction[9, 0] = 1  # a false alarm of one pixel
    found = object_scores(counted(truth, prediction, 2, []))
    assert [row[1] for row in found["objects"]] == [0, 1, 1]
    assert [row[1] for row in found["found"]][1:] == [1, 0]
    assert [row[1] for row in found["recall"]][1:] == [1, 4 / 16]
    assert [row[1] for row in found["IoU"]][1:] == [pytest.approx(4 / 6), pytest.approx(4 / 16)]
    assert [row[1] for row in found["predicted"]] == [1, 2, 0]
    assert [row[1] for row in found["false"]][:2] == [1, 0]
    assert math.isnan(found["recall"][0][1])
