"""U-Net's relatives against PyTorch models written from their formulas: outputs and every gradient, in float64."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

torch = pytest.importorskip("torch")
import torch_unets  # noqa: E402

from paddle_rsseg.alignment.run import default_dtype  # noqa: E402
from paddle_rsseg.models import create_model  # noqa: E402
from paddle_rsseg.weights.layout import translate  # noqa: E402

WIDTHS = [4, 6, 8, 10, 12]
VGG = {"backbone": {"type": "VGG16_bn", "width": 4}}

#: ours, theirs, size
CASES = {
    "AttUNet": (
        {"type": "AttUNet", "widths": WIDTHS},
        lambda: torch_unets.LeeJunHyun(WIDTHS, 5, 4, gated=True, t=None),
        (32, 48),
    ),
    "R2UNet": (
        {"type": "R2UNet", "widths": WIDTHS},
        lambda: torch_unets.LeeJunHyun(WIDTHS, 5, 4, gated=False, t=2),
        (32, 48),
    ),
    "R2AttUNet": (
        {"type": "R2AttUNet", "widths": WIDTHS, "t": 3},
        lambda: torch_unets.LeeJunHyun(WIDTHS, 5, 4, gated=True, t=3),
        (32, 48),
    ),
    "milesial": (
        {"type": "UNet", "wiring": "milesial", "widths": WIDTHS},
        lambda: torch_unets.Milesial(WIDTHS, 5, 4),
        (48, 32),
    ),
    "nested": (
        {"type": "UNetPlusPlus", "wiring": "nested", "widths": WIDTHS},
        lambda: torch_unets.Nested(WIDTHS, 5, 4),
        (32, 48),
    ),
    "UNetResNetAE": (
        {"type": "UNetResNetAE", "backbone": "ResNet18", "width": 16},
        lambda: torch_unets.UnetResnetAE(16, 5, 4),
        (64, 32),
    ),
    "SegNet": ({"type": "SegNet", **VGG}, lambda: torch_unets.SegNet(4, 5, 4, tied=False), (67, 45)),
    "SegNet, tied": ({"type": "SegNet", **VGG, "tied": True}, lambda: torch_unets.SegNet(4, 5, 4, tied=True), (67, 45)),
}


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients(name):
    spec, build, size = CASES[name]
    theirs = build().double()
    rng = np.random.default_rng(5)
    with torch.no_grad():
        for key, tensor in theirs.state_dict().items():
            if "num_batches" not in key:
                value = rng.uniform(0.5, 1.5, tensor.shape)
                if tensor.ndim > 1:
                    value = rng.standard_normal(tensor.shape) * np.sqrt(2 / np.prod(tensor.shape[1:]))
                tensor.copy_(torch.from_numpy(value))
    theirs.eval()
    image, weight = rng.standard_normal((2, 4, *size)), rng.standard_normal((2, 5, *size))
    expected = theirs(torch.from_numpy(image))
    (expected * torch.from_numpy(weight)).sum().backward()

    with default_dtype("float64"):
        ours = create_model({**spec, "num_classes": 5, "in_channels": 4})
        found = translate({key: tensor.numpy() for key, tensor in theirs.state_dict().items()}, framework="torch")
        state = ours.state_dict()
        assert set(found.state) == set(state)
        for key, array in found.state.items():
            assert list(array.shape) == state[key].shape
            state[key].set_value(array)
        ours.eval()
        (out,) = ours(paddle.to_tensor(image))
        np.testing.assert_allclose(
            out.numpy(), expected.detach().numpy(), rtol=0, atol=1e-11 * float(expected.abs().max())
        )
        (out * paddle.to_tensor(weight)).sum().backward()
    gradients = {key: parameter.grad.numpy() for key, parameter in theirs.named_parameters()}
    largest = max(np.linalg.norm(gradient) for gradient in gradients.values())
    parameters = dict(ours.named_parameters())
    for key, origin in found.origin.items():
        if origin in gradients:
            norm = np.linalg.norm(gradients[origin])
            assert np.linalg.norm(parameters[key].grad.numpy()) == pytest.approx(norm, rel=1e-9, abs=1e-12 * largest), (
                key
            )
    assert len(gradients) > 20
