"""MiT: the contract, and what its attention does with maps smaller than a patch."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from backbone_contract import BackboneContract

from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.backbones.mit import Attention
from paddle_rsseg.models.cost import learnable


class TestMiTB0(BackboneContract):
    spec = {"type": "MiTB0"}
    parameters = 3_319_392  # mit_b0 of segmentation_models.pytorch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "parameters"),  # as segmentation_models.pytorch has them
    [(1, 13_151_424), (2, 24_196_288), (3, 44_072_128), (4, 60_844_096), (5, 81_443_008)],
)
def test_parameters(size, parameters):
    encoder = build_backbone(f"MiTB{size}")
    assert sum(int(np.prod(p.shape)) for p in learnable(encoder).values()) == parameters


def test_keys_and_values_leave_out_what_fills_no_patch():
    attention = Attention(8, 2, reduction=4, epsilon=1e-5)
    x = paddle.randn([1, 11, 8, 8])
    reduced = attention.reduced(x).numpy()
    assert reduced.shape == (1, 2, 2, 8)
    x[:, 8:] = 7.0
    np.testing.assert_array_equal(attention.reduced(x).numpy(), reduced)


def test_a_map_smaller_than_a_patch_is_filled_up_with_zeros():
    attention = Attention(8, 2, reduction=4, epsilon=1e-5)
    x = paddle.randn([1, 3, 5, 8])
    filled = paddle.zeros([1, 4, 5, 8])
    filled[:, :3] = x
    np.testing.assert_allclose(attention.reduced(x).numpy(), attention.reduced(filled).numpy(), atol=1e-6)
    assert attention(x).shape == [1, 3, 5, 8]


def test_drop_path_grows_from_zero_to_the_rate():
    encoder = build_backbone({"type": "MiTB1", "drop_path_rate": 0.7})
    rates = [layer.p for layer in encoder.sublayers() if isinstance(layer, paddle.nn.Dropout)]
    np.testing.assert_allclose(rates, np.linspace(0, 0.7, 8))


def test_drop_path_drops_the_whole_branch_of_an_image():
    encoder = build_backbone("MiTB0")
    dropped = encoder.block4[1].drop_path  # rate 0.1
    paddle.seed(3)
    branch = dropped(paddle.ones([64, 2, 3, 4])).numpy()
    for image in branch:
        assert np.ptp(image) == 0
    assert sorted(set(branch[:, 0, 0, 0].tolist())) == pytest.approx([0, 1 / 0.9])
