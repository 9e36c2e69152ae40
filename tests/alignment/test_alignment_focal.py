"""The focal losses against the original programs: values and, what matters with annealing, gradients."""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest
from golden_case import golden_files

from paddle_rsseg.losses import build_loss
from paddle_rsseg.losses.focal import ANNEALING

TABLES = np.load(golden_files("farseg/functions.npz")[0])
META = json.loads(str(TABLES["meta"]))
TESTS = [test for test in META["tests"] if "focal" in test["function"]]


def our_loss(test: dict) -> paddle.nn.Layer:
    arguments = dict(test["arguments"])
    step = arguments.pop("t", None)
    if step is not None:
        arguments["T_max"] = arguments.pop("t_max")
    kind = {
        "softmax_focalloss": {"type": "SoftmaxFocalLoss"},
        "annealing_softmax_focalloss": {"type": "AnnealingSoftmaxFocalLoss"},
        "farsegpp_annealing_softmax_focal_loss": {"type": "ScaleAnnealingFocalLoss"},
        "farsegpp_sync_annealing_softmax_focal_loss": {"type": "ScaleAnnealingFocalLoss", "weight_gradient": True},
    }[test["function"]]
    loss = build_loss({"types": [{**kind, **arguments}], "coef": [1.0]}).losses[0]
    loss.eval()
    if step is not None:
        loss.step.set_value(np.array(step))
    return loss


def value_and_gradient(loss, logits: np.ndarray, label: np.ndarray) -> tuple[float, np.ndarray]:
    x = paddle.to_tensor(logits, stop_gradient=False)
    value = loss(x, paddle.to_tensor(label))
    value.backward()
    return value.item(), x.grad.numpy()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("test", TESTS, ids=lambda test: test["key"])
def test_original_loss(test, dtype):
    value, gradient = value_and_gradient(our_loss(test), TABLES[test["input"]].astype(dtype), TABLES["label"])
    assert value == pytest.approx(test["value"], rel=1e-12 if dtype == "float64" else 1e-6)
    expected = TABLES[test["key"] + "/grad"]
    # the gradients are stored as float32
    np.testing.assert_allclose(
        gradient, expected, rtol=1e-6 if dtype == "float64" else 2e-4, atol=1e-6 * abs(expected).max()
    )


@pytest.mark.parametrize("kind", ["cosine", "linear", "poly"])
def test_annealing_table(kind):
    steps, upper = TABLES["annealing/t"].astype("float64"), np.array([0.25, 1.0, 3.0])
    share = ANNEALING[kind](paddle.to_tensor(steps / 10000), 0.9).numpy()[:, None]
    np.testing.assert_allclose(upper + share * (1 - upper), TABLES[f"annealing/{kind}"], rtol=1e-6)


def published_example() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.RandomState(7)
    logits = (2 * rng.standard_normal((2, 16, 8, 8))).astype("float32")
    label = rng.randint(0, 16, (2, 8, 8))
    assert label[0, 2].tolist() == [6, 1, 9, 14, 13, 0, 1, 10]
    n, i, j = np.indices(label.shape)
    logits[n, label, i, j] += (n + 1) * 1.5 * ((i + j) % 4)
    label[:, :2] = 255
    return logits, label


# step: (norm of the gradient, its element of image 0, class 0, row 2, column 0) for cosine, linear, poly
GRADIENTS = {
    1: ((0.0865674, 6.7787e-4), (0.0865670, 6.7783e-4), (0.0865670, 6.7784e-4)),
    2500: ((0.0859859, 6.2053e-4), (0.0856292, 5.7999e-4), (0.0857008, 5.8856e-4)),
    5000: ((0.0849582, 4.8210e-4), (0.0849582, 4.8210e-4), (0.0850378, 4.9615e-4)),
    7500: ((0.0844773, 3.4367e-4), (0.0845608, 3.8422e-4), (0.0846024, 3.9877e-4)),
    10000: ((0.0844408, 2.8633e-4),) * 3,
    10001: ((0.0844408, 2.8633e-4),) * 3,
}


@pytest.mark.parametrize("step", GRADIENTS)
@pytest.mark.parametrize(("column", "annealing"), [(0, "cosine"), (1, "linear"), (2, "poly")])
def test_gradient_at_a_training_step(step, column, annealing):
    spec = {"type": "AnnealingSoftmaxFocalLoss", "T_max": 10000, "annealing": annealing}
    loss = build_loss({"types": [spec], "coef": [1]}).losses[0]
    loss.step.set_value(np.array(step - 1))  # train mode counts before it computes
    value, gradient = value_and_gradient(loss, *published_example())
    assert value == pytest.approx(2.181286, rel=5e-7)
    norm, element = GRADIENTS[step][column]
    assert np.linalg.norm(gradient) == pytest.approx(norm, abs=6e-8)
    assert gradient[0, 0, 2, 0] == pytest.approx(element, abs=6e-9)
    assert not gradient[:, :, :2].any()


def test_plain_focal_value():
    loss = build_loss({"types": [{"type": "SoftmaxFocalLoss"}], "coef": [1]}).losses[0]
    value, gradient = value_and_gradient(loss, *published_example())
    assert value == pytest.approx(1.9194260, rel=5e-7)
    assert np.linalg.norm(gradient) == pytest.approx(0.0743038, abs=6e-8)
