"""Boundary IoU against erosion of whole masks, class by class, and however the rows arrive."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from paddle_rsseg.cli.measures import RIM
from paddle_rsseg.evaluation.boundary import RATIO, BoundaryCounter, boundary_scores, rim_width


def rim(mask: np.ndarray, distance: int) -> np.ndarray:
    """The mask without its erosion: pixels of it whose square of ±``distance`` is not all mask, outside is none."""
    squares = sliding_window_view(np.pad(mask, distance), (2 * distance + 1, 2 * distance + 1))
    return mask & ~squares.all(axis=(2, 3))


def by_steps(mask: np.ndarray, distance: int) -> np.ndarray:
    """The same by so many erosions of 3×3, as the paper has it."""
    left = np.pad(mask, distance).astype(np.uint8)
    for _ in range(distance):
        left = cv2.erode(left, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & (left[distance:-distance, distance:-distance] == 0)


def naive(truth, prediction, classes, distance, rim=rim):
    rims = [(rim(truth == k, distance), rim(prediction == k, distance)) for k in range(classes)]
    return np.array([[(t & p).sum() for t, p in rims], [t.sum() for t, _ in rims], [p.sum() for _, p in rims]])


def counted(truth, prediction, classes, distance, cuts):
    counter = BoundaryCounter(classes, distance, truth.shape[1])
    rows = [0, *sorted({min(cut, len(truth)) for cut in cuts} - {0, len(truth)}), len(truth)]
    for y0, y1 in pairwise(rows):
        counter.add(truth[y0:y1], prediction[y0:y1])
    return counter.finish()


def maps(height, width, classes, seed):
    """Truth and a prediction that differs here and there; some of both counts nowhere."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (height // 5 + 1, width // 5 + 1), np.uint8)
    truth = coarse.repeat(5, 0).repeat(5, 1)[:height, :width].copy()
    prediction = np.where(rng.random(truth.shape) < 0.1, rng.integers(0, classes, truth.shape), truth).astype(np.uint8)
    nowhere = (rng.random(truth.shape) < 0.01) | (np.arange(width) < seed % 3)
    truth[nowhere] = prediction[nowhere] = 255
    return truth, prediction


@settings(deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 30), st.integers(1, 4), st.integers(1, 12), st.lists(st.integers(1, 40)),
    st.integers(0, 99),
)  # fmt: skip
def test_in_any_bands_it_is_that_of_whole_masks(height, width, classes, distance, cuts, seed):
    truth, prediction = maps(height, width, classes, seed)
    found = counted(truth, prediction, classes, distance, cuts)
    assert found.dtype == np.int64
    assert found.tolist() == naive(truth, prediction, classes, distance).tolist()


@pytest.mark.parametrize("distance", [1, 2, 7])
def test_one_square_is_as_many_steps(distance):
    truth, _ = maps(31, 44, 2, 0)
    np.testing.assert_array_equal(rim(truth == 1, distance), by_steps(truth == 1, distance))


def test_more_pixels_than_are_worked_on_at_once():
    truth, prediction = maps(1500, 700, 5, 0)
    found = counted(truth, prediction, 5, 9, [1100])
    assert found.tolist() == naive(truth, prediction, 5, 9, by_steps).tolist()


def test_a_shifted_square_by_hand():
    truth, prediction = np.zeros((2, 12, 12), np.uint8)
    truth[3:9, 3:9] = prediction[3:9, 4:10] = 1
    found = boundary_scores(counted(truth, prediction, 2, 1, [5]))
    # rims of 20 pixels each; rows 3 and 8 share columns 4..8, the sides meet nowhere
    assert found["IoU"][1] == pytest.approx(10 / 30)
    same = boundary_scores(counted(truth, truth, 3, 1, []))
    assert same["IoU"][:2] == [1, 1]
    assert np.isnan(same["IoU"][2])
    assert same["mIoU"] == 1
    assert np.isnan(boundary_scores(np.zeros((3, 2)))["mIoU"])


def test_the_rim_follows_the_window_and_not_the_scene():
    assert rim_width(896, 896, (896, 896)) == 25
    assert rim_width(20_000, 20_000, (896, 896)) == 25
    assert rim_width(100, 120, (896, 896)) == 3
    assert rim_width(4, 4, (896, 896)) == 1
    assert rim_width(512, 512, (512, 512), 0.005) == 4


def test_the_command_line_means_the_same_ratio():
    assert RIM == RATIO
