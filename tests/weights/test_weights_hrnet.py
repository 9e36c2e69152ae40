"""HRNet's files: every project's names, and OCR started from a trained plain HRNet."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import create_model
from paddle_rsseg.weights import load_pretrained, load_weights, save_weights
from paddle_rsseg.weights.layout import translate

SMALL = {"backbone": "HRNetV2_W18_Small_V1"}
OCR = {"type": "HRNetOCR", **SMALL, "ocr_channels": 16, "key_channels": 8}

#: names in the file → ours; enough to tell the layout and to see every rule
NAMES = {
    "HRNet-OCR, official release, NAIC_AI-RS or SegHZ": {
        "model.conv1.weight": "backbone.conv1.weight",
        "model.stage4.0.fuse_layers.3.0.2.1.running_var": "backbone.stage4.0.fuse_layers.3.0.2.1._variance",
        "model.conv3x3_ocr.0.bias": "head.pixels.0.bias",
        "model.conv3x3_ocr.1.running_mean": "head.pixels.1._mean",
        "model.ocr_distri_head.object_context_block.f_pixel.0.weight": "head.attention.query.0.0.weight",
        "model.ocr_distri_head.object_context_block.f_pixel.1.0.weight": "head.attention.query.0.1.weight",
        "model.ocr_distri_head.object_context_block.f_object.2.weight": "head.attention.key.1.0.weight",
        "model.ocr_distri_head.object_context_block.f_object.3.0.bias": "head.attention.key.1.1.bias",
        "model.ocr_distri_head.object_context_block.f_down.0.weight": "head.attention.value.0.0.weight",
        "model.ocr_distri_head.object_context_block.f_up.1.0.running_mean": "head.attention.out.0.1._mean",
        "model.ocr_distri_head.conv_bn_dropout.0.weight": "head.join.0.weight",
        "model.ocr_distri_head.conv_bn_dropout.1.0.weight": "head.join.1.weight",
        "model.cls_head.bias": "head.classifier.bias",
        "model.aux_head.0.weight": "aux_head.conv.0.weight",
        "model.aux_head.1.running_var": "aux_head.conv.1._variance",
        "model.aux_head.3.bias": "aux_head.classifier.bias",
        "loss.criterion.weight": None,
    },
    "HRNet for segmentation, official release": {
        "model.stage4.0.branches.0.0.conv1.weight": "backbone.stage4.0.branches.0.0.conv1.weight",
        "model.last_layer.0.bias": "head.conv.0.bias",
        "model.last_layer.1.running_mean": "head.conv.1._mean",
        "model.last_layer.3.weight": "head.classifier.weight",
    },
    "HRNet of SegHZ": {
        "stage4.0.branches.0.0.conv1.weight": "backbone.stage4.0.branches.0.0.conv1.weight",
        "final_conv.0.weight": "head.conv.0.weight",
        "final_conv.1.running_mean": "head.conv.1._mean",
        "cls_head.weight": "head.classifier.weight",
    },
    "HRNet-PAM of SegHZ": {
        "stage4.0.branches.0.0.conv1.weight": "backbone.stage4.0.branches.0.0.conv1.weight",
        "aux_head.0.bias": "aux_head.conv.0.bias",
        "aux_head.1.running_mean": "aux_head.conv.1._mean",
        "aux_head.3.weight": "aux_head.classifier.weight",
        "pam.0.weight": "head.hourglass.down.0.weight",
        "pam.1.running_var": "head.hourglass.down.1._variance",
        "pam.3.gamma": "head.hourglass.attention.gamma",
        "pam.3.query_conv.weight": "head.hourglass.attention.query.weight",
        "pam.3.key_conv.bias": "head.hourglass.attention.key.bias",
        "pam.3.value_conv.bias": "head.hourglass.attention.value.bias",
        "pam.4.weight": "head.hourglass.up.0.weight",
        "pam.5.bias": "head.hourglass.up.1.bias",
        "cls_head.weight": "head.classifier.weight",
    },
    "HRNet-PSP of SegHZ": {
        "stage4.0.branches.0.0.conv1.weight": "backbone.stage4.0.branches.0.0.conv1.weight",
        "aux_head.0.weight": "aux_head.conv.0.weight",
        "aux_head.3.bias": "aux_head.classifier.bias",
        "ppm.features.0.1.weight": "head.pyramid.pools.0.0.weight",
        "ppm.features.3.2.running_mean": "head.pyramid.pools.3.1._mean",
        "cls_head.bias": "head.classifier.bias",
    },
    "HRNet-OCR of mmsegmentation": {
        "backbone.stage4.0.branches.0.0.conv1.weight": "backbone.stage4.0.branches.0.0.conv1.weight",
        "decode_head.0.convs.0.conv.weight": "aux_head.conv.0.weight",
        "decode_head.0.convs.0.bn.running_mean": "aux_head.conv.1._mean",
        "decode_head.0.conv_seg.bias": "aux_head.classifier.bias",
        "decode_head.1.object_context_block.query_project.1.bn.bias": "head.attention.query.1.1.bias",
        "decode_head.1.object_context_block.key_project.0.conv.weight": "head.attention.key.0.0.weight",
        "decode_head.1.object_context_block.value_project.conv.weight": "head.attention.value.0.0.weight",
        "decode_head.1.object_context_block.out_project.bn.weight": "head.attention.out.0.1.weight",
        "decode_head.1.object_context_block.bottleneck.conv.weight": "head.join.0.weight",
        "decode_head.1.bottleneck.bn.weight": "head.pixels.1.weight",
        "decode_head.1.conv_seg.weight": "head.classifier.weight",
    },
    "HRNet (FCNHead) of mmsegmentation": {
        "backbone.stage4.0.fuse_layers.0.1.0.weight": "backbone.stage4.0.fuse_layers.0.1.0.weight",
        "decode_head.convs.0.conv.weight": "head.conv.0.weight",
        "decode_head.convs.0.bn.running_var": "head.conv.1._variance",
        "decode_head.conv_seg.weight": "head.classifier.weight",
    },
    "HRNet-OCR (OCRNet) of PaddleSeg": {
        "backbone.conv_layer1_2._batch_norm._mean": "backbone.bn2._mean",
        "backbone.la1.bb_layer2_1.conv3._conv.weight": "backbone.layer1.0.conv3.weight",
        "backbone.la1.bb_layer2_1.conv_down._batch_norm.bias": "backbone.layer1.0.downsample.1.bias",
        "backbone.la1.bb_layer2_4.conv2._batch_norm.bias": "backbone.layer1.3.bn2.bias",
        "backbone.tr1.transition_tr1_layer_1._conv.weight": "backbone.transition1.0.0.weight",
        "backbone.tr1.transition_tr1_layer_2._conv.weight": "backbone.transition1.1.0.0.weight",
        "backbone.tr3.transition_tr3_layer_4._batch_norm._mean": "backbone.transition3.3.0.1._mean",
        "backbone.st4.stage_st4_3.branches_func.bb_st4_3_branch_layer_4_2.conv1._conv.weight": (
            "backbone.stage4.2.branches.3.1.conv1.weight"
        ),
        "backbone.st4.stage_st4_3.fuse_func.residual_st4_3_layer_1_4._conv.weight": (
            "backbone.stage4.2.fuse_layers.0.3.0.weight"
        ),
        "backbone.st4.stage_st4_3.fuse_func.residual_st4_3_layer_4_1_3._batch_norm._mean": (
            "backbone.stage4.2.fuse_layers.3.0.2.1._mean"
        ),
        "head.conv3x3_ocr._conv.bias": "head.pixels.0.bias",
        "head.spatial_ocr.attention_block.f_pixel.1._conv.weight": "head.attention.query.1.0.weight",
        "head.spatial_ocr.attention_block.f_down._batch_norm._mean": "head.attention.value.0.1._mean",
        "head.spatial_ocr.conv1x1.0._conv.weight": "head.join.0.weight",
        "head.cls_head.weight": "head.classifier.weight",
        "head.aux_head.0._batch_norm.weight": "aux_head.conv.1.weight",
        "head.aux_head.1.bias": "aux_head.classifier.bias",
    },
    "HRNet (FCN) of PaddleSeg": {
        "backbone.st4.stage_st4_1.fuse_func.residual_st4_1_layer_2_1_1._conv.weight": (
            "backbone.stage4.0.fuse_layers.1.0.0.0.weight"
        ),
        "head.conv_1._conv.weight": "head.conv.0.weight",
        "head.cls.weight": "head.classifier.weight",
    },
    "HRNet, official release, timm or mmsegmentation": {
        "conv1.weight": "conv1.weight",
        "layer1.0.conv1.weight": "layer1.0.conv1.weight",
        "stage4.0.fuse_layers.0.1.0.weight": "stage4.0.fuse_layers.0.1.0.weight",
        "incre_modules.0.0.conv1.weight": None,
        "final_layer.0.weight": None,
        "classifier.weight": None,
    },
    "HRNet of PaddleSeg": {
        "conv_layer1_1._conv.weight": "conv1.weight",
        "st4.stage_st4_1.fuse_func.residual_st4_1_layer_1_2._conv.weight": "stage4.0.fuse_layers.0.1.0.weight",
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


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A plain HRNet of 5 classes with odd weights, and its file."""
    paddle.seed(3)
    model = create_model({"type": "HRNet", **SMALL, "num_classes": 5, "wiring": "seghz"})
    rng = np.random.default_rng(0)
    for tensor in model.state_dict().values():
        tensor.set_value(tensor.numpy() + 0.2 * rng.random(tensor.shape).astype("float32"))
    path = tmp_path_factory.mktemp("plain") / "plain.safetensors"
    save_weights(path, {name: tensor.numpy() for name, tensor in model.state_dict().items()}, {})
    model.eval()
    return model, path


HEIRS = [OCR, {"type": "HRNetPAM", **SMALL}, {"type": "HRNetPSP", **SMALL, "aux_head": True}]


@pytest.mark.parametrize("spec", HEIRS, ids=lambda spec: spec["type"])
def test_middle_supervision_starts_from_a_plain_hrnet(plain, spec):
    model, path = plain
    heir = create_model({**spec, "num_classes": 5})
    before = {name: tensor.numpy() for name, tensor in heir.state_dict().items()}
    report = load_pretrained(heir, path)
    assert report.complete
    after = heir.state_dict()
    for name, tensor in after.items():
        if name.startswith("head."):
            np.testing.assert_array_equal(tensor.numpy(), before[name])
            assert report.adapted[name] == "new in this network, begins at random"
    assert report.adapted["aux_head.conv.0.bias"] == "new in this network, begins as 0"
    assert set(report.matched) | set(report.adapted) == set(after)
    heir.eval()
    heir.training = True  # the auxiliary output, too, with the layers as they evaluate
    x = paddle.to_tensor(np.random.default_rng(1).standard_normal((1, 3, 64, 64)).astype("float32"))
    with paddle.no_grad():
        np.testing.assert_allclose(heir.maps(x)[1].numpy(), model.maps(x)[0].numpy(), rtol=1e-5)


@pytest.mark.parametrize("spec", HEIRS, ids=lambda spec: spec["type"])
def test_heirs_of_other_classes(plain, spec):
    _, path = plain
    report = load_pretrained(create_model({**spec, "num_classes": 7}), path)
    assert "5 classes in the file, 7 in the model" in report.adapted["aux_head.classifier.weight"]


def test_without_an_auxiliary_head_a_plain_hrnet_has_no_heir(plain):
    _, path = plain
    with pytest.raises(RssegError, match=r"head\.conv"):
        load_pretrained(create_model({"type": "HRNetPSP", **SMALL, "num_classes": 5}), path)


def test_a_plain_hrnet_is_no_whole_ocr(plain):
    _, path = plain
    with pytest.raises(RssegError, match="missing"):
        load_weights(create_model({**OCR, "num_classes": 5}), path)
