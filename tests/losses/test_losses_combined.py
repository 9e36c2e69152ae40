"""The step counter of annealed losses, and losses built from settings."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses import build_loss
from paddle_rsseg.losses.focal import AnnealingSoftmaxFocalLoss

CE = {"type": "CrossEntropyLoss"}
ASF = {"type": "AnnealingSoftmaxFocalLoss", "T_max": 4}


@pytest.fixture
def batch() -> tuple[paddle.Tensor, paddle.Tensor]:
    rng = np.random.default_rng(0)
    return paddle.to_tensor(rng.standard_normal((2, 3, 4, 4))), paddle.to_tensor(rng.integers(0, 3, (2, 4, 4)))


class TestStep:
    def test_advances_in_train_mode_only(self, batch):
        loss = AnnealingSoftmaxFocalLoss(T_max=10)
        loss(*batch)
        loss(*batch)
        assert loss.step.item() == 2
        loss.eval()
        loss(*batch)
        assert loss.step.item() == 2
        loss.train()
        loss(*batch)
        assert loss.step.item() == 3

    def test_is_restored_from_the_state(self, batch):
        def gradient(loss):
            logits = paddle.to_tensor(batch[0].numpy(), stop_gradient=False)
            paddle.add_n(list(loss([logits], batch[1]).values())).backward()
            return logits.grad.numpy()

        first = build_loss({"types": [ASF], "coef": [1.0]})
        gradients = [gradient(first) for _ in range(4)]
        second = build_loss({"types": [ASF], "coef": [1.0]})
        assert not np.array_equal(gradients[0], gradients[2])
        for _ in range(2):
            gradient(second)
        state = {name: value.numpy() for name, value in second.state_dict().items()}
        assert len(state) == 1
        third = build_loss({"types": [ASF], "coef": [1.0]})
        missing, unexpected = third.set_state_dict(state)
        assert not missing
        assert not unexpected
        np.testing.assert_array_equal(gradient(third), gradients[2])
        np.testing.assert_array_equal(gradient(third), gradients[3])

    def test_an_ignored_batch_still_counts(self):
        loss = AnnealingSoftmaxFocalLoss()
        loss(paddle.rand([1, 2, 2, 2]), paddle.full([1, 2, 2], 255))
        assert loss.step.item() == 1

    def test_one_type_for_two_outputs_counts_iterations_not_outputs(self, batch):
        loss = build_loss({"types": [ASF], "coef": [1, 0.4]})
        loss([batch[0], batch[0]], batch[1])
        assert [step.item() for step in loss.buffers()] == [1, 1]


class TestBuildLoss:
    def test_mapping_and_object_are_alike(self, batch):
        component = SimpleNamespace(spec=lambda: ASF)
        values = [
            build_loss(settings)([batch[0]], batch[1])
            for settings in ({"types": [ASF], "coef": [1]}, SimpleNamespace(types=[component], coef=[1]))
        ]
        assert values[0].keys() == values[1].keys() == {"AnnealingSoftmaxFocalLoss"}
        assert values[0]["AnnealingSoftmaxFocalLoss"].item() == values[1]["AnnealingSoftmaxFocalLoss"].item()

    def test_outputs_terms_and_weights(self, batch):
        logits, label = batch
        mixed = {"type": "MixedLoss", "losses": [CE, ASF, CE], "coef": [0.5, 2, 1]}
        loss = build_loss({"types": [mixed, CE], "coef": [3, 0.4]})
        values = {name: value.item() for name, value in loss([logits, 2 * logits], label).items()}
        plain = build_loss({"types": [CE], "coef": [1]})
        one, two = (plain([x], label)["CrossEntropyLoss"].item() for x in (logits, 2 * logits))
        assert values == {
            "CrossEntropyLoss": pytest.approx(1.5 * one),
            "AnnealingSoftmaxFocalLoss": pytest.approx(6 * one * 32 / 34),
            "CrossEntropyLoss#2": pytest.approx(3 * one),
            "aux1.CrossEntropyLoss": pytest.approx(0.4 * two),
        }

    def test_mixed_loss_alone_is_its_sum(self, batch):
        loss = build_loss({"types": [{"type": "MixedLoss", "losses": [CE, CE], "coef": [0.5, 2]}], "coef": [1]}).losses[
            0
        ]
        assert loss(*batch).item() == pytest.approx(
            2.5 * build_loss({"types": [CE], "coef": [1]}).losses[0](*batch).item()
        )

    def test_the_data_sets_ignore_index_unless_stated(self):
        losses = build_loss({"types": [CE, {**CE, "ignore_index": 7}], "coef": [1, 1]}, ignore_index=0).losses
        assert [loss.ignore_index for loss in losses] == [0, 7]
        mixed = build_loss({"types": [{"type": "MixedLoss", "losses": [CE], "coef": [1]}], "coef": [1]}, ignore_index=0)
        assert mixed.losses[0].losses[0].ignore_index == 0

    def test_number_of_outputs(self, batch):
        logits, label = batch
        loss = build_loss({"types": [CE], "coef": [1, 0.4]})
        with pytest.raises(RssegError, match="2 losses for 1 outputs"):
            loss([logits], label)
        with pytest.raises(RssegError, match="2 losses for 3 outputs"):
            loss([logits] * 3, label)
        loss.eval()  # networks give the main output only
        assert list(loss([logits], label)) == ["CrossEntropyLoss"]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"types": [CE, CE], "coef": [1]}, "1 weights for 2 types"),
            ({"types": [], "coef": []}, "0 types"),
            ({"types": [{"type": "CrossEntropy"}], "coef": [1]}, "did you mean 'CrossEntropyLoss'"),
            ({"types": [{**ASF, "gama": 2}], "coef": [1]}, "did you mean 'gamma'"),
            ({"types": [{**ASF, "annealing": "cos"}], "coef": [1]}, "did you mean 'cosine'"),
            ({"types": [{**ASF, "T_max": -1}], "coef": [1]}, "T_max"),
            ({"types": [{"type": "MixedLoss", "losses": [CE], "coef": [1, 2]}], "coef": [1]}, "2 weights for 1 losses"),
        ],
    )
    def test_mistakes(self, settings, message):
        with pytest.raises(RssegError, match=message):
            build_loss(settings)
