"""RefineNet's and BASNet's files: every project's names."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from paddle_rsseg.models import create_model
from paddle_rsseg.weights import load_pretrained, load_weights, save_weights
from paddle_rsseg.weights.layout import translate

#: names in the file → ours; enough to tell the layout and to see every rule
NAMES = {
    "RefineNet of DrSleep or NAIC_AI-RS": {
        "conv1.weight": "backbone.conv1.weight",
        "bn1.running_mean": "backbone.bn1._mean",
        "layer4.2.conv3.weight": "backbone.layer4.2.conv3.weight",
        "fc.weight": None,
        "p_ims1d2_outl1_dimred.weight": "head.blocks.3.reduce.weight",
        "p_ims1d2_outl4_dimred.weight": "head.blocks.0.reduce.weight",
        "adapt_stage1_b.0.1_conv.weight": "head.blocks.3.units.0.conv1.weight",
        "adapt_stage1_b.0.1_conv.bias": "head.blocks.3.units.0.conv1.bias",
        "adapt_stage1_b.0.2_conv_relu_varout_dimred.weight": "head.blocks.3.units.1.conv2.weight",
        "mflow_conv_g1_pool.0.1_outvar_dimred.weight": "head.blocks.3.pooling.convs.0.weight",
        "mflow_conv_g1_b.0.3_conv.weight": "head.blocks.3.out_units.2.conv1.weight",
        "mflow_conv_g1_b.0.3_conv_relu_varout_dimred.weight": "head.blocks.3.out_units.2.conv2.weight",
        "mflow_conv_g1_b3_joint_varout_dimred.weight": "head.blocks.2.path_conv.weight",
        "adapt_stage2_b2_joint_varout_dimred.weight": "head.blocks.2.conv.weight",
        "mflow_conv_g3_b3_joint_varout_dimred.weight": "head.blocks.0.path_conv.weight",
        "adapt_stage4_b2_joint_varout_dimred.weight": "head.blocks.0.conv.weight",
        "mflow_conv_g4_pool.0.4_outvar_dimred.weight": "head.blocks.0.pooling.convs.3.weight",
        "clf_conv.bias": "head.classifier.bias",
    },
    "RefineNet (4-cascade) of NAIC_AI-RS": {
        "Resnet101.conv1.weight": "backbone.conv1.0.weight",
        "Resnet101.bn2.running_mean": "backbone.conv1.4._mean",
        "Resnet101.bn3.running_var": "backbone.bn1._variance",
        "Resnet101.layer1.0.bn3.bias": "backbone.layer1.0.bn3.bias",
        "layer1.0.weight": None,
        "layer1.10.0.bn3.bias": None,
        "layer4.2.conv3.weight": None,
        "layer1_rn.weight": "head.blocks.0.reduce.weight",
        "layer4_rn.weight": "head.blocks.3.reduce.weight",
        "refinenet4.rcu0.1.conv1.bias": "head.blocks.3.units.1.conv1.bias",
        "refinenet4.crp.block1.1.weight": "head.blocks.3.pooling.convs.0.weight",
        "refinenet3.rcu0.0.conv2.weight": "head.blocks.2.path_units.0.conv2.weight",
        "refinenet3.rcu1.0.conv2.weight": "head.blocks.2.units.0.conv2.weight",
        "refinenet3.mrf.resolve0.weight": "head.blocks.2.path_conv.weight",
        "refinenet3.mrf.resolve1.weight": "head.blocks.2.conv.weight",
        "refinenet1.output_conv.conv1.bias": "head.blocks.0.out_units.0.conv1.bias",
        "output_conv.1.conv1.weight": "head.units.1.conv1.weight",
        "output_conv.2.weight": "head.classifier.weight",
    },
    "RefineNet (4-cascade) of thomasjpfan": {
        "layer1.0.weight": "backbone.conv1.weight",
        "layer1.1.running_mean": "backbone.bn1._mean",
        "layer1.4.2.conv1.weight": "backbone.layer1.2.conv1.weight",
        "layer3.22.bn1.weight": "backbone.layer3.22.bn1.weight",
        "layer2_rn.weight": "head.blocks.1.reduce.weight",
        "refinenet4.crp.block1.1.weight": "head.blocks.3.pooling.convs.0.weight",
        "output_conv.2.bias": "head.classifier.bias",
    },
    "BASNet of NathanUA or NAIC_AI-RS": {
        "inconv.bias": "backbone.stem.0.bias",
        "inbn.running_mean": "backbone.stem.1._mean",
        "encoder4.2.conv2.weight": "backbone.layer4.2.conv2.weight",
        "encoder2.0.downsample.1.running_var": "backbone.layer2.0.downsample.1._variance",
        "resb5_1.conv1.weight": "backbone.layer5.0.conv1.weight",
        "resb6_3.bn2.weight": "backbone.layer6.2.bn2.weight",
        "convbg_m.weight": "bridge.1.0.weight",
        "bnbg_2.running_mean": "bridge.2.1._mean",
        "conv6d_1.weight": "decoder.5.0.0.weight",
        "bn1d_m.bias": "decoder.0.1.1.bias",
        "outconvb.weight": "aux_heads.5.weight",
        "outconv6.weight": "aux_heads.4.weight",
        "outconv2.bias": "aux_heads.0.bias",
        "outconv1.bias": "head.bias",
        "refunet.conv0.weight": "refiner.stem.weight",
        "refunet.conv1.weight": "refiner.down.0.0.weight",
        "refunet.bn5.weight": "refiner.down.4.1.weight",
        "refunet.conv_d4.weight": "refiner.up.3.0.weight",
        "refunet.bn_d1.running_var": "refiner.up.0.1._variance",
        "refunet.conv_d0.bias": "refiner.out.bias",
    },
}


@pytest.mark.parametrize("layout", NAMES)
def test_names(layout):
    theirs = {name: np.zeros(1, np.float32) for name in NAMES[layout]}
    translation = translate(theirs, framework="torch")
    assert translation.layout.name == layout
    assert {name: ours for ours, name in translation.origin.items()} == {
        name: ours for name, ours in NAMES[layout].items() if ours
    }
    assert set(translation.dropped) == {name for name, ours in NAMES[layout].items() if not ours}


def test_basnet_starts_from_the_stages_of_a_resnet(tmp_path):
    model = create_model({"type": "BASNet", "widths": (4, 8, 12, 16), "depths": (2, 2, 2, 2), "num_classes": 3})
    shapes = {"conv1.weight": (4, 3, 7, 7), "bn1.weight": (4,), "fc.weight": (10, 16)}
    for name, tensor in model.backbone.state_dict().items():
        if name.startswith(("layer1.", "layer2.", "layer3.", "layer4.")):
            shapes[name.replace("._mean", ".running_mean").replace("._variance", ".running_var")] = tuple(tensor.shape)
    rng = np.random.default_rng(0)
    state = {name: rng.random(shape).astype("float32") for name, shape in shapes.items()}
    save_file(state, tmp_path / "resnet.safetensors")
    report = load_pretrained(model, tmp_path / "resnet.safetensors", partial=True)
    np.testing.assert_array_equal(model.backbone.layer4[1].conv2.weight.numpy(), state["layer4.1.conv2.weight"])
    assert {name.split(".")[1] for name in report.missing} == {"stem", "layer5", "layer6"}
    assert sorted(report.extra) == ["bn1.weight", "conv1.weight"]


def test_a_file_of_one_class_starts_a_network_of_more(tmp_path):
    """As NathanUA's weights of salient objects would."""
    options = {"type": "BASNet", "widths": (4, 4, 4, 4), "depths": (1, 1, 1, 1), "refiner_width": 4}
    one, five = (create_model({**options, "num_classes": classes}) for classes in (1, 5))
    save_weights(tmp_path / "one.safetensors", {name: value.numpy() for name, value in one.state_dict().items()}, {})
    load_weights(create_model({**options, "num_classes": 1}), tmp_path / "one.safetensors")
    report = load_pretrained(five, tmp_path / "one.safetensors", partial=True)
    assert not report.missing
    assert {name.rpartition(".")[0] for name in (*report.adapted, *report.misshaped)} == {
        "head",
        *(f"aux_heads.{i}" for i in range(6)),
        "refiner.stem",
        "refiner.out",
    }
    np.testing.assert_array_equal(five.bridge[0][0].weight.numpy(), one.bridge[0][0].weight.numpy())
