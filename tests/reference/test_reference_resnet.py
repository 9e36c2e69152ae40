"""ResNet and its relatives, VGG-16 and DRN-D-54 against torchvision, timm and segmentation_models_pytorch."""

from __future__ import annotations

import pytest
from torch_packages import same_features, smp, timm, torchvision

LAYERS = ["layer1", "layer2", "layer3", "layer4"]
#: torchvision's switch "dilate instead of stride" of layers 2, 3 and 4
DILATED = {32: [False, False, False], 16: [False, False, True], 8: [False, True, True]}


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.reference)


@pytest.mark.parametrize(
    ("theirs", "ours", "output_stride"),
    [
        ("resnet18", "ResNet18", 32),
        slow("resnet34", "ResNet34", 32),
        *(
            slow(theirs, ours, output_stride)
            for theirs, ours in [
                ("resnet50", "ResNet50"),
                ("resnet101", "ResNet101"),
                ("resnet152", "ResNet152"),
                ("wide_resnet50_2", "WideResNet50_2"),
                ("wide_resnet101_2", "WideResNet101_2"),
                ("resnext50_32x4d", "ResNeXt50_32x4d"),
                ("resnext101_32x8d", "ResNeXt101_32x8d"),
            ]
            for output_stride in (8, 16, 32)
        ),
    ],
)
def test_torchvision(theirs, ours, output_stride, tmp_path):
    build = getattr(torchvision().models, theirs)
    options = {} if output_stride == 32 else {"replace_stride_with_dilation": DILATED[output_stride]}
    same_features(build(weights=None, **options), {"type": ours, "output_stride": output_stride}, LAYERS, tmp_path)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("resnest50d", "ResNeSt50"),
        ("legacy_seresnext50_32x4d", "SEResNeXt50_32x4d"),
        slow("resnest101e", "ResNeSt101"),
        slow("legacy_seresnet50", "SEResNet50"),
        slow("legacy_seresnet101", "SEResNet101"),
        slow("legacy_seresnet152", "SEResNet152"),
        slow("legacy_seresnext101_32x4d", "SEResNeXt101_32x4d"),
        slow("legacy_senet154", "SENet154"),
        slow("resnet18d", "ResNet18_vd"),
        slow("resnet34d", "ResNet34_vd"),
        slow("resnet50d", "ResNet50_vd"),
        slow("resnet101d", "ResNet101_vd"),
        slow("resnet152d", "ResNet152_vd"),
        slow("resnet50c", "ResNet50_vc"),
        slow("wide_resnet50_2", "WideResNet50_2"),
        slow("resnext50_32x4d", "ResNeXt50_32x4d"),
    ],
)
def test_timm(theirs, ours, tmp_path):
    same_features(timm().create_model(theirs, pretrained=False), ours, LAYERS, tmp_path)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("depth", [slow(18), slow(50)])
def test_dilated_timm(depth, output_stride, tmp_path):
    theirs = timm().create_model(f"resnet{depth}", pretrained=False, output_stride=output_stride)
    same_features(theirs, {"type": f"ResNet{depth}", "output_stride": output_stride}, LAYERS, tmp_path)


@pytest.mark.parametrize(
    ("theirs", "ours", "output_stride"),
    [
        ("resnet18", "ResNet18", 8),
        *(
            slow(theirs, ours, output_stride)
            for theirs, ours in [
                ("resnet50", "ResNet50"),
                ("se_resnet50", "SEResNet50"),
                ("se_resnext50_32x4d", "SEResNeXt50_32x4d"),
                ("senet154", "SENet154"),
            ]
            for output_stride in (8, 16)
        ),
    ],
)
def test_every_3x3_of_a_dilated_stage_in_smp(theirs, ours, output_stride, tmp_path):
    encoder = smp().encoders.get_encoder(theirs, weights=None, output_stride=output_stride)
    spec = {"type": ours, "output_stride": output_stride, "contract_dilation": False}
    same_features(encoder, spec, LAYERS, tmp_path)


@pytest.mark.reference
def test_the_stem_of_any_number_of_bands(tmp_path):
    theirs = timm().create_model("resnest50d", pretrained=False, in_chans=5)
    same_features(theirs, {"type": "ResNeSt50", "in_channels": 5}, LAYERS, tmp_path)


@pytest.mark.reference
@pytest.mark.parametrize("case", ["torchvision", "smp"])
def test_vgg16(case, tmp_path):
    if case == "smp":
        theirs = smp().encoders.get_encoder("vgg16_bn", weights=None)
        same_features(theirs, "VGG16_bn", theirs, tmp_path, sizes=[(64, 96)])
        return
    theirs = torchvision().models.vgg16_bn(weights=None)
    # the last ReLU before each pooling, and the last pooling
    taps = [f"features.{i}" for i in (5, 12, 22, 32, 42, 43)]
    same_features(theirs, "VGG16_bn", taps, tmp_path, sizes=[(64, 96), (75, 61)])


@pytest.mark.reference
def test_drn_d_54(tmp_path):
    """No package has it; built here of torchvision's blocks by the table of the paper's repository."""
    torchvision()
    import torch
    from torchvision.models.resnet import Bottleneck

    nn = torch.nn

    def plain(before, after, kernel=3, stride=1, dilation=1):
        conv = nn.Conv2d(before, after, kernel, stride, kernel // 2 * dilation, dilation, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())

    def residual(before, channels, depth, stride=1, dilation=1):
        after = 4 * channels
        around = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        first = Bottleneck(before, channels, stride, around, dilation=dilation)
        return nn.Sequential(first, *(Bottleneck(after, channels, dilation=dilation) for _ in range(depth - 1)))

    theirs = nn.Sequential()
    for i, layer in enumerate(
        [
            plain(3, 16, kernel=7),
            plain(16, 16),
            plain(16, 32, stride=2),
            residual(32, 64, 3, stride=2),
            residual(256, 128, 4, stride=2),
            residual(512, 256, 6, dilation=2),
            residual(1024, 512, 3, dilation=4),
            plain(2048, 512, dilation=2),
            plain(512, 512),
        ]
    ):
        theirs.add_module(f"layer{i}", layer)
    same_features(theirs, "DRN_D_54", ["layer3", "layer4", "layer6", "layer8"], tmp_path)
