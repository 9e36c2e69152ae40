"""RendDANet's and RendUNet's files of NAIC_AI-RS."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_rsseg.weights.layout import translate

#: names in the file → ours; enough to tell the layout and to see every rule
NAMES = {
    "RendDANet of NAIC_AI-RS": {
        "pretrained.conv1.weight": "network.backbone.conv1.weight",
        "pretrained.layer4.2.bn3.running_mean": "network.backbone.layer4.2.bn3._mean",
        "pretrained.fc.weight": None,
        "head.sa.query_conv.weight": "network.head.position.1.query.weight",
        "head.conv52.1.running_var": "network.head.channel.2.1._variance",
        "seg1.1.bias": "network.head.classifier.bias",
        "rend_head.mlp.0.weight": "point_head.layers.0.weight",
        "rend_head.mlp.4.weight": "point_head.layers.2.weight",
        "rend_head.mlp.6.weight": "point_head.classifier.weight",
        "rend_head.mlp.6.bias": "point_head.classifier.bias",
    },
    "RendUNet of NAIC_AI-RS": {
        "seg.refine.conv.0.weight": "image.0.0.weight",
        "seg.refine.conv.1.running_mean": "image.0.1._mean",
        "seg.refine.conv.3.weight": "image.1.0.weight",
        "seg.refine.conv.4.bias": "image.1.1.bias",
        "seg.layer0.0.weight": "backbone.conv1.weight",
        "seg.layer0.1.weight": "backbone.bn1.weight",
        "seg.layer1.1.0.conv1.weight": "backbone.layer1.0.conv1.weight",
        "seg.layer3.22.bn1.bias": "backbone.layer3.22.bn1.bias",
        "seg.att.cSE.fc1.weight": "squeeze.channel.fc1.weight",
        "seg.att.sSE.conv.bias": "squeeze.spatial.conv.bias",
        "seg.seg.1.weight": "head.weight",
        "rend.mlp3.mlp.fc1.weight": None,
        "rend.mlp2.mlp.final_fc.bias": None,
        "rend.mlp1.mlp.fc1.weight": "point_heads.0.layers.0.weight",
        "rend.mlp0.mlp.fc3.bias": "point_heads.1.layers.2.bias",
        "rend.mlp_refine.mlp.fc2.weight": "point_heads.2.layers.1.weight",
        "rend.mlp_refine.mlp.final_fc.weight": "point_heads.2.classifier.weight",
    },
}


@pytest.mark.parametrize("layout", NAMES)
def test_names(layout):
    theirs = {name: np.zeros((1, 1, 1, 1) if name.endswith("weight") else 1, np.float32) for name in NAMES[layout]}
    translation = translate(theirs)
    assert translation.layout.name == layout
    assert {name: ours for ours, name in translation.origin.items()} == {
        name: ours for name, ours in NAMES[layout].items() if ours
    }
    assert set(translation.dropped) == {name for name, ours in NAMES[layout].items() if not ours}


def test_linear_and_one_dimensional_layers_become_convolutions():
    points, linear = (np.random.default_rng(0).random(shape).astype("float32") for shape in ((5, 3, 1), (2, 4)))
    theirs = {
        "seg.refine.conv.1.running_mean": np.zeros(1, np.float32),  # tells that PyTorch wrote the file
        "rend.mlp_refine.mlp.fc1.weight": points,
        "seg.att.cSE.fc1.weight": linear,
    }
    state = translate(theirs).state
    np.testing.assert_array_equal(state["point_heads.2.layers.0.weight"], points[..., None])
    np.testing.assert_array_equal(state["squeeze.channel.fc1.weight"], linear[..., None, None])
