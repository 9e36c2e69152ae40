"""PointLoss, value and gradient, against loops over the points."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import log_softmax
from test_losses_naive import slope

from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import LOSSES

CLASSES, POINTS, SIZE = 4, 6, (5, 3)
SAMPLING = pytest.mark.parametrize("sampling", ["nearest", "bilinear"])


def label_at(label: np.ndarray, x: float, y: float, sampling: str) -> int:
    """One point of one H×W label; 0 and 1 are the image's edges."""
    height, width = label.shape
    column = min(max(x * width - 0.5, 0), width - 1)
    row = min(max(y * height - 0.5, 0), height - 1)
    votes: dict[int, float] = {}
    for i in range(height):
        for j in range(width):
            near = max(0, 1 - abs(i - row)) * max(0, 1 - abs(j - column))
            if sampling == "nearest":
                near = float(abs(i - row) < 0.5 and abs(j - column) < 0.5)
            votes[label[i, j]] = votes.get(label[i, j], 0) + near
    return max(votes, key=votes.__getitem__)


def naive(logits: np.ndarray, points: np.ndarray, label: np.ndarray, sampling: str) -> float:
    """N×K×P×1 logits, N×P×2 points, N×H×W label."""
    losses = []
    for image, places, truth in zip(log_softmax(logits)[..., 0], points, label, strict=True):
        for k, (x, y) in enumerate(places):
            target = label_at(truth, x, y, sampling)
            if target != 255:
                losses.append(-image[target, k])
    return float(np.mean(losses)) if losses else 0.0


def run(logits, points, label, sampling="nearest", dtype="float64", **options):
    x = paddle.to_tensor(logits.astype(dtype), stop_gradient=False)
    places = paddle.to_tensor(points.transpose(0, 2, 1)[..., None].astype(dtype), stop_gradient=False)
    loss = LOSSES.build({"type": "PointLoss", "sampling": sampling, **options})
    value = loss(paddle.concat([x, places], axis=1), paddle.to_tensor(label))
    value.backward()
    assert places.grad is None or not places.grad.numpy().any()
    return value, x.grad.numpy()


def example(seed: int, kind: str = "all", spread: float = 1.0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CLASSES, (2, *SIZE))
    if kind == "one class":
        label[:] = 2
    if kind == "some ignored":
        label[rng.random(label.shape) < 0.4] = 255
    if kind == "one image ignored":
        label[0] = 255
    return spread * rng.standard_normal((2, CLASSES, POINTS, 1)), rng.random((2, POINTS, 2)), label


@SAMPLING
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(["all", "one class", "some ignored", "one image ignored"]),
    spread=st.sampled_from([0.3, 6.0]),
)
def test_value_and_gradient(sampling, seed, kind, spread):
    logits, points, label = example(seed, kind, spread)
    value, gradient = run(logits, points, label, sampling)
    assert value.item() == pytest.approx(naive(logits, points, label, sampling), rel=1e-10, abs=1e-13)
    expected = slope(lambda x, y: naive(x, points, y, sampling), logits, label)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7 * max(1, value.item()))


@SAMPLING
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(["all", "some ignored"]))
def test_extreme_logits(sampling, seed, kind):
    logits, points, label = example(seed, kind)
    logits += np.random.default_rng(seed).choice([-1e4, 1e4], logits.shape)
    value, _ = run(logits, points, label, sampling)
    assert value.item() == pytest.approx(naive(logits, points, label, sampling), rel=1e-9, abs=1e-12)
    single, gradient = run(logits, points, label, sampling, "float32")
    assert np.isfinite(single.item())
    assert np.isfinite(gradient).all()


@SAMPLING
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_all_ignored_is_zero(sampling, scale):
    logits, points, label = example(0, spread=scale)
    value, gradient = run(logits, points, np.full_like(label, 255), sampling, "float32")
    assert value.shape == []
    assert value.item() == 0.0
    np.testing.assert_array_equal(gradient, 0.0)


@SAMPLING
def test_the_outer_edges(sampling):
    logits, _, label = example(1)
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0.5 / 3, 0.1], [2.5 / 3, 0.9]])[None].repeat(2, 0)
    value, _ = run(logits, points, label, sampling)
    assert value.item() == pytest.approx(naive(logits, points, label, sampling))


def test_the_samplings_differ():
    # three of four neighbours are of class 1, the nearest is not
    label = np.array([[[0, 1], [1, 1]]])
    logits = np.zeros((1, 2, 1, 1)) + np.array([0.0, 3.0]).reshape(1, 2, 1, 1)
    points = np.full((1, 1, 2), (0.25 + 0.5 * 0.4))
    nearest, bilinear = (run(logits, points, label, sampling)[0].item() for sampling in ("nearest", "bilinear"))
    assert nearest == pytest.approx(np.log1p(np.exp(3)))
    assert bilinear == pytest.approx(np.log1p(np.exp(-3)))


@SAMPLING
def test_half_precision_labels_and_ignore_index(sampling):
    logits, points, label = example(2)
    before = label.astype("uint8")
    value, _ = run(logits, points, before, sampling, ignore_index=2)
    assert value.item() == pytest.approx(naive(logits, points, np.where(label == 2, 255, label), sampling))
    np.testing.assert_array_equal(before, label)
    output = np.concatenate([logits, np.full((2, 2, POINTS, 1), 0.5)], 1)
    half = LOSSES.build({"type": "PointLoss"})(paddle.to_tensor(output).astype("bfloat16"), paddle.to_tensor(label))
    assert half.dtype == paddle.float32


def test_wrong_options_and_labels():
    logits, points, label = example(3)
    with pytest.raises(RssegError, match="nearset"):
        run(logits, points, label, "nearset")
    with pytest.raises(RssegError, match=r"\[4\].*4 classes"):
        run(logits, points, np.full_like(label, 4))
