"""Limits of single gradients."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_rsseg.config import schema
from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.attention import PositionAttention
from paddle_rsseg.training.build import build_optimizer


class Settings:
    lr_scheduler = schema.Constant(type="Constant", learning_rate=1.0)
    optimizer = schema.SGD(type="SGD", weight_decay=0.0)

    def __init__(self, **clip):
        self.grad_clip = schema.GradClip(**clip)


def net() -> nn.Layer:
    paddle.seed(0)
    return nn.Sequential(PositionAttention(8, 2), nn.Conv2D(8, 1, 1))


def steps(settings: Settings, gradients: float) -> dict[str, np.ndarray]:
    """How far one step of SGD at rate 1 moves each parameter against gradients that are all the same."""
    model = net()
    optimizer = build_optimizer(settings, model)
    before = {name: p.numpy() for name, p in model.named_parameters()}
    paddle.add_n([(p * gradients).sum() for p in model.parameters()]).backward()
    optimizer.step()
    return {name: before[name] - p.numpy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("gradient", [5.0, -5.0, 0.5])
def test_only_the_named_gradient_is_limited(gradient):
    for name, step in steps(Settings(type="none", limits={"gamma": 1}), gradient).items():
        expected = np.clip(gradient, -1, 1) if name == "0.gamma" else gradient
        np.testing.assert_allclose(step, expected, rtol=1e-5, err_msg=name)


def test_limits_come_before_the_norm_of_all():
    moved = steps(Settings(type="global_norm", value=0.1, limits={"gamma": 1}), 5.0)
    norm = np.sqrt(sum((step**2).sum() for step in moved.values()))
    assert norm == pytest.approx(0.1, rel=1e-4)
    assert moved["1.bias"].item() == pytest.approx(5 * moved["0.gamma"].item(), rel=1e-3)


def test_a_limit_of_nothing_is_told():
    with pytest.raises(RssegError, match=r"grad_clip\.limits.*'beta'"):
        build_optimizer(Settings(limits={"beta": 1}), net())
