"""Short names of networks on encoders."""

from __future__ import annotations

import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import create_model, model_spec


@pytest.mark.parametrize(
    ("name", "model", "encoder"),
    [
        ("FarSeg", "FarSeg", None),
        ("farseg_r50", "FarSeg", "ResNet50"),
        ("farseg_R101_vd", "FarSeg", "ResNet101_vd"),
        ("farseg++_mitb2", "FarSegPP", "MiTB2"),
        ("hrnet_w48", "HRNet", "HRNetV2_W48"),
        ("hrnet_w18_small_v2", "HRNet", "HRNetV2_W18_Small_V2"),
        ("hrnet_ocr", "HRNetOCR", None),
        ("hrnet_ocr_w48", "HRNetOCR", "HRNetV2_W48"),
        ("HRNetOCR_HRNetV2_W64", "HRNetOCR", "HRNetV2_W64"),
        ("deeplabv3+_mobilenet_v2", "DeepLabV3Plus", "MobileNetV2"),
        ("deeplabv3p_r18", "DeepLabV3Plus", "ResNet18"),
    ],
)
def test_short_names(name, model, encoder):
    assert model_spec(name) == {"type": model, **({"backbone": encoder} if encoder else {})}


@pytest.mark.parametrize("name", ["hrnet_w49", "nothing_r50", "r50"])
def test_unknown_names(name):
    with pytest.raises(RssegError, match=name):
        create_model(name)
