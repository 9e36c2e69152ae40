"""Files of UPerNet, U-Net and U-Net++: names, order of the patch merging, and a whole file of each."""

from __future__ import annotations

import re

import numpy as np
import pytest

from paddle_rsseg.models import create_model
from paddle_rsseg.weights.layout import translate
from paddle_rsseg.weights.layouts.transformers import merging_of_mmseg

#: names in the file → ours; enough to tell the layout and to see every rule
NAMES = {
    "UPerNet (Swin) of mmsegmentation": {
        "backbone.patch_embed.projection.weight": "backbone.patch_embed.proj.weight",
        "backbone.stages.0.blocks.0.attn.w_msa.qkv.bias": "backbone.layers.0.blocks.0.attn.qkv.bias",
        "backbone.stages.0.blocks.0.ffn.layers.0.0.bias": "backbone.layers.0.blocks.0.mlp.fc1.bias",
        "backbone.stages.0.blocks.0.attn.w_msa.relative_position_index": None,
        "backbone.norm3.bias": "backbone.norm3.bias",
        "decode_head.conv_seg.bias": "head.classifier.bias",
        "decode_head.psp_modules.3.1.conv.weight": "head.pooling.pools.3.0.weight",
        "decode_head.psp_modules.3.1.bn.running_var": "head.pooling.pools.3.1._variance",
        "decode_head.bottleneck.conv.weight": "head.pooling.fusion.0.weight",
        "decode_head.lateral_convs.2.bn.running_mean": "head.laterals.2.1._mean",
        "decode_head.fpn_convs.1.conv.weight": "head.smooth.1.0.weight",
        "decode_head.fpn_bottleneck.bn.bias": "head.fusion.1.bias",
        "auxiliary_head.convs.0.conv.weight": "aux_head.conv.0.weight",
        "auxiliary_head.conv_seg.weight": "aux_head.classifier.weight",
    },
    "UPerNet of mmsegmentation or of the Swin authors": {
        "backbone.layers.0.blocks.0.attn.qkv.bias": "backbone.layers.0.blocks.0.attn.qkv.bias",
        "backbone.layers.0.blocks.1.attn_mask": None,
        "backbone.stem.7.bias": "backbone.bn1.bias",
        "decode_head.psp_modules.0.1.bn.weight": "head.pooling.pools.0.1.weight",
        "decode_head.fpn_bottleneck.conv.weight": "head.fusion.0.weight",
    },
    "UPerNet of segmentation_models.pytorch": {
        "encoder.layer1.0.conv1.weight": "backbone.layer1.0.conv1.weight",
        "decoder.feature_norms.3.weight": "head.norms.3.weight",
        "decoder.psp.blocks.2.1.0.weight": "head.pooling.pools.2.0.weight",
        "decoder.psp.out_conv.1.running_mean": "head.pooling.fusion.1._mean",
        "decoder.fpn_lateral_blocks.0.conv_norm_relu.0.weight": "head.laterals.2.0.weight",
        "decoder.fpn_conv_blocks.2.1.bias": "head.smooth.0.1.bias",
        "decoder.fusion_block.0.weight": "head.fusion.0.weight",
        "segmentation_head.0.weight": "head.classifier.weight",
    },
    "U-Net or U-Net++ of segmentation_models.pytorch on EfficientNet-B6": {
        "encoder._conv_stem.weight": "backbone.conv_stem.weight",
        "encoder._blocks.44._project_conv.weight": "backbone.blocks.6.2.conv_pwl.weight",
        "encoder._blocks.3._bn0.running_mean": "backbone.blocks.1.0.bn1._mean",
        "encoder._conv_head.weight": None,
        "encoder._bn1.weight": None,
        "decoder.blocks.x_0_0.conv1.0.weight": "head.nodes.0_0.convs.0.0.weight",
        "decoder.blocks.x_2_3.conv2.1.running_var": "head.nodes.2_3.convs.1.1._variance",
        "segmentation_head.0.bias": "head.classifier.bias",
    },
    "U-Net or U-Net++ of segmentation_models.pytorch": {
        "encoder.layer1.0.conv1.weight": "backbone.layer1.0.conv1.weight",
        "encoder.bn1.running_mean": "backbone.bn1._mean",
        "decoder.blocks.0.conv1.0.weight": "head.blocks.0.convs.0.0.weight",
        "decoder.blocks.4.conv2.1.bias": "head.blocks.4.convs.1.1.bias",
        "segmentation_head.0.weight": "head.classifier.weight",
    },
}


@pytest.mark.parametrize("layout", NAMES)
def test_names(layout):
    theirs = {name: np.zeros(1, np.float32) for name in NAMES[layout]}
    translation = translate(theirs)
    assert translation.layout.name == layout
    assert {name: ours for ours, name in translation.origin.items()} == {
        name: ours for name, ours in NAMES[layout].items() if ours
    }
    assert set(translation.dropped) == {name for name, ours in NAMES[layout].items() if not ours}


def test_only_a_swins_merging_is_rearranged():
    rng = np.random.default_rng(0)
    merging, shortcut = rng.random((4, 8), np.float32), rng.random((8, 4, 1, 1), np.float32)
    head = {name: np.zeros(1, np.float32) for name in ("decode_head.psp_modules.0.1.bn.weight",)}
    head["decode_head.fpn_bottleneck.bn.weight"] = np.zeros(1, np.float32)
    swin = {**head, "backbone.stages.0.blocks.0.attn.w_msa.qkv.bias": np.zeros(1, np.float32)}
    swin["backbone.stages.0.downsample.reduction.weight"] = merging
    state = translate(swin, framework="torch").state
    np.testing.assert_array_equal(
        state["backbone.layers.0.downsample.reduction.weight"], merging_of_mmseg(np.ascontiguousarray(merging.T))
    )
    state = translate({**head, "backbone.layer1.0.downsample.0.weight": shortcut}, framework="torch").state
    np.testing.assert_array_equal(state["backbone.layer1.0.downsample.0.weight"], shortcut)


#: our names → mmsegmentation's, written out apart from the layout
MMSEG = [
    (r"^head\.classifier\.", "decode_head.conv_seg."),
    (r"^head\.pooling\.pools\.(\d)\.", r"decode_head.psp_modules.\1.1."),
    (r"^head\.pooling\.fusion\.", "decode_head.bottleneck."),
    (r"^head\.laterals\.", "decode_head.lateral_convs."),
    (r"^head\.smooth\.", "decode_head.fpn_convs."),
    (r"^head\.fusion\.", "decode_head.fpn_bottleneck."),
    (r"^aux_head\.conv\.", "auxiliary_head.convs.0."),
    (r"^aux_head\.classifier\.", "auxiliary_head.conv_seg."),
    (r"^((decode|auxiliary)_head\..*)\.0\.(weight)$", r"\1.conv.\3"),
    (r"^((decode|auxiliary)_head\..*)\.1\.(\w+)$", r"\1.bn.\3"),
]
SMP = [
    (r"^backbone\.", "encoder."),
    (r"^head\.nodes\.", "decoder.blocks.x_"),
    (r"\.convs\.0\.", ".conv1."),
    (r"\.convs\.1\.", ".conv2."),
    (r"^head\.classifier\.", "segmentation_head.0."),
]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"type": "UPerNet", "backbone": "ResNet18", "channels": 8, "aux_channels": 8, "num_classes": 3}, MMSEG),
        ({"type": "EncoderUNetPlusPlus", "backbone": "ResNet18", "channels": (8,) * 5, "num_classes": 3}, SMP),
    ],
)
def test_a_whole_file_fills_the_network(spec, names):
    model = create_model(spec)
    ours = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    theirs = {}
    for name, array in ours.items():
        for pattern, replacement in [*names, (r"\._mean$", ".running_mean"), (r"\._variance$", ".running_var")]:
            name = re.sub(pattern, replacement, name)
        theirs[name] = array
    state = translate(theirs).state
    assert set(state) == set(ours)
    for name, array in state.items():
        np.testing.assert_array_equal(array, ours[name], err_msg=name)
