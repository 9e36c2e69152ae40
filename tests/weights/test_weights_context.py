"""DANet, PSPNet, DeepLabV3 and DenseASPP: every project's names, and a whole file of them."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_rsseg.models import create_model
from paddle_rsseg.weights.layout import translate

#: names in the file → ours; enough to tell the layout and to see every rule
NAMES = {
    "DANet of NAIC_AI-RS": {
        "pretrained.conv1.weight": "backbone.conv1.weight",
        "pretrained.layer1.0.bn1.running_var": "backbone.layer1.0.bn1._variance",
        "pretrained.fc.weight": None,
        "head.conv5a.0.weight": "head.position.0.0.weight",
        "head.conv5a.1.running_mean": "head.position.0.1._mean",
        "head.conv5c.0.weight": "head.channel.0.0.weight",
        "head.sa.gamma": "head.position.1.gamma",
        "head.sa.query_conv.weight": "head.position.1.query.weight",
        "head.sa.key_conv.bias": "head.position.1.key.bias",
        "head.sa.value_conv.weight": "head.position.1.value.weight",
        "head.sc.gamma": "head.channel.1.gamma",
        "head.conv51.1.weight": "head.position.2.1.weight",
        "head.conv52.0.weight": "head.channel.2.0.weight",
        "seg1.1.bias": "head.classifier.bias",
    },
    "DANet of mmsegmentation": {
        "backbone.stem.0.weight": "backbone.conv1.0.weight",
        "backbone.stem.7.weight": "backbone.bn1.weight",
        "decode_head.pam_in_conv.conv.weight": "head.position.0.0.weight",
        "decode_head.cam_in_conv.bn.running_mean": "head.channel.0.1._mean",
        "decode_head.pam.gamma.scale": "head.position.1.gamma",
        "decode_head.pam.query_project.weight": "head.position.1.query.weight",
        "decode_head.pam.value_project.bias": "head.position.1.value.bias",
        "decode_head.cam.gamma.scale": "head.channel.1.gamma",
        "decode_head.cam_out_conv.conv.weight": "head.channel.2.0.weight",
        "decode_head.conv_seg.weight": "head.classifier.weight",
        "decode_head.pam_conv_seg.weight": "branch_heads.0.weight",
        "decode_head.cam_conv_seg.bias": "branch_heads.1.bias",
        "auxiliary_head.convs.0.bn.weight": "aux_head.conv.1.weight",
        "auxiliary_head.conv_seg.weight": "aux_head.classifier.weight",
    },
    "PSPNet of NAIC_AI-RS": {
        "backend.low_features.0.weight": "backbone.conv1.weight",
        "backend.low_features.1.running_mean": "backbone.bn1._mean",
        "backend.low_features.4.0.conv1.weight": "backbone.layer1.0.conv1.weight",
        "backend.low_features.6.5.bn3.weight": "backbone.layer3.5.bn3.weight",
        "backend.high_features.0.0.downsample.0.weight": "backbone.layer4.0.downsample.0.weight",
        "pyramid_pooling.pp_bra1.conv1.weight": "head.pooling.pools.0.0.weight",
        "pyramid_pooling.pp_bra4.bn4.running_var": "head.pooling.pools.3.1._variance",
        "cbr_last.0.weight": "head.pooling.fusion.0.weight",
        "cbr_last.4.bias": "head.classifier.bias",
        "cbr_deepsup.1.weight": "aux_head.conv.1.weight",
        "cbr_deepsup.4.weight": "aux_head.classifier.weight",
    },
    "PSPNet of mmsegmentation": {
        "backbone.stem.3.weight": "backbone.conv1.3.weight",
        "backbone.layer4.0.conv1.weight": "backbone.layer4.0.conv1.weight",
        "decode_head.psp_modules.0.1.conv.weight": "head.pooling.pools.0.0.weight",
        "decode_head.psp_modules.3.1.bn.running_mean": "head.pooling.pools.3.1._mean",
        "decode_head.bottleneck.conv.weight": "head.pooling.fusion.0.weight",
        "decode_head.conv_seg.bias": "head.classifier.bias",
        "auxiliary_head.convs.0.conv.weight": "aux_head.conv.0.weight",
    },
    "DenseASPP of NAIC_AI-RS": {
        "Resnet101.conv1.weight": "backbone.conv1.0.weight",
        "Resnet101.bn2.running_mean": "backbone.conv1.4._mean",
        "Resnet101.conv3.weight": "backbone.conv1.6.weight",
        "Resnet101.bn3.weight": "backbone.bn1.weight",
        "Resnet101.layer4.0.conv3.weight": "backbone.layer4.0.conv3.weight",
        "head.dense_aspp_block.aspp_3.conv1.bias": "head.aspp.blocks.0.0.0.bias",
        "head.dense_aspp_block.aspp_24.bn2.running_var": "head.aspp.blocks.4.1.1._variance",
        "head.block.1.weight": "head.classifier.weight",
    },
    "DeepLabV3 of mmsegmentation": {
        "backbone.stem.0.weight": "backbone.conv1.0.weight",
        "backbone.layer4.0.conv1.weight": "backbone.layer4.0.conv1.weight",
        "decode_head.image_pool.1.conv.weight": "head.aspp.pool.0.weight",
        "decode_head.aspp_modules.0.conv.weight": "head.aspp.branches.0.0.weight",
        "decode_head.aspp_modules.3.bn.running_mean": "head.aspp.branches.3.1._mean",
        "decode_head.bottleneck.conv.weight": "head.aspp.fusion.0.weight",
        "decode_head.conv_seg.weight": "head.classifier.weight",
        "auxiliary_head.convs.0.bn.weight": "aux_head.conv.1.weight",
    },
    "DeepLabV3 of torchvision": {
        "backbone.layer4.0.conv1.weight": "backbone.layer4.0.conv1.weight",
        "classifier.0.convs.0.0.weight": "head.aspp.branches.0.0.weight",
        "classifier.0.convs.4.1.weight": "head.aspp.pool.0.weight",
        "classifier.0.convs.4.2.running_mean": "head.aspp.pool.1._mean",
        "classifier.0.project.1.weight": "head.aspp.fusion.1.weight",
        "classifier.1.weight": "head.conv.0.weight",
        "classifier.2.bias": "head.conv.1.bias",
        "classifier.4.weight": "head.classifier.weight",
        "aux_classifier.0.weight": "aux_head.conv.0.weight",
        "aux_classifier.4.bias": "aux_head.classifier.bias",
    },
    "DeepLabV3 of segmentation_models.pytorch": {
        "encoder.layer4.0.conv1.weight": "backbone.layer4.0.conv1.weight",
        "decoder.aspp.convs.3.0.weight": "head.aspp.branches.3.0.weight",
        "decoder.aspp.convs.4.1.weight": "head.aspp.pool.0.weight",
        "decoder.aspp.project.0.weight": "head.aspp.fusion.0.weight",
        "decoder.conv.weight": "head.conv.0.weight",
        "decoder.bn.running_mean": "head.conv.1._mean",
        "segmentation_head.0.weight": "head.classifier.weight",
    },
}


@pytest.mark.parametrize("layout", NAMES)
def test_names(layout):
    translation = translate({name: np.zeros(1, np.float32) for name in NAMES[layout]})
    assert translation.layout.name == layout
    assert {name: ours for ours, name in translation.origin.items()} == {
        name: ours for name, ours in NAMES[layout].items() if ours
    }
    assert set(translation.dropped) == {name for name, ours in NAMES[layout].items() if not ours}


def test_scalar_gamma_of_mmsegmentation():
    theirs = {name: np.zeros((), np.float32) for name in NAMES["DANet of mmsegmentation"]}
    assert translate(theirs).state["head.position.1.gamma"].shape == (1,)


def mmseg_names(name: str) -> str:
    """Ours → mmsegmentation's of the tensors of DANet's head, by hand."""
    branch = {"position": "pam", "channel": "cam"}
    parts = name.split(".")
    if parts[0] == "branch_heads":
        return f"decode_head.{['pam', 'cam'][int(parts[1])]}_conv_seg.{parts[2]}"
    if parts[1] == "classifier":
        return f"decode_head.conv_seg.{parts[2]}"
    start = f"decode_head.{branch[parts[1]]}"
    if parts[2] == "1":
        return f"{start}.gamma.scale" if parts[3] == "gamma" else f"{start}.{parts[3]}_project.{parts[4]}"
    return f"{start}_{'in' if parts[2] == '0' else 'out'}_conv.{['conv', 'bn'][int(parts[3])]}.{parts[4]}"


def test_every_tensor_of_mmsegmentations_danet():
    """All of the head's, and the encoder's names as they are."""
    model = create_model({"type": "DANet", "backbone": "ResNet18", "channels": 16, "branch_heads": True})
    ours = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    theirs = {name if name.startswith("backbone") else mmseg_names(name): array for name, array in ours.items()}
    translation = translate(theirs)
    assert not translation.dropped
    assert set(translation.state) == set(ours)
    assert all(np.array_equal(translation.state[name], ours[name]) for name in ours)
