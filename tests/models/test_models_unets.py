"""U-Net, its relatives and U-Net++: the contract, parameter counts, and torch models written from the formulas."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from contract import ModelContract

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import create_model
from paddle_rsseg.models.cost import learnable

#: of the small members
WIDTHS = [8, 12, 16]


class TestUNet(ModelContract):
    spec = {"type": "UNet", "widths": WIDTHS}


@pytest.mark.slow
class TestUNetDeconv(ModelContract):
    spec = {"type": "UNet", "widths": WIDTHS, "use_deconv": True}


class TestAttUNet(ModelContract):
    spec = {"type": "AttUNet", "widths": WIDTHS}


class TestR2UNet(ModelContract):
    spec = {"type": "R2UNet", "widths": WIDTHS}


class TestR2AttUNet(ModelContract):
    spec = {"type": "R2AttUNet", "widths": WIDTHS, "t": 1}


class TestUNetPlusPlus(ModelContract):
    spec = {"type": "UNetPlusPlus", "widths": WIDTHS}


class TestUNetPlusPlusFourHeads(ModelContract):
    spec = {"type": "UNetPlusPlus", "wiring": "naic", "widths": [8, 8, 12, 12], "heads": "four"}
    train_outputs = 3


@pytest.mark.slow
class TestUNetPlusPlusNested(ModelContract):
    spec = {"type": "UNetPlusPlus", "wiring": "nested", "widths": [32, 32, 32]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "millions"),
    [
        # the specification of NAIC_AI-RS's networks, 15 classes
        ({"type": "UNet", "wiring": "leejunhyun"}, 34.53),
        ({"type": "UNet", "wiring": "milesial"}, 13.40),
        ({"type": "UNet", "wiring": "milesial", "bias": False}, 13.39),
        ({"type": "AttUNet"}, 34.88),
        ({"type": "R2UNet"}, 39.09),
        ({"type": "R2AttUNet"}, 39.44),
        ({"type": "UNetPlusPlus", "wiring": "naic"}, 36.63),
        ({"type": "UNetPlusPlus", "wiring": "nested"}, 9.05),
        ({"type": "UNet"}, 13.40),
    ],
)
def test_published_parameter_counts(spec, millions):
    model = create_model({**spec, "num_classes": 15})
    parameters = sum(int(np.prod(parameter.shape)) for parameter in learnable(model).values())
    assert round(parameters / 1e6, 2) == millions


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"type": "UNet", "wiring": "paddle"}, r"paddle.*paddleseg, leejunhyun, milesial"),
        ({"type": "UNet", "widths": [8]}, r"\[8\].*two levels"),
        ({"type": "UNetPlusPlus", "wiring": "smp"}, r"smp.*paddleseg, naic, nested"),
        ({"type": "UNetPlusPlus", "heads": "all"}, r"all.*one, four or mean"),
        ({"type": "UNetPlusPlus", "widths": [8]}, r"\[8\].*two levels"),
    ],
)
def test_wrong_options_are_named(spec, words):
    with pytest.raises(RssegError, match=words):
        create_model(spec)


def test_earlier_heads_are_auxiliary_and_come_in_reverse():
    """The deepest node's output first; in evaluation it is the only one."""
    paddle.seed(0)
    model = create_model({"type": "UNetPlusPlus", "wiring": "naic", "widths": [4, 4, 4, 4], "heads": "four"})
    x = paddle.randn([1, 3, 16, 16])
    model.eval()
    (alone,) = model(x)
    model.training = True  # the layers stay in evaluation mode
    main, *auxiliary = model(x)
    np.testing.assert_array_equal(main.numpy(), alone.numpy())
    # only the last node of the finest level sees the deepest one
    model.encoder[3][1][1].bias.set_value(model.encoder[3][1][1].bias + 5.0)
    changed = model(x)
    assert not np.allclose(changed[0].numpy(), main.numpy())
    for before, after in zip(auxiliary, changed[1:], strict=True):
        np.testing.assert_array_equal(before.numpy(), after.numpy())


def test_parameter_count_by_hand():
    model = create_model({"type": "UNet", "wiring": "leejunhyun", "widths": WIDTHS})
    blocks = [(3, 8), (8, 12), (12, 16), (24, 12), (16, 8)]
    expected = sum(9 * (a * b + b * b) + 6 * b for a, b in blocks)  # two convolutions with bias, two norms
    expected += sum(9 * a * b + 3 * b for a, b in [(16, 12), (12, 8)])
    assert sum(int(np.prod(p.shape)) for p in learnable(model).values()) == expected + 8 * 16 + 16


def test_recurrent_convolution_is_applied_t_plus_1_times():
    paddle.seed(0)
    model = create_model({"type": "R2UNet", "widths": [4, 4], "t": 2})
    unit, calls = model.encoder[0].recurrent[0], []
    unit.conv.register_forward_pre_hook(lambda layer, inputs: calls.append(inputs[0].numpy()))
    model.eval()
    x = paddle.randn([1, 4, 6, 5])
    out = unit(x).numpy()
    assert len(calls) == 3
    np.testing.assert_array_equal(calls[0], x.numpy())
    y = unit.conv(paddle.to_tensor(calls[0])).numpy()
    np.testing.assert_allclose(calls[1], x.numpy() + y, rtol=1e-6)
    y = unit.conv(paddle.to_tensor(calls[1])).numpy()
    np.testing.assert_allclose(calls[2], x.numpy() + y, rtol=1e-6)
    np.testing.assert_allclose(unit.conv(paddle.to_tensor(calls[2])).numpy(), out, rtol=1e-6)
