"""U-Net, U-Net++ and UPerNet against segmentation_models_pytorch, weights through our own converter.

Its version 0.1.3, which system E ran, has the same decoders; the later ones also take a U-Net's odd sizes. Not
compared: EfficientNet-B0, whose map of stride 16 it takes two blocks early.
"""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from torch_packages import TOLERANCE, randomise, smp

from paddle_rsseg.models import create_model
from paddle_rsseg.weights import load_weights

UNET = {"type": "EncoderUNet", "theirs": "Unet", "channels": (48, 32, 24, 16, 8)}
UNETPP = {"type": "EncoderUNetPlusPlus", "theirs": "UnetPlusPlus", "channels": (48, 32, 24, 16, 8)}
UPERNET = {
    "type": "UPerNet", "theirs": "UPerNet", "channels": 32, "norm_maps": True, "align_corners": True, "dropout": 0.0,
    "aux_head": False,
}  # fmt: skip


def efficientnet(variant: int) -> dict:
    return {"type": f"EfficientNetB{variant}", "padding": "nominal"}


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.reference)


CASES = [
    (UNET, "resnet18", "ResNet18"),
    (UNETPP, "resnet18", "ResNet18"),
    (UNETPP, "efficientnet-b1", efficientnet(1)),
    (UPERNET, "resnet18", "ResNet18"),
    slow(UNET, "efficientnet-b1", efficientnet(1)),
    slow(UPERNET, "mit_b0", "MiTB0"),
    slow({**UNET, "channels": (256, 128, 64, 32, 16)}, "resnet50", "ResNet50"),
    *(
        slow({**UNETPP, "channels": (256, 128, 64, 32, 16)}, f"efficientnet-b{i}", efficientnet(i))
        for i in (3, 4, 6, 7)
    ),
]


@pytest.mark.parametrize(("network", "encoder", "backbone"), CASES)
def test_smp(network, encoder, backbone, tmp_path):
    package = smp()
    import torch

    spec = dict(network)
    theirs = getattr(package, spec.pop("theirs"))(
        encoder, encoder_weights=None, in_channels=4, classes=5, decoder_channels=spec["channels"]
    )
    randomise(theirs, bands=4, size=(96, 64))
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = create_model({**spec, "num_classes": 5, "in_channels": 4, "backbone": backbone})
    load_weights(ours, tmp_path / "theirs.pth")
    ours.eval()
    x = np.random.default_rng(2).standard_normal((2, 4, 96, 64)).astype("float32")  # theirs takes multiples of 32 only
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    with paddle.no_grad():
        got = ours(paddle.to_tensor(x))[0].numpy()
    worst = np.abs(got - expected).max() / np.abs(expected).max()
    print(f"{encoder}: {worst:.1e}")
    assert worst <= TOLERANCE, f"differs by {worst:.1e}"
