"""Confusion matrix and scores against loops that follow the definitions word by word."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_rsseg.evaluation.confusion import confusion_matrix
from paddle_rsseg.evaluation.metrics import prior_iou, scores


def naive_matrix(prediction, label, classes, ignore):
    matrix = [[0] * classes for _ in range(classes)]
    for p, t in zip(prediction.ravel().tolist(), label.ravel().tolist(), strict=True):
        if p != ignore and t != ignore:
            matrix[t][p] += 1
    return matrix


@given(st.integers(1, 7), st.integers(0, 60), st.integers(0, 99), st.sampled_from(["uint8", "int64"]))
def test_matrix_is_the_naive_one(classes, pixels, seed, dtype):
    rng = np.random.default_rng(seed)
    values = np.array([*range(classes), 255])
    prediction, label = rng.choice(values, (2, pixels)).astype(dtype)
    matrix = confusion_matrix(prediction, label, classes)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == naive_matrix(prediction, label, classes, 255)


def test_ignore_index_may_be_a_class_number():
    matrix = confusion_matrix(np.array([0, 1, 2, 1]), np.array([0, 0, 1, 2]), 3, ignore_index=0)
    assert matrix.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("prediction", "label", "message"),
    [
        ([0, 1], [0, 7], r"1 label pixels of \[7\]"),
        ([9, 9], [0, 0], r"2 prediction pixels of \[9\]"),
        ([0, 1], [0, 300], "label values 0 to 300"),
        ([0, -1], [0, 0], "prediction values -1 to 0"),
        ([0.0, 1.0], [0, 0], "not whole numbers"),
        ([0], [0, 1], "differ in shape"),
    ],
)
def test_what_is_no_class_is_told(prediction, label, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(prediction), np.array(label), 3)


def test_a_matrix_counts_beyond_2_to_24():
    # float32 sums, as some use, stop growing here
    matrix = confusion_matrix(np.zeros(2**24 + 3, np.uint8), np.zeros(2**24 + 3, np.uint8), 2)
    assert matrix[0, 0] == 2**24 + 3


def naive_scores(m):
    k, total = len(m), sum(map(sum, m))
    truth, predicted = [sum(m[i]) for i in range(k)], [sum(m[i][j] for i in range(k)) for j in range(k)]
    nan = float("nan")

    def ratio(a, b):
        return a / b if b else nan

    iou = [ratio(m[i][i], truth[i] + predicted[i] - m[i][i]) for i in range(k)]
    precision, recall = [ratio(m[i][i], predicted[i]) for i in range(k)], [ratio(m[i][i], truth[i]) for i in range(k)]
    f1 = [ratio(2 * m[i][i], truth[i] + predicted[i]) for i in range(k)]
    present = [i for i in range(k) if truth[i] or predicted[i]]
    acc = ratio(sum(m[i][i] for i in range(k)), total)
    chance = ratio(sum(truth[i] * predicted[i] for i in range(k)), total * total)
    return {
        "IoU": iou,
        "precision": precision,
        "recall": recall,
        "F1": f1,
        "mIoU": sum(iou[i] for i in present) / k,
        "mIoU_present": ratio(sum(iou[i] for i in present), len(present)),
        "fwIoU": ratio(sum(truth[i] * iou[i] for i in present), total),
        "Acc": acc,
        "mAcc": ratio(sum(recall[i] for i in range(k) if truth[i]), sum(t > 0 for t in truth)),
        "entropy": -sum(t / total * math.log(t / total) for t in truth if t) if total else nan,
        "Kappa": ratio(acc - chance, 1 - chance),
        "Dice": sum(f1[i] for i in present) / k,
        "truth": truth,
        "predicted": predicted,
        "pixels": total,
    }


@given(
    st.integers(1, 6).flatmap(
        lambda k: st.lists(st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=k, max_size=k)
    )
)
def test_scores_are_the_naive_ones(matrix):
    expected, seen = naive_scores(matrix), scores(np.array(matrix, np.int64))
    assert seen.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(seen[name], value, rtol=1e-12, atol=1e-12, err_msg=name)


def test_scores_by_hand():
    found = scores(np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]]))
    assert found["IoU"][:2] == [8 / 11, 9 / 12]
    assert found["mIoU"] == pytest.approx((8 / 11 + 9 / 12) / 3)  # the absent third class counts 0
    assert found["mIoU_present"] == pytest.approx((8 / 11 + 9 / 12) / 2)
    assert found["Acc"] == 0.85
    assert found["Kappa"] == pytest.approx(0.7)
    assert found["Dice"] == pytest.approx((16 / 19 + 18 / 21) / 3)


def test_given_frequencies():
    assert prior_iou([0.5, 0.25], [0.2, 0.8]) == pytest.approx(0.3)
    assert math.isnan(prior_iou([0.5, math.nan], [1.0, 0.0]))
