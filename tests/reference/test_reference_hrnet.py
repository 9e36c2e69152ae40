"""HRNets against timm, which enlarges by repeating pixels."""

from __future__ import annotations

import pytest
from torch_packages import same_features, timm

#: timm doubles maps instead of fitting them to each other, so only some odd sizes work there
SIZES = ((64, 96), (61, 93))


def check(theirs, ours, tmp_path):
    network = timm().create_model(theirs, pretrained=False)

    def maps(image):
        x = network.act1(network.bn1(network.conv1(image)))
        return network.stages(network.act2(network.bn2(network.conv2(x))))

    same_features(network, {"type": ours, "fuse": "nearest"}, maps, tmp_path, sizes=SIZES)


def test_timm_small(tmp_path):
    check("hrnet_w18_small", "HRNetV2_W18_Small_V1", tmp_path)


@pytest.mark.reference
@pytest.mark.parametrize("width", [18, 30, 32, 40, 44, 48, 64])
def test_timm(width, tmp_path):
    check(f"hrnet_w{width}", f"HRNetV2_W{width}", tmp_path)


@pytest.mark.reference
def test_timm_small_v2(tmp_path):
    check("hrnet_w18_small_v2", "HRNetV2_W18_Small_V2", tmp_path)
