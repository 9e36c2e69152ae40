"""DeepLabV3+: every wiring keeps the contract, and each argument does what it says."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from contract import TINY, TINY_PARAMETERS, ModelContract, image

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import create_model
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.cost import learnable
from paddle_rsseg.models.deeplabv3plus import WIRINGS


class TestDefault(ModelContract):
    spec = {"type": "DeepLabV3Plus", "backbone": TINY, "channels": 64}
    # encoder + ASPP 1×1, mean, three 3×3 and fusion + low level + decoder + 16 classes
    parameters = (
        TINY_PARAMETERS
        + (192 * 64 + 128) * 2
        + 3 * (192 * 64 * 9 + 128)
        + (5 * 64 * 64 + 128)
        + (24 * 48 + 96)
        + (112 * 64 * 9 + 128)
        + (64 * 64 * 9 + 128)
        + (64 * 16 + 16)
    )


class TestMmseg(ModelContract):
    """Separable, wide, with the second output."""

    spec = {"type": "DeepLabV3Plus", "backbone": TINY, "wiring": "mmseg", "channels": 64}
    train_outputs = 2


def build(**arguments):
    return create_model({"type": "DeepLabV3Plus", "backbone": "ResNet18", "num_classes": 5, **arguments})


def size(model) -> int:
    return sum(int(np.prod(p.shape)) for p in learnable(model).values())


@pytest.mark.parametrize("wiring", sorted(WIRINGS))
def test_every_wiring_gives_logits_at_input_size(wiring):
    model = build(wiring=wiring)
    model.eval()
    with paddle.no_grad():
        (logits,) = model(image(model, (33, 40)))
    assert logits.shape == [2, 5, 33, 40]


def test_wiring_is_only_a_set_of_arguments():
    named = build(wiring="paddleseg")
    backbone = {"type": "ResNet18", "contract_dilation": False}
    spelled = build(
        backbone=backbone, separable="norm", aspp_dropout=0.1, bias=True, align_corners=False, output_stride=8
    )
    spelled.set_state_dict(named.state_dict())
    x = image(named, (64, 48))
    for model in (named, spelled):
        model.eval()
    with paddle.no_grad():
        np.testing.assert_array_equal(named(x)[0].numpy(), spelled(x)[0].numpy())


def test_arguments_win_over_the_wiring():
    assert len(build(wiring="mmseg", channels=32, aux_head=False).head.convs) == 2
    assert build(wiring="mmseg", channels=32, aux_head=False).aux_head is None
    assert size(build(wiring="paddleseg", separable=False)) > size(build(wiring="paddleseg")) + 3_000_000


def test_output_stride_of_argument_mapping_and_wiring():
    assert build().backbone.strides == [4, 8, 16, 16]
    assert build(wiring="paddleseg").backbone.strides == [4, 8, 8, 8]
    assert build(wiring="paddleseg", output_stride=16).backbone.strides == [4, 8, 16, 16]
    assert build(backbone={"type": "ResNet18", "output_stride": 32}).backbone.strides == [4, 8, 16, 32]


def test_the_wiring_decides_how_the_encoder_dilates_unless_its_mapping_does():
    def first_dilation(**arguments):
        return build(**arguments).backbone.layer4[0].conv1._dilation[0]

    assert first_dilation() == 1
    assert first_dilation(wiring="naic") == first_dilation(wiring="smp") == 2
    contracted = {"type": "ResNet18", "contract_dilation": True}
    assert first_dilation(wiring="smp", backbone=contracted) == 1


def test_rates_follow_the_output_stride():
    def dilations(**arguments):
        return [branch[0]._dilation[0] for branch in build(**arguments).head.aspp.branches]

    assert dilations() == [1, 6, 12, 18]
    assert dilations(output_stride=8) == [1, 12, 24, 36]
    assert dilations(output_stride=8, rates=(6, 12)) == [1, 6, 12]


def test_order_of_the_branches_matters_and_not_their_names():
    first, last = build(pool_first=True), build(pool_first=False)
    assert list(first.state_dict()) == list(last.state_dict())
    last.set_state_dict(first.state_dict())
    for model in (first, last):
        model.eval()
    x = image(first, (64, 64))
    with paddle.no_grad():
        assert not np.allclose(first(x)[0].numpy(), last(x)[0].numpy(), atol=1e-4)


def test_an_encoder_already_built():
    encoder = build_backbone("ResNet18", in_channels=4, output_stride=8)
    model = build(backbone=encoder)
    assert (model.in_channels, model.backbone) == (4, encoder)


def test_unknown_wiring():
    with pytest.raises(RssegError, match="did you mean 'mmseg'"):
        build(wiring="mmsge")


def test_encoder_without_a_map_of_stride_4():
    encoder = build_backbone("ResNet18")
    encoder.strides = [2, 8, 16, 32]
    with pytest.raises(RssegError, match="stride 4"):
        build(backbone=encoder)
