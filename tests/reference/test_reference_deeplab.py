"""DeepLabV3+ against segmentation_models_pytorch, weights through our own converter."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from torch_packages import TOLERANCE, randomise, smp

from paddle_rsseg.models import create_model
from paddle_rsseg.weights import load_weights

MOBILENET = {"type": "MobileNetV2", "last_conv": True}

CASES = [
    pytest.param("resnet18", "ResNet18", 16, {}, id="resnet18"),
    pytest.param("mobilenet_v2", MOBILENET, 16, {}, id="mobilenet_v2"),
    pytest.param("resnet50", "ResNet50", 8, {}, id="resnet50", marks=pytest.mark.reference),
    pytest.param(
        "resnext50_32x4d",
        "ResNeXt50_32x4d",
        16,
        {"rates": (3, 6, 9), "channels": 128},
        id="other rates and width",
        marks=pytest.mark.reference,
    ),
]


@pytest.mark.parametrize(("encoder", "backbone", "output_stride", "options"), CASES)
def test_smp(encoder, backbone, output_stride, options, tmp_path):
    package = smp()
    import torch

    names = {"rates": "decoder_atrous_rates", "channels": "decoder_channels"}
    theirs = package.DeepLabV3Plus(
        encoder,
        encoder_weights=None,
        encoder_output_stride=output_stride,
        in_channels=4,
        classes=5,
        **{names[key]: value for key, value in options.items()},
    )
    randomise(theirs, bands=4)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = create_model(
        {
            "type": "DeepLabV3Plus",
            "wiring": "smp",
            "num_classes": 5,
            "in_channels": 4,
            "backbone": backbone,
            "output_stride": output_stride,
            **options,
        }
    )
    load_weights(ours, tmp_path / "theirs.pth")
    ours.eval()
    x = np.random.default_rng(2).standard_normal((2, 4, 80, 48)).astype("float32")  # theirs takes multiples of 16 only
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    with paddle.no_grad():
        got = ours(paddle.to_tensor(x))[0].numpy()
    worst = np.abs(got - expected).max() / np.abs(expected).max()
    assert worst <= TOLERANCE, f"differs by {worst:.1e}"
