"""The losses of FarSeg++'s objectness against their formulas in NumPy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.objectness import ObjectnessBCELoss, ObjectnessDiceLoss

KINDS = [ObjectnessBCELoss, ObjectnessDiceLoss]


def case(seed: int = 0, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, (2, 5, 7))
    label[rng.random(label.shape) < 0.3] = 255
    return spread * rng.standard_normal((2, 1, 5, 7)), label


def formula(kind: type, logits: np.ndarray, label: np.ndarray, background: int) -> float:
    x = logits[:, 0][label != 255]
    y = (label[label != 255] != background).astype("float64")
    p = 1 / (1 + np.exp(-x))
    if kind is ObjectnessBCELoss:
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


@pytest.mark.parametrize("background", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_value(kind, background):
    logits, label = case()
    before = label.copy()
    labels = paddle.to_tensor(label)
    value = kind(background=background)(paddle.to_tensor(logits), labels)
    assert value.item() == pytest.approx(formula(kind, logits, label, background), rel=1e-12)
    np.testing.assert_array_equal(labels.numpy(), before)


@pytest.mark.parametrize("kind", KINDS)
def test_ignored_pixels_have_no_gradient(kind):
    logits, label = case()
    x = paddle.to_tensor(logits, stop_gradient=False)
    kind()(x, paddle.to_tensor(label)).backward()
    gradient = x.grad.numpy()[:, 0]
    assert not gradient[label == 255].any()
    assert gradient[label != 255].all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_ignored_pixels_is_zero(kind):
    logits, label = case()
    x = paddle.to_tensor(logits, stop_gradient=False)
    value = kind()(x, paddle.to_tensor(np.full_like(label, 255)))
    value.backward()
    assert value.item() == 0
    assert not x.grad.numpy().any()


@pytest.mark.parametrize("kind", KINDS)
def test_sure_logits_stay_finite(kind):
    _, label = case()
    x = paddle.full([2, 1, 5, 7], 1e4, "float32")
    x.stop_gradient = False
    value = kind()(x, paddle.to_tensor(label))
    value.backward()
    assert np.isfinite(value.item())
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_computed_in_float32(kind):
    logits, label = case()
    value = kind()(paddle.to_tensor(logits.astype("float16")), paddle.to_tensor(label))
    assert value.dtype == paddle.float32
    expected = formula(kind, logits.astype("float16").astype("float64"), label, 0)
    assert value.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_several_classes_are_refused(kind):
    with pytest.raises(RssegError, match="3 classes"):
        kind()(paddle.zeros([1, 3, 4, 4]), paddle.zeros([1, 4, 4], "int64"))
