"""Files of U-Net and its relatives: every project's names."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_rsseg.weights.layout import translate

#: names in the file → ours; enough to tell the layout and to see every rule
NAMES = {
    "U-Net of LeeJunHyun or NAIC_AI-RS": {
        "Conv1.conv.0.weight": "encoder.0.0.0.weight",
        "Conv5.conv.4.running_mean": "encoder.4.1.1._mean",
        "Up5.up.1.weight": "ups.0.conv.0.weight",
        "Up2.up.2.bias": "ups.3.conv.1.bias",
        "Up_conv5.conv.3.weight": "decoder.0.1.0.weight",
        "Up_conv2.conv.1.running_var": "decoder.3.0.1._variance",
        "Att5.W_g.0.weight": "gates.0.gate.0.weight",
        "Att4.W_x.1.running_mean": "gates.1.skip.1._mean",
        "Att2.psi.1.weight": "gates.3.psi.1.weight",
        "RRCNN1.RCNN.0.conv.0.weight": "encoder.0.recurrent.0.conv.0.weight",
        "RRCNN5.Conv_1x1.bias": "encoder.4.enter.bias",
        "Up_RRCNN3.RCNN.1.conv.1.running_mean": "decoder.2.recurrent.1.conv.1._mean",
        "Up_RRCNN2.Conv_1x1.weight": "decoder.3.enter.weight",
        "Conv_1x1.weight": "head.weight",
    },
    "U-Net of milesial": {
        "inc.conv.conv.0.weight": "encoder.0.0.0.weight",
        "down4.mpconv.1.conv.4.running_var": "encoder.4.1.1._variance",
        "up1.conv.conv.1.bias": "decoder.0.0.1.bias",
        "up4.conv.conv.3.weight": "decoder.3.1.0.weight",
        "outc.conv.bias": "head.bias",
    },
    "U-Net of PaddleSeg": {
        "encode.double_conv.1._batch_norm._mean": "encoder.0.1.1._mean",
        "encode.down_sample_list.3.2._conv.bias": "encoder.4.1.0.bias",
        "decode.up_sample_list.0.double_conv.0._conv.weight": "decoder.0.0.0.weight",
        "decode.up_sample_list.3.deconv.weight": "ups.3.conv.weight",
        "cls.weight": "head.weight",
        "conv.weight": None,
    },
    "U-Net++ of NAIC_AI-RS or 4uiiurz1": {
        "conv4_0.conv2.weight": "encoder.4.1.0.weight",
        "conv0_4.conv1.weight": "nodes.3.0.block.0.0.weight",
        "conv2_1.bn2.running_mean": "nodes.0.2.block.1.1._mean",
        "final4.weight": "head.weight",
        "final3.bias": "aux_heads.0.bias",
        "final1.bias": "aux_heads.2.bias",
    },
    "U-Net++ of PaddleSeg": {
        "conv1_0.conv.4._mean": "encoder.1.1.1._mean",
        "up_cat0_4.conv.conv.0.weight": "nodes.3.0.block.0.0.weight",
        "up_cat2_1.up.1.bias": "nodes.0.2.narrow.bias",
        "up_cat1_3.up.weight": "nodes.2.1.up.conv.weight",
        "out_4.weight": "head.weight",
        "out_1.weight": "aux_heads.2.weight",
    },
    "UNet_Nested": {
        "conv40.conv2.1.running_var": "encoder.4.1.1._variance",
        "up_concat04.conv.conv1.0.weight": "nodes.3.0.block.0.0.weight",
        "up_concat31.up.weight": "nodes.0.3.up.conv.weight",
        "up_concat22.up.1.weight": "nodes.1.2.narrow.weight",
        "final_4.weight": "head.weight",
        "final_2.bias": "aux_heads.1.bias",
    },
    "scSE-UNet of NAIC_AI-RS": {
        "encoder.layer4.0.downsample.0.weight": "backbone.layer4.0.downsample.0.weight",
        "encoder.fc.weight": None,
        "GapCov.conv.3.bias": "bottleneck.1.0.bias",
        "Up4.up.1.weight": "ups.0.conv.0.weight",
        "UpConv2.conv.1.running_mean": "decoder.2.0.1._mean",
        "SCSE4.cSE.fc1.weight": "squeezes.3.channel.fc1.weight",
        "SCSE1.sSE.conv.bias": "squeezes.0.spatial.conv.bias",
        "Conv_1x1.bias": "head.bias",
    },
    "UnetResnetAE of NAIC_AI-RS": {
        "encoder.feature0.0.weight": "backbone.conv1.weight",
        "encoder.feature0.1.running_mean": "backbone.bn1._mean",
        "encoder.feature3.5.bn2.bias": "backbone.layer3.5.bn2.bias",
        "center.3.weight": "center.1.0.weight",
        "decoder5.scse_module.channel_excitation.0.weight": "steps.0.squeeze.channel.fc1.weight",
        "decoder2.scse_module.spatial_se.0.weight": "steps.3.squeeze.spatial.conv.weight",
        "decoder4.block1.downsample.0.weight": "steps.1.blocks.0.downsample.0.weight",
        "decoder1.block2.conv3.weight": "last_step.blocks.1.conv3.weight",
        "cbr_last.1.bias": "fusion.1.bias",
        "cbr_last.3.bias": "head.bias",
    },
    "CE-Net": {
        "firstconv.weight": "backbone.conv1.weight",
        "firstbn.running_var": "backbone.bn1._variance",
        "encoder2.0.downsample.1.bias": "backbone.layer2.0.downsample.1.bias",
        "dblock.dilate3.weight": "atrous.dilated5.weight",
        "dblock.conv1x1.bias": "atrous.pointwise.bias",
        "spp.conv.weight": "pyramid.conv.weight",
        "decoder4.deconv2.weight": "decoder.0.deconv2.weight",
        "decoder1.norm3.bias": "decoder.3.norm3.bias",
        "finaldeconv1.weight": "last_deconv.weight",
        "finalconv2.bias": "last_conv.bias",
        "finalconv3.bias": "head.bias",
    },
    "SegNet of yassouali or NAIC_AI-RS": {
        "stage1_encoder.0.weight": "backbone.features.0.weight",
        "stage5_encoder.0.weight": "backbone.features.34.weight",
        "stage3_encoder.7.running_mean": "backbone.features.21._mean",
        "stage1_decoder.0.weight": None,
        "stage2_decoder.0.weight": None,
        "stage2_decoder.6.weight": "decoder.1.0.0.weight",
        "stage4_decoder.4.bias": "decoder.3.0.1.bias",
        "stage5_decoder.0.weight": None,
        "stage5_decoder.3.weight": "last_conv.weight",
        "stage5_decoder.4.weight": None,
        "stage5_decoder.6.weight": "head.weight",
    },
    "SegNet of PaddleSeg": {
        "enco5.2._conv.weight": "backbone.features.40.weight",
        "enco2.0._batch_norm._mean": "backbone.features.8._mean",
        "deco1.2._batch_norm.bias": "decoder.0.2.1.bias",
        "deco5.0._conv.weight": "decoder.4.0.0.weight",
        "deco5.1.weight": "head.weight",
    },
}


@pytest.mark.parametrize("layout", NAMES)
def test_names(layout):
    theirs = {name: np.zeros(1, np.float32) for name in NAMES[layout]}
    if layout.startswith(("scSE", "UnetResnetAE")):  # linear layers
        theirs.update({name: np.zeros((2, 3), np.float32) for name in theirs if "fc" in name or "excitation" in name})
    translation = translate(theirs, framework="torch" if "Paddle" not in layout else "paddle")
    assert translation.layout.name == layout
    assert {name: ours for ours, name in translation.origin.items()} == {
        name: ours for name, ours in NAMES[layout].items() if ours
    }
    assert set(translation.dropped) == {name for name, ours in NAMES[layout].items() if not ours}


def test_linear_squeezes_become_convolutions():
    weight = np.arange(8, dtype=np.float32).reshape(2, 4)  # (out, in)
    names = {"GapCov.conv.0.bias": np.zeros(1, np.float32), "SCSE4.cSE.fc1.weight": weight}
    state = translate(names, framework="torch").state
    np.testing.assert_array_equal(state["squeezes.3.channel.fc1.weight"], weight[:, :, None, None])
