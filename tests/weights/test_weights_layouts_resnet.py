"""The encoders' files of ResNet's family: every foreign name becomes the one written here by hand."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_rsseg.weights.layout import translate

pytest.importorskip("paddle")

BLOCK = {"layer1.0.conv1.weight": "layer1.0.conv1.weight", "layer4.1.bn2.running_var": "layer4.1.bn2._variance"}
CLASSIFIER = ["fc.weight", "fc.bias"]
#: a convolution's or norm's tensor of each part of the deep stem
DEEP = ["conv1.0.weight", "conv1.1._mean", "conv1.3.weight", "conv1.4._variance", "conv1.6.weight", "bn1.weight"]


def deep(*theirs: str) -> dict[str, str]:
    return dict(zip(theirs, DEEP, strict=True))


CASES = {
    "ResNet or ResNeSt of torchvision, timm or paddle.vision": (
        {"conv1.weight": "conv1.weight", "bn1.running_mean": "bn1._mean", **BLOCK},
        CLASSIFIER,
    ),
    "ResNetV1c, ResNetV1d or ResNeSt of mmsegmentation": (
        {
            **deep(
                "stem.0.weight",
                "stem.1.running_mean",
                "stem.3.weight",
                "stem.4.running_var",
                "stem.6.weight",
                "stem.7.weight",
            ),
            **BLOCK,
        },
        CLASSIFIER,
    ),
    "classifier on a ResNet of mmpretrain": (
        {"backbone.stem.0.weight": "conv1.0.weight", **{f"backbone.{name}": ours for name, ours in BLOCK.items()}},
        ["head.fc.weight", "head.fc.bias"],
    ),
    "ResNet with the deep stem of PSPNet": (
        {
            **deep("conv1.weight", "bn1.running_mean", "conv2.weight", "bn2.running_var", "conv3.weight", "bn3.weight"),
            **BLOCK,
        },
        CLASSIFIER,
    ),
    "ResNet_vd of PaddleSeg": (
        {
            **deep(
                "conv1_1._conv.weight",
                "conv1_1._batch_norm._mean",
                "conv1_2._conv.weight",
                "conv1_2._batch_norm._variance",
                "conv1_3._conv.weight",
                "conv1_3._batch_norm.weight",
            ),
            "bb_0_0.conv0._conv.weight": "layer1.0.conv1.weight",
            "bb_2_11.conv2._batch_norm.bias": "layer3.11.bn3.bias",
            "bb_3_0.short._conv.weight": "layer4.0.downsample.1.weight",
            "bb_3_0.short._batch_norm._mean": "layer4.0.downsample.2._mean",
        },
        [],
    ),
    "SENet of pretrained-models.pytorch or timm": (
        {
            "layer0.conv1.weight": "layer0.conv1.weight",
            "layer1.0.conv1.weight": "layer1.0.conv1.weight",
            "layer1.0.se_module.fc1.bias": "layer1.0.se_module.fc1.bias",
        },
        ["last_linear.weight", "last_linear.bias"],
    ),
    "DRN-D of fyu/drn": (
        {
            "layer0.0.weight": "layer0.0.weight",
            "layer3.0.conv1.weight": "layer3.0.conv1.weight",
            "layer8.0.weight": "layer8.0.weight",
            "layer8.1.running_mean": "layer8.1._mean",
        },
        CLASSIFIER,
    ),
    "VGG-16 with BatchNorm of torchvision": (
        {
            "features.0.weight": "features.0.weight",
            "features.1.running_mean": "features.1._mean",
            "features.41.weight": "features.41.weight",
        },
        ["classifier.0.weight", "classifier.6.bias"],
    ),
}


@pytest.mark.parametrize("layout", CASES)
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_names(layout, wrapper):
    renamed, dropped = CASES[layout]
    values = {name: np.full(3, i, "float32") for i, name in enumerate([*renamed, *dropped])}
    result = translate({f"{wrapper}{name}": value for name, value in values.items()})
    assert result.layout.name == layout
    assert {name: result.origin[name] for name in result.state} == {
        ours: f"{wrapper}{theirs}" for theirs, ours in renamed.items()
    }
    assert all(np.array_equal(result.state[ours], values[theirs]) for theirs, ours in renamed.items())
    assert list(result.dropped) == [f"{wrapper}{name}" for name in dropped]
