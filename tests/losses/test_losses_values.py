"""The losses against their formulas in NumPy float64, over logits and labels of all kinds."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.cross_entropy import CrossEntropyLoss
from paddle_rsseg.losses.focal import AnnealingSoftmaxFocalLoss, ScaleAnnealingFocalLoss, SoftmaxFocalLoss

# pixel by pixel, as the formulas of the module's docstring read


def cross_entropy(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    picked = np.take_along_axis(logp, np.where(label == 255, 0, label)[:, None], 1)[:, 0]
    return np.where(label == 255, 0.0, -picked)


def naive(kind: str, logits: np.ndarray, label: np.ndarray, gamma: float, share: float) -> tuple[float, np.ndarray]:
    """Value, and gradient with the weights taken as constants."""
    loss = cross_entropy(logits, label)
    focal = (1 - np.exp(-loss)) ** gamma
    scale = loss.sum() / (loss * focal).sum()
    n, images = (label != 255).sum(), len(label)
    weight, denominator = {
        "mean": (np.ones_like(loss), n),
        "mean of all": (np.ones_like(loss), label.size),
        "focal": (focal, n + images),
        "normalized": (focal * scale, n + images),
        "annealed": (focal * scale + share * (1 - focal * scale), n + images),
        "scale": (focal * (scale + share * (1 - scale)), n),
    }[kind]
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    one_hot = np.arange(logits.shape[1])[None, :, None, None] == label[:, None]
    gradient = (p - one_hot) * (weight * (label != 255))[:, None] / denominator
    return (loss * weight).sum() / denominator, gradient


def ours(kind: str, gamma: float, step: int) -> paddle.nn.Layer:
    loss = {
        "mean": lambda: CrossEntropyLoss(),
        "mean of all": lambda: CrossEntropyLoss(avg_non_ignore=False),
        "focal": lambda: SoftmaxFocalLoss(gamma),
        "normalized": lambda: SoftmaxFocalLoss(gamma, normalize=True),
        "annealed": lambda: AnnealingSoftmaxFocalLoss(T_max=100, gamma=gamma),
        "scale": lambda: ScaleAnnealingFocalLoss(T_max=100, gamma=gamma),
    }[kind]()
    if hasattr(loss, "step"):
        loss.step.set_value(np.array(step))
    loss.eval()
    return loss


KINDS = ["mean", "mean of all", "focal", "normalized", "annealed", "scale"]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 3), st.integers(2, 8), st.integers(1, 6), st.integers(1, 6)),
    spread=st.sampled_from([0.1, 1.0, 5.0]),
    gamma=st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]),
    step=st.integers(0, 120),
    ignored=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_value_and_gradient(kind, seed, shape, spread, gamma, step, ignored):
    rng = np.random.default_rng(seed)
    n, classes, h, w = shape
    logits = spread * rng.standard_normal(shape)
    label = rng.integers(0, classes, (n, h, w))
    label[rng.random(label.shape) < ignored] = 255
    label[0, 0, 0] = 0  # one pixel counts
    share = 0.5 * (1 + np.cos(np.pi * min(step / 100, 1)))
    value, gradient = naive(kind, logits, label, gamma, share)
    x = paddle.to_tensor(logits, stop_gradient=False)
    result = ours(kind, gamma, step)(x, paddle.to_tensor(label))
    result.backward()
    assert result.item() == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(x.grad.numpy(), gradient, rtol=1e-7, atol=1e-9 * np.abs(gradient).max())
    assert not x.grad.numpy()[np.broadcast_to((label == 255)[:, None], shape)].any()


@pytest.mark.parametrize("kind", KINDS)
def test_all_pixels_ignored_is_zero(kind):
    x = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 4, 3, 3)).astype("float32"), stop_gradient=False)
    value = ours(kind, 2.0, 5)(x, paddle.full([2, 3, 3], 255, "int64"))
    value.backward()
    assert value.item() == 0.0
    np.testing.assert_array_equal(x.grad.numpy(), 0.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gamma", [2.0, 5.0, 20.0])
@pytest.mark.parametrize("margin", [5.0, 12.0, 16.0, 30.0, 200.0])
def test_a_very_sure_network_gives_finite_numbers(kind, gamma, margin):
    # (1 - p)^γ is 1e-42 and less here: Σℓm leaves the range of float32
    logits = np.zeros((1, 3, 4, 4), "float32")
    logits[:, 1] = margin
    x = paddle.to_tensor(logits, stop_gradient=False)
    value = ours(kind, gamma, 50)(x, paddle.ones([1, 4, 4], "int64"))
    value.backward()
    assert np.isfinite(value.item())
    assert np.isfinite(x.grad.numpy()).all()
    if kind in ("normalized", "annealed"):
        assert value.item() == pytest.approx(
            cross_entropy(logits, np.ones((1, 4, 4), int)).sum() / 17, rel=1e-3, abs=1e-7
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_labels_are_not_written_to(kind, dtype):
    label = paddle.to_tensor(np.array([[[0, 1], [255, 2]]], dtype))
    before = label.numpy().copy()
    ours(kind, 2.0, 1)(paddle.rand([1, 3, 2, 2]), label)
    assert label.numpy().dtype == dtype
    np.testing.assert_array_equal(label.numpy(), before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [3, 254, -1])
def test_label_outside_the_classes(kind, wrong):
    label = np.zeros((1, 2, 2), "int64")
    label[0, 0, 1] = wrong
    with pytest.raises(RssegError, match=rf"\[{wrong}\].*3 classes.*0 to 2.*255"):
        ours(kind, 2.0, 1)(paddle.rand([1, 3, 2, 2]), paddle.to_tensor(label))


def test_other_ignore_index():
    logits, label = paddle.rand([1, 3, 2, 2]), paddle.to_tensor([[[0, 1], [2, 0]]])
    value = CrossEntropyLoss(ignore_index=0)(logits, label).item()
    masked = label.numpy().copy()
    masked[masked == 0] = 255
    assert value == pytest.approx(cross_entropy(logits.numpy(), masked).sum() / 2, rel=1e-6)


def test_class_weights():
    rng = np.random.default_rng(1)
    logits, label = rng.standard_normal((2, 3, 4, 4)), rng.integers(0, 3, (2, 4, 4))
    label[0, 0] = 255
    weight = np.array([1.0, 0.0, 2.5])
    per_pixel = np.where(label == 255, 0, weight[np.where(label == 255, 0, label)])
    expected = (cross_entropy(logits, label) * per_pixel).sum() / per_pixel.sum()
    loss = CrossEntropyLoss(weight=weight.tolist())
    assert loss(paddle.to_tensor(logits), paddle.to_tensor(label)).item() == pytest.approx(expected, rel=1e-12)
    only_weightless = paddle.to_tensor(np.where(label == 1, 1, 255))
    assert loss(paddle.to_tensor(logits), only_weightless).item() == 0.0
    with pytest.raises(RssegError, match=r"2 weights.*3 classes"):
        CrossEntropyLoss(weight=[1, 2])(paddle.to_tensor(logits), paddle.to_tensor(label))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_computed_in_float32(kind, dtype):
    rng = np.random.default_rng(2)
    half = paddle.to_tensor(8 * rng.standard_normal((2, 5, 6, 6)).astype("float32")).astype(dtype)
    label = paddle.to_tensor(rng.integers(0, 5, (2, 6, 6)))
    value = ours(kind, 2.0, 30)(half, label)
    assert value.dtype == paddle.float32
    assert value.item() == ours(kind, 2.0, 30)(half.astype("float32"), label).item()


def test_class_weights_need_the_pixels_that_count():
    with pytest.raises(RssegError, match="avg_non_ignore: false beside weight"):
        CrossEntropyLoss(weight=[1, 2], avg_non_ignore=False)
