"""MobileNetV2, ShuffleNetV2 and EfficientNet against torchvision, timm and segmentation_models_pytorch."""

from __future__ import annotations

import pytest
from torch_packages import same_features, smp, timm, torchvision

#: outputs of torchvision's MobileNetV2 at strides 2, 4, 8, 16 and 32
MOBILENET = [f"features.{i}" for i in (1, 3, 6, 13, 17)]
FIVE = {"finest_stride": 2}


def timm_maps(name: str, output_stride: int = 32, first: int = 1) -> tuple:
    """An encoder of timm and the function that gives its maps, without the ``first``."""
    network = timm().create_model(name, pretrained=False, features_only=True, output_stride=output_stride)
    return network, lambda image: network(image)[first:]


def test_mobilenet_v2_of_torchvision(tmp_path):
    theirs = torchvision().models.mobilenet_v2(weights=None)
    same_features(theirs, {"type": "MobileNetV2", **FIVE}, MOBILENET, tmp_path)


@pytest.mark.parametrize(
    ("name", "ours", "output_stride"),
    [
        ("mobilenetv2_100", {"type": "MobileNetV2"}, 16),
        *(
            pytest.param(name, {"type": "MobileNetV2", "width": width}, output_stride, marks=pytest.mark.reference)
            for name, width, output_stride in [
                ("mobilenetv2_100", 1.0, 32),
                ("mobilenetv2_100", 1.0, 8),
                ("mobilenetv2_035", 0.35, 32),
                ("mobilenetv2_050", 0.5, 16),
                ("mobilenetv2_140", 1.4, 32),
            ]
        ),
    ],
)
def test_mobilenet_v2_of_timm(name, ours, output_stride, tmp_path):
    theirs, maps = timm_maps(name, output_stride)
    same_features(theirs, {**ours, "output_stride": output_stride}, maps, tmp_path)


@pytest.mark.reference
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_mobilenet_v2_of_smp(output_stride, tmp_path):
    encoder = smp().encoders.get_encoder("mobilenet_v2", weights=None, output_stride=output_stride)
    ours = {"type": "MobileNetV2", "output_stride": output_stride, "dilation": "whole_stage", "last_conv": True, **FIVE}
    same_features(encoder, ours, lambda image: encoder(image)[1:], tmp_path)


@pytest.mark.parametrize(
    "width", [1.0, *(pytest.param(width, marks=pytest.mark.reference) for width in (0.5, 1.5, 2.0))]
)
def test_shufflenet_v2_of_torchvision(width, tmp_path):
    theirs = getattr(torchvision().models, f"shufflenet_v2_x{width:.1f}".replace(".", "_"))(weights=None)
    ours = {"type": "ShuffleNetV2", "width": width}
    same_features(theirs, ours, ["maxpool", "stage2", "stage3", "stage4"], tmp_path)


everyone = [pytest.param(f"b{i}", marks=[pytest.mark.reference] if i else [], id=f"b{i}") for i in range(8)]


@pytest.mark.parametrize("variant", everyone)
def test_efficientnet_of_smp_pads_for_a_nominal_size(variant, tmp_path):
    encoder = smp().encoders.get_encoder(f"efficientnet-{variant}", weights=None)
    ours = {"type": f"EfficientNet{variant}", "padding": "nominal", **FIVE}
    if variant == "b0":  # whose third map smp takes two blocks early
        encoder._out_indexes = [2, 4, 10, 15]
    same_features(encoder, ours, lambda image: encoder(image)[1:], tmp_path)


@pytest.mark.reference
@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_efficientnet_of_smp(output_stride, tmp_path):
    encoder = smp().encoders.get_encoder("efficientnet-b1", weights=None, output_stride=output_stride)
    ours = {"type": "EfficientNetB1", "padding": "nominal", "output_stride": output_stride, "dilation": "whole_stage"}
    same_features(encoder, ours, lambda image: encoder(image)[2:], tmp_path)


@pytest.mark.parametrize("variant", everyone)
def test_tensorflows_efficientnet_of_timm_pads_by_the_size_of_the_map(variant, tmp_path):
    theirs, maps = timm_maps(f"tf_efficientnet_{variant}")
    same_features(theirs, {"type": f"EfficientNet{variant}", "padding": "same"}, maps, tmp_path)


@pytest.mark.reference
@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize(("name", "padding"), [("tf_efficientnet_b0", "same"), ("efficientnet_b0", "symmetric")])
def test_dilated_efficientnet_of_timm(name, padding, output_stride, tmp_path):
    theirs, maps = timm_maps(name, output_stride)
    same_features(
        theirs, {"type": "EfficientNetB0", "padding": padding, "output_stride": output_stride}, maps, tmp_path
    )


@pytest.mark.reference
@pytest.mark.parametrize("variant", [f"b{i}" for i in range(8)])
def test_efficientnet_of_timm_pads_symmetrically(variant, tmp_path):
    theirs, maps = timm_maps(f"efficientnet_{variant}")
    same_features(theirs, {"type": f"EfficientNet{variant}", "padding": "symmetric"}, maps, tmp_path)


@pytest.mark.reference
@pytest.mark.parametrize("number", range(8))
def test_efficientnet_of_torchvision(number, tmp_path):
    theirs = getattr(torchvision().models, f"efficientnet_b{number}")(weights=None)
    ours = {"type": f"EfficientNetB{number}", "padding": "symmetric", "epsilon": 1e-5 if number < 5 else 1e-3}
    same_features(theirs, ours, [f"features.{i}" for i in (2, 3, 5, 7)], tmp_path)
