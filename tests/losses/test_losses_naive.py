"""Each loss, value and gradient, against its formula in NumPy: on random labels, on one class, and on sure logits."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive import NAIVE, Function

from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import LOSSES

CASES = pytest.mark.parametrize(("spec", "function"), [c[1:] for c in NAIVE], ids=[c[0] for c in NAIVE])
SHAPE = (2, 4, 3, 4)  # `per_image` of OHEM counts on two images


def ours(spec: dict) -> paddle.nn.Layer:
    return LOSSES.build(spec).eval()


def run(spec: dict, logits: np.ndarray, label: np.ndarray, dtype: str = "float64") -> tuple[paddle.Tensor, np.ndarray]:
    x = paddle.to_tensor(logits.astype(dtype), stop_gradient=False)
    value = ours(spec)(x, paddle.to_tensor(label))
    value.backward()
    return value, x.grad.numpy()


def slope(function: Function, logits: np.ndarray, label: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences."""
    gradient = np.zeros_like(logits)
    for index in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up, label) - function(down, label)) / (2 * step)
    return gradient


def labels(rng: np.random.Generator, kind: str) -> np.ndarray:
    label = rng.integers(0, SHAPE[1], (SHAPE[0], *SHAPE[2:]))
    if kind == "one class":
        label[:] = rng.integers(0, SHAPE[1])
    if kind in ("some ignored", "one image ignored", "one pixel"):
        label[rng.random(label.shape) < 0.4] = 255
    if kind == "one image ignored":
        label[0] = 255
        label[1, 0, 0] = 1
    if kind == "one pixel":
        label[:] = 255
        label[1, 2, 1] = 3
    return label


LABELS = st.sampled_from(["all", "some ignored", "one class", "one image ignored", "one pixel"])


@CASES
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**31), kind=LABELS, spread=st.sampled_from([0.3, 2.0, 6.0]))
def test_value_and_gradient(spec, function, seed, kind, spread):
    rng = np.random.default_rng(seed)
    logits, label = spread * rng.standard_normal(SHAPE), labels(rng, kind)
    value, gradient = run(spec, logits, label)
    assert value.item() == pytest.approx(function(logits, label), rel=1e-10, abs=1e-13)
    expected = slope(function, logits, label)
    # what the differences can say: 1e-16 of an intermediate number, divided by the step
    np.testing.assert_allclose(
        gradient, expected, rtol=1e-5, atol=1e-7 * max(abs(expected).max(), abs(value.item())) + 1e-10
    )


@CASES
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**31), kind=LABELS)
def test_extreme_logits(spec, function, seed, kind):
    rng = np.random.default_rng(seed)
    logits = rng.choice([-1e4, 1e4], SHAPE) + rng.standard_normal(SHAPE)
    label = labels(rng, kind)
    value, gradient = run(spec, logits, label)
    assert value.item() == pytest.approx(function(logits, label), rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(
        gradient, slope(function, logits, label, 1e-4), rtol=1e-4, atol=1e-6 * abs(gradient).max() + 1e-9
    )
    single, gradient = run(spec, logits, label, "float32")
    assert np.isfinite(single.item())
    assert np.isfinite(gradient).all()


@CASES
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_all_ignored_is_zero(spec, function, scale):
    logits = scale * np.random.default_rng(0).standard_normal(SHAPE)
    value, gradient = run(spec, logits, np.full((SHAPE[0], *SHAPE[2:]), 255), "float32")
    assert value.shape == []
    assert value.item() == 0.0
    np.testing.assert_array_equal(gradient, 0.0)


@CASES
def test_ignored_pixels_have_no_gradient(spec, function):
    rng = np.random.default_rng(1)
    label = labels(rng, "some ignored")
    _, gradient = run(spec, rng.standard_normal(SHAPE), label)
    ignored = np.broadcast_to((label == 255)[:, None], SHAPE)
    assert gradient[ignored].any() == spec.get("ignored_as_background", False)
    assert gradient[~ignored].any()


@CASES
@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_labels_are_not_written_to(spec, function, dtype):
    rng = np.random.default_rng(2)
    before = labels(rng, "some ignored").astype(dtype)
    label = paddle.to_tensor(before)
    ours(spec)(paddle.to_tensor(rng.standard_normal(SHAPE)), label)
    assert label.numpy().dtype == dtype
    np.testing.assert_array_equal(label.numpy(), before)


@CASES
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(spec, function, dtype):
    rng = np.random.default_rng(3)
    half = paddle.to_tensor(4 * rng.standard_normal(SHAPE).astype("float32")).astype(dtype)
    label = labels(rng, "some ignored")
    value = ours(spec)(half, paddle.to_tensor(label))
    assert value.dtype == paddle.float32
    assert value.item() == pytest.approx(function(half.astype("float64").numpy(), label), rel=1e-5, abs=1e-6)


@CASES
def test_another_ignore_index(spec, function):
    rng = np.random.default_rng(4)
    logits, label = rng.standard_normal(SHAPE), labels(rng, "all")
    value = ours({**spec, "ignore_index": 2})(paddle.to_tensor(logits), paddle.to_tensor(label))
    assert value.item() == pytest.approx(function(logits, np.where(label == 2, 255, label)), rel=1e-10)


@CASES
@pytest.mark.parametrize("wrong", [4, -1])
def test_label_outside_the_classes(spec, function, wrong):
    label = np.zeros((SHAPE[0], *SHAPE[2:]), "int64")
    label[0, 1, 1] = wrong
    with pytest.raises(RssegError, match=rf"\[{wrong}\].*4 classes.*0 to 3.*255"):
        ours(spec)(paddle.rand(SHAPE), paddle.to_tensor(label))


@pytest.mark.parametrize(
    ("spec", "function"),
    [c[1:] for c in NAIVE if c[1]["type"] in ("BCELoss", "SigmoidFocalLoss", "BinaryLovaszLoss") and len(c[1]) < 3],
)
def test_one_channel_is_class_one(spec, function):
    if isinstance(spec.get("pos_weight"), list):
        spec = {**spec, "pos_weight": [1.0]}
        function = {c[0]: c[2] for c in NAIVE}["BCELoss"]
    rng = np.random.default_rng(5)
    logits, label = rng.standard_normal((2, 1, 3, 4)), rng.integers(0, 2, (2, 3, 4))
    label[0, 0] = 255
    value, gradient = run(spec, logits, label)
    assert value.item() == pytest.approx(function(logits, label), rel=1e-10)
    np.testing.assert_allclose(gradient, slope(function, logits, label), atol=1e-7)
