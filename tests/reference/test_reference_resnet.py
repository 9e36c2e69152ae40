"""ResNets, Wide-ResNets and ResNeXts against torchvision."""

from __future__ import annotations

import pytest
from torch_packages import same_features, torchvision

LAYERS = ["layer1", "layer2", "layer3", "layer4"]
#: torchvision's switch "dilate instead of stride" of layers 2, 3 and 4
DILATED = {32: [False, False, False], 16: [False, False, True], 8: [False, True, True]}


@pytest.mark.parametrize(
    ("theirs", "ours", "output_stride"),
    [
        ("resnet18", "ResNet18", 32),
        ("resnet50", "ResNet50", 8),
    ],
)
def test_torchvision(theirs, ours, output_stride, tmp_path):
    build = getattr(torchvision().models, theirs)
    options = {} if output_stride == 32 else {"replace_stride_with_dilation": DILATED[output_stride]}
    same_features(build(weights=None, **options), {"type": ours, "output_stride": output_stride}, LAYERS, tmp_path)
