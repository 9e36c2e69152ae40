"""BASNet; against PyTorch in tests/reference."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from contract import ModelContract, image

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses import build_loss
from paddle_rsseg.models import create_model
from paddle_rsseg.models.cost import learnable

SMALL = {"type": "BASNet", "widths": [4, 8, 8, 16], "depths": [1, 1, 1, 1], "refiner_width": 4}


class TestBASNet(ModelContract):
    spec = SMALL
    train_outputs = 8


@pytest.mark.slow
def test_published_parameter_counts():
    # NAIC_AI-RS counted its network with the eight classes of the second stage
    model = create_model({"type": "BASNet", "num_classes": 8})
    parameters = sum(int(np.prod(parameter.shape)) for parameter in learnable(model).values())
    assert round(parameters / 1e6, 2) == 87.20


def test_maps_of_all_stages_at_odd_sizes():
    """Every halving rounds up, down to one pixel."""
    model = create_model({**SMALL, "num_classes": 3})
    sizes = [[40, 7]] * 2 + [[20, 4], [10, 2], [5, 1], [3, 1], [2, 1], [2, 1]]
    with paddle.no_grad():
        assert [map_.shape for map_ in model.maps(paddle.zeros([2, 3, 40, 7]))] == [[2, 3, *size] for size in sizes]


def test_the_first_output_refines_the_second():
    model = create_model({**SMALL, "num_classes": 3})
    model.refiner.out.weight.set_value(paddle.zeros_like(model.refiner.out.weight))
    model.refiner.out.bias.set_value(paddle.to_tensor([1.0, 2.0, 3.0]))
    with paddle.no_grad():
        refined, finest, *_ = model(image(model, (33, 20)))
    np.testing.assert_allclose((refined - finest).numpy().mean((0, 2, 3)), [1, 2, 3], rtol=1e-5)


def test_its_loss_with_a_weight_for_every_output():
    model = create_model({**SMALL, "num_classes": 3})
    label = paddle.to_tensor(np.random.default_rng(0).integers(0, 3, (2, 32, 32)))
    outputs = model(image(model, (32, 32)))
    coef = [1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 2.0]
    values = build_loss({"types": [{"type": "BASNetLoss"}], "coef": coef}, 255)(outputs, label)
    single = build_loss({"types": [{"type": "BASNetLoss"}], "coef": [1.0]}, 255)
    single.eval()
    expected = sum(
        weight * sum(value.item() for value in single([output], label).values())
        for weight, output in zip(coef, outputs, strict=True)
    )
    assert sum(value.item() for value in values.values()) == pytest.approx(expected, rel=1e-5)


def test_a_width_without_its_depth_is_named():
    with pytest.raises(RssegError, match="3 for 4 widths"):
        create_model({**SMALL, "depths": [1, 1, 1]})
