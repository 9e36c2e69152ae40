"""DeepLabV3 against torchvision and segmentation_models_pytorch, weights through our own converter."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from torch_packages import TOLERANCE, randomise, smp, torchvision

from paddle_rsseg.models import create_model
from paddle_rsseg.weights import load_weights


def same_outputs(theirs, ours, forward, tmp_path, size) -> None:
    """Our network with their weights gives their logits; ``forward`` is from image to theirs, main first."""
    import torch

    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    load_weights(ours, tmp_path / "theirs.pth")
    ours.eval()
    ours.training = True  # the auxiliary output, while its layers stay in evaluation mode
    x = np.random.default_rng(2).standard_normal((2, ours.in_channels, *size)).astype("float32")
    with torch.no_grad():
        expected = [output.numpy() for output in forward(torch.from_numpy(x))]
    with paddle.no_grad():
        got = [output.numpy() for output in ours(paddle.to_tensor(x))]
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        worst = np.abs(one - other).max() / np.abs(other).max()
        assert worst <= TOLERANCE, f"differs by {worst:.1e}"


@pytest.mark.reference
def test_torchvision(tmp_path):
    package = torchvision()
    theirs = package.models.segmentation.deeplabv3_resnet50(
        weights=None, weights_backbone=None, num_classes=5, aux_loss=True
    )
    randomise(theirs)
    ours = create_model({"type": "DeepLabV3", "num_classes": 5})

    def forward(x):
        outputs = theirs(x)
        return outputs["out"], outputs["aux"]

    same_outputs(theirs, ours, forward, tmp_path, (75, 61))


@pytest.mark.reference
def test_smp(tmp_path):
    theirs = smp().DeepLabV3("resnet18", encoder_weights=None, in_channels=4, classes=5)
    randomise(theirs, bands=4)
    ours = create_model(
        {"type": "DeepLabV3", "wiring": "smp", "backbone": "ResNet18", "num_classes": 5, "in_channels": 4}
    )
    same_outputs(theirs, ours, lambda x: [theirs(x)], tmp_path, (80, 48))
