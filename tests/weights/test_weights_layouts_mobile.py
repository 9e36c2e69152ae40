"""Layouts of the mobile encoders and of Xception that no PyTorch package at hand writes."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.weights.layout import translate
from paddle_rsseg.weights.layouts.mobile import DEPTHS


def arrays(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name.replace("__", "."): rng.standard_normal(shape).astype("float32") for name, shape in shapes.items()}


@pytest.mark.parametrize("matrices", [True, False], ids=["matrices", "convolutions"])
def test_cadenes_xception_begins_the_aligned_one(matrices):
    file = arrays(
        conv1__weight=(32, 3, 3, 3),
        block2__rep__4__conv1__weight=(256, 1, 3, 3),
        block11__rep__1__pointwise__weight=(5, 3, 1, 1),
        block12__skip__weight=(1024, 728, 1, 1),
        block12__rep__1__pointwise__weight=(5, 3, 1, 1),
        conv3__pointwise__weight=(6, 4, 1, 1),
        bn3__running_mean=(6,),
        conv4__pointwise__weight=(7, 6, 1, 1),
        bn4__weight=(7,),
        last_linear__weight=(10, 7),
    )
    given = {name: a[:, :, 0, 0] if matrices and "pointwise" in name else a for name, a in file.items()}
    translation = translate(given)
    expected = {
        "conv1.weight": "conv1.weight",
        "block2.rep.3.conv1.weight": "block2.rep.4.conv1.weight",
        **{f"block{i}.rep.1.pointwise.weight": "block11.rep.1.pointwise.weight" for i in range(11, 20)},
        "block20.skip.weight": "block12.skip.weight",
        "block20.rep.1.pointwise.weight": "block12.rep.1.pointwise.weight",
        "conv3.pointwise.weight": "conv3.pointwise.weight",
        "bn3._mean": "bn3.running_mean",
        "bn4._mean": "bn3.running_mean",
        "conv5.pointwise.weight": "conv4.pointwise.weight",
        "bn5.weight": "bn4.weight",
    }
    assert translation.origin == expected
    for ours, theirs in expected.items():
        np.testing.assert_array_equal(translation.state[ours], file[theirs])
    assert list(translation.dropped) == ["last_linear.weight"]
    assert set(expected) <= set(build_backbone("Xception").state_dict())


def test_tonylins_counts_all_layers_of_a_block():
    names = {
        "features.0.1.weight": "features.0.1.weight",
        "features.1.conv.0.weight": "features.1.conv.0.0.weight",
        "features.1.conv.1.bias": "features.1.conv.0.1.bias",
        "features.1.conv.3.weight": "features.1.conv.1.weight",
        "features.1.conv.4.bias": "features.1.conv.2.bias",
        "features.17.conv.0.weight": "features.17.conv.0.0.weight",
        "features.17.conv.1.running_mean": "features.17.conv.0.1._mean",
        "features.17.conv.3.weight": "features.17.conv.1.0.weight",
        "features.17.conv.4.running_var": "features.17.conv.1.1._variance",
        "features.17.conv.6.weight": "features.17.conv.2.weight",
        "features.17.conv.7.bias": "features.17.conv.3.bias",
    }
    dropped = ["features.18.0.weight", "classifier.1.weight"]
    translation = translate({name: np.zeros(1, "float32") for name in [*names, *dropped]})
    assert translation.origin == {ours: theirs for theirs, ours in names.items()}
    assert list(translation.dropped) == dropped
    assert set(names.values()) <= set(build_backbone("MobileNetV2").state_dict())


@pytest.mark.parametrize("variant", DEPTHS)
def test_efficientnet_pytorch_counts_the_blocks_of_all_stages(variant):
    depths = DEPTHS[variant]
    projections = [f"_blocks.{i}._project_conv.weight" for i in range(sum(depths))]
    translation = translate({name: np.full(1, i, "float32") for i, name in enumerate(projections)})
    staged = [f"blocks.{s}.{i}.conv_pwl.weight" for s, depth in enumerate(depths) for i in range(depth)]
    assert [int(translation.state[name].item()) for name in staged] == list(range(sum(depths)))
