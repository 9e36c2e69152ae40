"""What the formulas of test_losses_naive.py do not say: schedules, edges, class weights, options, mistakes."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_rsseg.data import class_weights as weights
from paddle_rsseg.data.soft import edge_smooth_targets
from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses import build_loss
from paddle_rsseg.losses.label_smoothing import (
    EdgeLabelSmoothingLoss,
    LabelSmoothingLoss,
    edges,
    soft_cross_entropy,
)
from paddle_rsseg.losses.lovasz import jaccard_growth
from paddle_rsseg.losses.noise import NoiseThresholdLoss
from paddle_rsseg.registry import LOSSES


class TestNoiseThreshold:
    #: the specification's worked values: E = 50 epochs, probabilities 0.01 to 0.1
    WORKED = {1: 4.603, 10: 4.385, 25: 3.454, 40: 2.523, 50: 2.303}

    @pytest.mark.parametrize("epoch", WORKED)
    def test_worked_values(self, epoch):
        loss = NoiseThresholdLoss(0.01, 0.1, T_max=50 * 20, epoch_iters=20)
        for step in (20 * epoch - 19, 20 * epoch):
            loss.step.set_value(np.array(step))
            assert loss.threshold(paddle.float64).item() == pytest.approx(self.WORKED[epoch], abs=6e-4)

    def test_stays_at_the_end_and_without_p_max(self):
        loss = NoiseThresholdLoss(0.01, 0.1, T_max=10)
        loss.step.set_value(np.array(99))
        assert loss.threshold(paddle.float64).item() == pytest.approx(-np.log(0.1), rel=1e-12)
        assert NoiseThresholdLoss(0.01).threshold(paddle.float64) == pytest.approx(4.605, abs=6e-4)

    def test_the_step_is_state(self):
        # ℓ = 3 of the only pixel is under T at first, and above it later
        x = paddle.to_tensor(np.array([-np.log(np.expm1(3.0)), 0.0]).reshape(1, 2, 1, 1))
        label = paddle.zeros([1, 1, 1], "int64")
        loss = build_loss({"types": [{"type": "NoiseThresholdLoss", "p_max": 0.1, "T_max": 6}], "coef": [1.0]})
        values = [loss([x], label)["NoiseThresholdLoss"].item() for _ in range(6)]
        assert values == [pytest.approx(3.0)] * 3 + [0.0] * 3  # T(4) = 2.88
        state = {name: value.numpy() for name, value in loss.state_dict().items()}
        again = build_loss({"types": [{"type": "NoiseThresholdLoss", "p_max": 0.1, "T_max": 6}], "coef": [1.0]})
        assert again([x], label)["NoiseThresholdLoss"].item() == pytest.approx(3.0)
        again.set_state_dict(state)
        assert again([x], label)["NoiseThresholdLoss"].item() == 0.0


class TestEdges:
    @pytest.mark.parametrize("radius", [1, 2, 3])
    @pytest.mark.parametrize("blobs", [2, 6])
    def test_brute_force(self, radius, blobs):
        rng = np.random.default_rng(radius)
        label = np.kron(rng.integers(0, 3, (2, blobs, blobs)), np.ones((1, 4, 5), "int64"))
        label[rng.random(label.shape) < 0.1] = 255
        expected = np.zeros(label.shape, bool)
        for n, i, j in np.ndindex(label.shape):
            window = label[n, max(i - radius, 0) : i + radius + 1, max(j - radius, 0) : j + radius + 1]
            expected[n, i, j] = len(set(window[window != 255].tolist())) > 1
        found = edges(paddle.to_tensor(label), paddle.to_tensor(label != 255), radius).numpy()
        np.testing.assert_array_equal(found, expected)
        assert expected.any()
        assert not expected.all()

    def test_stored_targets_give_the_same_loss(self):
        rng = np.random.default_rng(0)
        label = np.kron(rng.integers(0, 4, (2, 3, 3)), np.ones((1, 5, 4), "int64"))
        label[0, :3] = 255
        targets = np.stack([edge_smooth_targets(mask, 4, radius=2, alpha=0.25) for mask in label])
        assert targets.dtype == np.float16
        logits = paddle.to_tensor(rng.standard_normal(targets.shape))
        online = EdgeLabelSmoothingLoss(radius=2, alpha=0.25)(logits, paddle.to_tensor(label))
        # 0.25 and 0.0625 are exact in float16
        assert soft_cross_entropy(logits, paddle.to_tensor(targets)).item() == pytest.approx(online.item(), rel=1e-12)

    def test_labels_of_the_original_tool(self):
        mask = np.array([[100, 100, 300], [100, 100, 300], [100, 100, 7]])
        targets = edge_smooth_targets(mask, range(100, 900, 100), radius=1, alpha=0.2)
        assert targets.shape == (8, 3, 3)
        np.testing.assert_allclose(targets[:, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0])
        np.testing.assert_allclose(targets[:, 0, 1], [0.825] + 7 * [0.025], rtol=1e-3)
        np.testing.assert_allclose(targets[:, 2, 2], 0)  # no label of the list
        np.testing.assert_array_equal(mask[2], [100, 100, 7])

    def test_soft_targets_of_nothing(self):
        logits = paddle.rand([1, 3, 2, 2])
        logits.stop_gradient = False
        value = soft_cross_entropy(logits, paddle.zeros([1, 3, 2, 2]))
        value.backward()
        assert value.item() == 0
        assert not logits.grad.numpy().any()


class TestSmoothing:
    @pytest.mark.parametrize("weighted", [False, True])
    def test_definition_torch_is_torchs(self, weighted):
        torch = pytest.importorskip("torch")
        rng = np.random.default_rng(1)
        x, label = rng.standard_normal((2, 5, 4, 3)), rng.integers(0, 5, (2, 4, 3))
        label[0, 1] = 255
        weight = [0.3, 1.0, 2.0, 0.1, 5.0] if weighted else None
        theirs = torch.nn.functional.cross_entropy(
            torch.tensor(x),
            torch.tensor(label),
            weight=torch.tensor(weight, dtype=torch.float64) if weight else None,
            ignore_index=255,
            label_smoothing=0.1,
        )
        ours = LabelSmoothingLoss(weight=weight)(paddle.to_tensor(x), paddle.to_tensor(label))
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)


class TestLovasz:
    def test_growth_sums_to_one_and_is_accurate(self):
        rng = np.random.default_rng(0)
        inside = rng.random(200_000) < 0.3
        growth = jaccard_growth(paddle.to_tensor(inside)).numpy()
        assert growth.sum() == pytest.approx(1.0, rel=1e-9)
        total = inside.sum()
        jaccard = 1 - (total - np.cumsum(inside)) / (total + np.cumsum(~inside))
        np.testing.assert_allclose(growth, np.diff(jaccard, prepend=0.0), atol=1e-14)
        np.testing.assert_array_equal(jaccard_growth(paddle.zeros([3], "bool")).numpy(), [1, 0, 0])


class TestWeights:
    COUNTS = (10, 20, 30, 940)

    def test_formulas(self):
        f = np.array(self.COUNTS) / 1000
        np.testing.assert_allclose(weights.enet(self.COUNTS), 1 / np.log(1.02 + f))
        np.testing.assert_allclose(weights.inverse_frequency(self.COUNTS), 1 / f / (1 / f).mean())
        np.testing.assert_allclose(weights.median_frequency(self.COUNTS), 0.025 / f)
        np.testing.assert_allclose(weights.log_inverse(self.COUNTS), np.log(f) / np.log(0.01))

    def test_system_e(self):
        """The pixels of its classes, from its weights: v = ln(T/n) / max, so n = T^(1 - v) with the rarest near 1."""
        v = np.array([0.2543, 0.0413, 0.7266, 0.5756, 0.7420, 0.5634, 0.7661, 0.8079, 0.4770, 1.0])
        # the scale of the logarithm is fixed by the frequencies' sum of 1
        low, high = 1.0, 50.0
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if np.exp(-middle * v).sum() > 1 else (low, middle)
        counts = 1_049_690_112 * np.exp(-low * v)
        np.testing.assert_allclose(weights.log_inverse(counts), v, atol=1e-9)
        used = weights.log_inverse(counts, lift=0.2, below=0.1)
        assert used[1] == pytest.approx(0.2413)
        np.testing.assert_allclose(np.delete(used, 1), np.delete(v, 1), atol=1e-9)
        np.testing.assert_allclose(weights.log_inverse(counts, lift=0.1), v + 0.1, atol=1e-9)

    @pytest.mark.parametrize("name", weights.FORMULAS)
    def test_a_class_without_pixels(self, name):
        values = weights.FORMULAS[name]([10, 0, 30])
        assert np.isfinite(values).all()
        assert values[1] == (pytest.approx(1 / np.log(1.02)) if name == "enet" else 0.0)
        others = weights.FORMULAS[name]([10, 30])
        np.testing.assert_allclose(np.delete(values, 1), others)

    @pytest.mark.parametrize("counts", [[], [0, 0], [1, -1], [np.nan, 1], [[1, 2]]])
    @pytest.mark.parametrize("name", weights.FORMULAS)
    def test_mistakes(self, name, counts):
        with pytest.raises(RssegError, match="counts"):
            weights.FORMULAS[name](counts)

    def test_one_class_has_no_log_weight(self):
        with pytest.raises(RssegError, match="one class only"):
            weights.log_inverse([0, 5])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "CrossEntropyLoss", "mean": "al"}, "did you mean 'all'"),
        ({"type": "LabelSmoothingLoss", "definition": "Torch"}, "did you mean 'torch'"),
        ({"type": "LabelSmoothingLoss", "smoothing": 1.5}, r"smoothing.*1\.5"),
        ({"type": "EdgeLabelSmoothingLoss", "radius": 0}, "radius"),
        ({"type": "EdgeLabelSmoothingLoss", "alpha": -0.1}, "alpha"),
        ({"type": "BCELoss", "pos_weight": "balance"}, "did you mean 'balanced'"),
        ({"type": "SigmoidFocalLoss", "signs": "both"}, "alike or weighted or separate"),
        ({"type": "SigmoidFocalLoss", "gamma": -1}, "gamma"),
        ({"type": "DiceLoss", "definition": "mmsegmentation"}, "mmseg"),
        ({"type": "DiceLoss", "activation": "relu"}, "DiceLoss.activation"),
        ({"type": "GeneralizedDiceLoss", "classes": "some"}, "present or all"),
        ({"type": "SoftIoULoss", "definition": "images"}, "did you mean 'image'"),
        ({"type": "LovaszSoftmaxLoss", "classes": "alll"}, "did you mean 'all'"),
        ({"type": "SSIMLoss", "window": 10}, "window"),
        ({"type": "NoiseThresholdLoss", "p_min": 0.2, "p_max": 0.1, "T_max": 9}, "p_min"),
        ({"type": "NoiseThresholdLoss", "p_max": 0.1}, "T_max"),
        ({"type": "NoiseThresholdLoss", "epoch_iters": 0}, "epoch_iters"),
        ({"type": "OHEMLoss", "min_kept": -1}, "min_kept"),
        ({"type": "OHEMLoss", "mean": "valid"}, "kept or all"),
        ({"type": "HardestPixelsLoss", "keep": 0}, "keep"),
    ],
)
def test_mistakes(spec, message):
    with pytest.raises(RssegError, match=message):
        LOSSES.build(spec)


@pytest.mark.parametrize("type_", ["CrossEntropyLoss", "LabelSmoothingLoss", "BCELoss", "SigmoidFocalLoss"])
def test_a_weight_for_each_class(type_):
    loss = LOSSES.build({"type": type_, "weight": [1.0, 2.0]})
    with pytest.raises(RssegError, match=rf"{type_}.weight.*2 weights for 3 classes"):
        loss(paddle.rand([1, 3, 2, 2]), paddle.zeros([1, 2, 2], "int64"))


def test_basnet_logs_its_terms():
    loss = build_loss({"types": [{"type": "BASNetLoss"}], "coef": [1.0, 1.0]}, ignore_index=7)
    values = loss([paddle.rand([1, 3, 4, 4])] * 2, paddle.zeros([1, 4, 4], "int64"))
    terms = ["CrossEntropyLoss", "SSIMLoss", "SoftIoULoss"]
    assert list(values) == terms + [f"aux1.{term}" for term in terms]
    assert all(term.ignore_index == 7 for term in loss.losses[0].losses)
