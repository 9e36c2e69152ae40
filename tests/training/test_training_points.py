"""Points in the training loop: the passes of an accumulation see the same ones."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from test_training_loop import batches, make

from paddle_rsseg.models.points import PointHead

LOSSES = [{"type": "CrossEntropyLoss"}, {"type": "PointLoss"}]


class PointNet(nn.Layer):
    """A body, a classifier, a point head."""

    def __init__(self, frozen: bool = False):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2D(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU())
        self.main = nn.Conv2D(8, 4, 1)
        self.point_head = PointHead(8, 4, 8, points=12)
        self.frozen = frozen

    def forward(self, image):
        x = self.body(image)
        main = self.main(x)
        if self.frozen:
            x, main = x.detach(), main.detach()
        return [main, self.point_head.train_output(main, [x], image.shape[2:])]


def trained(parts: int, draw=paddle.rand, frozen: bool = False, iters: int = 2):
    paddle.seed(0)
    trainer = make(iters, PointNet(frozen), loss=LOSSES, accumulate=parts, batches=batches(size=4))
    trainer.model.point_head.draw = draw
    trainer.train()
    return trainer


def test_both_passes_draw_the_same_points():
    drawn = []

    def draw(shape):
        drawn.append(paddle.rand(shape).numpy())
        return paddle.to_tensor(drawn[-1])

    trained(2, draw, iters=1)
    assert len(drawn) == 8  # two drawings for each of two parts in each of two passes
    for first, second in zip(drawn[:4], drawn[4:], strict=True):
        np.testing.assert_array_equal(first, second)
    assert (drawn[0] != drawn[2]).any()


@pytest.mark.parametrize("frozen", [False, True])
def test_accumulation_equals_the_whole_batch(frozen):
    """With points that do not depend on the parts."""

    def draw(shape):
        one = np.random.default_rng(shape[1]).random((1, *shape[1:])).astype("float32")
        return paddle.to_tensor(one.repeat(shape[0], 0))

    whole, cut = (trained(parts, draw, frozen) for parts in (1, 2))
    assert cut.losses == pytest.approx(whole.losses, rel=1e-5)
    for name, value in whole.model.state_dict().items():
        np.testing.assert_allclose(cut.model.state_dict()[name].numpy(), value.numpy(), atol=1e-6)
