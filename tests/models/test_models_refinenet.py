"""RefineNet in both wirings; the second against PyTorch in tests/reference."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from contract import TINY, ModelContract

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import create_model
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.cost import learnable
from paddle_rsseg.models.refinenet import ChainedPooling

SMALL = {"type": "RefineNet", "backbone": TINY, "channels": 8}


class TestRefineNet(ModelContract):
    spec = {**SMALL, "dropout": 0.1}


class TestRefineNetCascade(ModelContract):
    spec = {**SMALL, "wiring": "cascade"}


@pytest.mark.slow
def test_published_parameter_counts():
    # NAIC_AI-RS counted its network with the eight classes of the second stage, its encoder's classifier apart
    model = create_model({"type": "RefineNet", "num_classes": 8})
    parameters = sum(int(np.prod(parameter.shape)) for parameter in learnable(model).values())
    assert round(parameters / 1e6, 2) == 118.02


def test_an_encoder_may_have_any_number_of_maps():
    model = create_model({**SMALL, "backbone": {"type": "ResNet18", "finest_stride": 2}, "wiring": "cascade"})
    assert [block.reduce.weight.shape[:2] for block in model.head.blocks] == [
        [8, 64], [8, 64], [8, 128], [8, 256], [16, 512]
    ]  # fmt: skip
    model.eval()
    with paddle.no_grad():
        assert model(paddle.zeros([1, 3, 33, 40]))[0].shape == [1, 16, 33, 40]


def test_pooling_link_by_link():
    paddle.seed(0)
    pooling = ChainedPooling(2, 2)
    kernel = np.zeros((2, 2, 3, 3), "float32")
    kernel[[0, 1], [0, 1], 1, 1] = 1.5  # the pixel itself, no channel sees another
    for conv in pooling.convs:
        conv.weight.set_value(kernel)
    x = np.zeros((1, 2, 1, 9), "float32")
    x[0, 0, 0, 4] = 2
    got = pooling(paddle.to_tensor(x)).numpy()[0, 0, 0]
    # 2 where it was, 3 up to two pixels away, 4.5 up to four
    np.testing.assert_allclose(got, [4.5, 4.5, 7.5, 7.5, 9.5, 7.5, 7.5, 4.5, 4.5])


def test_what_comes_with_a_wiring_and_what_is_given():
    small = {**SMALL, "backbone": "ResNet18"}
    plain, cascade = (create_model({**small, "wiring": wiring}) for wiring in ("drsleep", "cascade"))
    assert (plain.min_multiple, cascade.min_multiple) == (32, 16)
    assert (plain.align_corners, cascade.align_corners) == (False, True)
    assert [model.backbone.bn1._momentum for model in (plain, cascade)] == [0.9, 0.99]
    assert [model.head.dropout.p for model in (plain, cascade)] == [0.5, 0.0]
    other = create_model(
        {**small, "wiring": "cascade", "output_stride": 32, "pool_stages": 3, "dropout": 0.2, "norm_momentum": 0.5}
    )
    assert other.min_multiple == 32
    assert len(other.head.blocks[0].pooling.convs) == 3
    assert (other.head.dropout.p, other.backbone.bn1._momentum) == (0.2, 0.5)
    built = build_backbone("ResNet18", in_channels=4)
    assert create_model({**small, "backbone": built}).in_channels == 4


def test_an_unknown_wiring_is_named():
    with pytest.raises(RssegError, match=r"'drslep'.*drsleep, cascade"):
        create_model({**SMALL, "wiring": "drslep"})
