"""Losses that ask: what they ask for, and value and gradients against their formulas in NumPy."""

from __future__ import annotations

from collections import Counter

import naive
import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_losses_naive import LABELS, SHAPE, labels

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses import build_loss
from paddle_rsseg.losses.asking import Answers, Extras
from paddle_rsseg.registry import LOSSES
from paddle_rsseg.views import VIEWS, View

CE = {"type": "CrossEntropyLoss"}
CONSISTENCY = {"type": "MultiViewConsistencyLoss"}
W = naive.W


# --- the formulas ----------------------------------------------------------------------------------------------


def difference(x, label, view, unlabelled=False):
    squares = (x - view) ** 2
    return squares.mean() if unlabelled else naive.rows(squares, label)[0].mean()


def consistency(x, label, view):
    return sum(naive.cross_entropy(z, label, "valid", False) for z in (x, view)) + difference(x, label, view)


def mining(x, label, view, strength=1.0, mean="valid", weighted=False):
    (z, y), (other, _) = naive.rows(x, label), naive.rows(view, label)
    w = 1 + strength * (z.argmax(1) != other.argmax(1))
    if weighted:
        w = w * np.array(W)[y]
    return (w * naive.nll(z, y)).sum() / {"valid": len(y), "all": label.size, "weighted": w.sum()}[mean]


def soft(x, label, target):
    counts = (label != 255) & (target.sum(1) > 0)
    loss = -(target * naive.log_softmax(x)).sum(1)
    return loss[counts].mean() if counts.any() else 0.0


CASES = {
    "consistency": (CONSISTENCY, consistency),
    "difference": ({"type": "ViewDifferenceLoss"}, difference),
    "difference everywhere": (
        {"type": "ViewDifferenceLoss", "unlabelled": True},
        lambda *tensors: difference(*tensors, unlabelled=True),
    ),
    "view": (
        {"type": "ViewLoss", "loss": CE},
        lambda x, label, view: naive.cross_entropy(view, label, "valid", False),
    ),
    "mining": ({"type": "DisagreementMiningLoss", "views": 1}, mining),
    **{
        f"mining {mean}": (
            {"type": "DisagreementMiningLoss", "views": 1, "strength": 2.5, "mean": mean, "weight": W},
            lambda *tensors, mean=mean: mining(*tensors, 2.5, mean, True),
        )
        for mean in ("valid", "all", "weighted")
    },
    "soft": ({"type": "SoftTargetLoss"}, soft),
}


def ours(spec, x, label, extra, dtype="float64"):
    """Value, and gradients by the logits and by what was asked for; ``extra`` is a view's logits, or soft targets."""
    x, extra = (paddle.to_tensor(a.astype(dtype), stop_gradient=False) for a in (x, extra))
    losses = build_loss({"types": [spec], "coef": [1.0]})
    request = losses.ask([0])
    outputs = {view: [view.apply(extra)] for view in request.views if view != View()}
    answers = Answers(request, {"soft_label": extra}, {View(): [x], **outputs})
    value = paddle.add_n(list(losses([x], paddle.to_tensor(label), answers).values()))
    value.backward()
    return value.item(), *(None if tensor.grad is None else tensor.grad.numpy() for tensor in (x, extra))


def slope(function, x, step):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def check(name, rng, x, label, step, rtol):
    spec, function = CASES[name]
    extra = rng.permuted(x.ravel()).reshape(x.shape)
    if name == "soft":
        extra = naive.softmax(rng.standard_normal(SHAPE)) * (rng.random((SHAPE[0], 1, *SHAPE[2:])) < 0.8)
    value, by_logits, by_extra = ours(spec, x, label, extra)
    assert value == pytest.approx(function(x, label, extra), rel=1e-9, abs=1e-12)
    expected = slope(lambda x: function(x, label, extra), x, step)
    tolerance = {"rtol": rtol, "atol": 1e-7 * max(abs(expected).max(), abs(value)) + 1e-9}
    if name == "view":
        assert by_logits is None
    else:
        np.testing.assert_allclose(by_logits, expected, **tolerance)
    if "mining" in name:
        assert by_extra is None
    elif name != "soft":
        expected = slope(lambda view: function(x, label, view), extra, step)
        tolerance["atol"] = 1e-7 * max(abs(expected).max(), abs(value)) + 1e-9
        np.testing.assert_allclose(by_extra, expected, **tolerance)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**31), kind=LABELS, spread=st.sampled_from([0.3, 2.0, 6.0]))
def test_value_and_gradients(name, seed, kind, spread):
    rng = np.random.default_rng(seed)
    check(name, rng, spread * rng.standard_normal(SHAPE), labels(rng, kind), 1e-5, 1e-5)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**31), kind=LABELS)
def test_extreme_logits(name, seed, kind):
    rng = np.random.default_rng(seed)
    x = rng.choice([-1e4, 1e4], SHAPE) + rng.standard_normal(SHAPE)
    check(name, rng, x, labels(rng, kind), 1e-4, 1e-4)
    single = ours(
        CASES[name][0], x, labels(rng, kind), np.roll(x, 1) if name != "soft" else naive.softmax(x), "float32"
    )
    assert all(np.isfinite(part).all() for part in single if part is not None)


@pytest.mark.parametrize("name", [name for name in CASES if "everywhere" not in name])
def test_ignored_pixels_count_nowhere(name):
    rng = np.random.default_rng(0)
    x, extra, label = rng.standard_normal(SHAPE), naive.softmax(rng.standard_normal(SHAPE)), labels(rng, "some ignored")
    _, *gradients = ours(CASES[name][0], x, label, extra)
    ignored = np.broadcast_to((label == 255)[:, None], SHAPE)
    assert not any(gradient[ignored].any() for gradient in gradients if gradient is not None)
    value, *gradients = ours(CASES[name][0], x, np.full_like(label, 255), extra)
    assert value == 0
    assert not any(gradient.any() for gradient in gradients if gradient is not None)


@pytest.mark.parametrize("name", CASES)
def test_half_precision_is_computed_in_float32_and_labels_are_not_written_to(name):
    spec, function = CASES[name]
    rng = np.random.default_rng(3)
    label = labels(rng, "some ignored").astype("uint8")
    x, extra = (naive.softmax(rng.standard_normal(SHAPE)).astype("float16") for _ in range(2))
    losses = build_loss({"types": [spec], "coef": [1.0]})
    request = losses.ask([0])
    half, tensor = paddle.to_tensor(x), paddle.to_tensor(label)
    outputs = {view: [view.apply(paddle.to_tensor(extra))] for view in request.views}
    answers = Answers(request, {"soft_label": paddle.to_tensor(extra)}, {**outputs, View(): [half]})
    value = paddle.add_n(list(losses([half], tensor, answers).values()))
    assert value.dtype == paddle.float32
    assert value.item() == pytest.approx(function(x.astype("float64"), label, extra.astype("float64")), rel=1e-5)
    np.testing.assert_array_equal(tensor.numpy(), label)


# --- what is asked for -------------------------------------------------------------------------------------------


def test_one_rotation_a_batch_each_as_likely_and_shared_by_all_outputs():
    losses = build_loss({"types": [CONSISTENCY], "coef": [1.0, 0.4]})
    requests = [losses.ask([7, iteration, 0]) for iteration in range(600)]
    assert all(len(request.views) == 2 and all(request.views.values()) for request in requests)
    counts = Counter(list(request.views)[1] for request in requests)
    assert set(counts) == {View.rotation(k) for k in (1, 2, 3)}
    assert min(counts.values()) > 160
    again = [list(losses.ask([7, iteration, 0]).views) for iteration in range(600)]
    assert again == [list(request.views) for request in requests]
    assert [list(losses.ask([7, i, 1]).views) for i in range(20)] != again[:20]


def test_mining_draws_other_views_without_gradient():
    losses = build_loss({"types": [{"type": "DisagreementMiningLoss", "views": 3}], "coef": [1.0]})
    seen = set()
    for iteration in range(50):
        (image, *views), (first, *learns) = zip(*losses.ask([0, iteration]).views.items(), strict=True)
        assert (image, first) == (View(), True)
        assert len(set(views)) == 3
        assert learns == [False] * 3
        seen |= set(views)
    assert seen == set(VIEWS[1:])
    both = {
        "type": "MixedLoss",
        "losses": [CONSISTENCY, {"type": "DisagreementMiningLoss", "views": 7}],
        "coef": [1, 1],
    }
    assert sum(build_loss({"types": [both], "coef": [1]}).ask([0]).views.values()) == 2  # a shared view learns


def test_any_two_answers_that_differ():
    """Three views, one of which disagrees at one pixel."""
    x = np.zeros((1, 2, 1, 2))
    x[:, 0] = 1.0
    other = x.copy()
    other[0, :, 0, 1] = [0.0, 1.0]
    loss = LOSSES.build({"type": "DisagreementMiningLoss", "strength": 3.0})
    views = [paddle.to_tensor(a) for a in (x, other, x)]
    value = loss(paddle.to_tensor(x), paddle.zeros([1, 1, 2], "int64"), Extras({}, views))
    assert value.item() == pytest.approx((1 + 4) / 2 * np.log1p(np.exp(-1)))


def test_terms_are_logged_and_each_output_meets_its_own_view():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (2, 4, 5))
    upright, turned = rng.standard_normal((2, 2, 3, 4, 5)), rng.standard_normal((2, 2, 3, 4, 5))
    losses = build_loss({"types": [{**CONSISTENCY, "coef": [1, 1, 0.5]}], "coef": [1.0, 0.4]})
    request = losses.ask([3])
    view = list(request.views)[1]
    outputs = {View(): list(map(paddle.to_tensor, upright)), view: [view.apply(paddle.to_tensor(t)) for t in turned]}
    values = losses(outputs[View()], paddle.to_tensor(label), Answers(request, {}, outputs))
    for i, (prefix, coef) in enumerate((("", 1.0), ("aux1.", 0.4))):
        ce = [coef * naive.cross_entropy(x[i], label, "valid", False) for x in (upright, turned)]
        assert values[f"{prefix}CrossEntropyLoss"].item() == pytest.approx(ce[0])
        assert values[f"{prefix}view.CrossEntropyLoss"].item() == pytest.approx(ce[1])
        expected = 0.5 * coef * difference(upright[i], label, turned[i])
        assert values[f"{prefix}ViewDifferenceLoss"].item() == pytest.approx(expected)
    assert len(values) == 6


def test_an_inner_schedule_counts_iterations():
    inner = {"type": "AnnealingSoftmaxFocalLoss", "T_max": 10}
    losses = build_loss({"types": [{**CONSISTENCY, "loss": inner}], "coef": [1.0, 1.0]}, ignore_index=0)
    for iteration in range(3):
        request = losses.ask([iteration])
        outputs = {view: [view.apply(paddle.rand([1, 3, 4, 6]))] * 2 for view in request.views}
        losses(outputs[View()], paddle.ones([1, 4, 6], "int64"), Answers(request, {}, outputs))
    assert {name.rpartition(".")[2]: value.item() for name, value in losses.state_dict().items()} == {"step": 3}
    assert len(losses.state_dict()) == 4
    assert {layer.ignore_index for layer in losses.sublayers() if hasattr(layer, "ignore_index")} == {0}


def test_fields_are_collected_from_within():
    mixed = {"type": "MixedLoss", "losses": [CE, {"type": "SoftTargetLoss"}], "coef": [1, 1]}
    assert build_loss({"types": [mixed], "coef": [1]}).fields == {"soft_label": "SoftTargetLoss"}
    assert build_loss({"types": [CONSISTENCY], "coef": [1]}).fields == {}


@pytest.mark.parametrize("spec", [CONSISTENCY, {"type": "DisagreementMiningLoss"}, {"type": "SoftTargetLoss"}])
def test_without_answers_a_loss_that_asks_says_so(spec):
    losses = build_loss({"types": [spec], "coef": [1.0]})
    with pytest.raises(RssegError, match=r"asks for more than logits and labels.*losses\.md"):
        losses([paddle.rand([1, 3, 4, 4])], paddle.zeros([1, 4, 4], "int64"))


def test_soft_targets_of_another_number_of_classes():
    loss = LOSSES.build({"type": "SoftTargetLoss"})
    with pytest.raises(RssegError, match=r"\[1, 4, 2, 2\].*\[1, 3, 2, 2\]"):
        loss(paddle.rand([1, 3, 2, 2]), paddle.zeros([1, 2, 2]), Extras({"soft_label": paddle.rand([1, 4, 2, 2])}, []))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({**CONSISTENCY, "turns": []}, "turns"),
        ({**CONSISTENCY, "turns": [0]}, "turns"),
        ({**CONSISTENCY, "coef": [1, 1]}, "2 weights for 3 losses"),
        ({**CONSISTENCY, "loss": {"type": "CrossEntropy"}}, "did you mean 'CrossEntropyLoss'"),
        ({"type": "DisagreementMiningLoss", "views": 8}, "views.*1 to 7"),
        ({"type": "DisagreementMiningLoss", "strength": -1}, "strength"),
        ({"type": "DisagreementMiningLoss", "mean": "al"}, "did you mean 'all'"),
    ],
)
def test_mistakes(spec, message):
    with pytest.raises(RssegError, match=message):
        LOSSES.build(spec)
