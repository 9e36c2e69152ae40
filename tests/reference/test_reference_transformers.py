"""MiT against segmentation_models_pytorch, Swin against timm.

timm shifts a map before it fills it up, mmsegmentation and we after; so Swin is compared where nothing is filled up,
and otherwise in tests/models/test_models_swin.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from torch_packages import same_features, smp, timm

from paddle_rsseg.models.backbones.swin import Swin

full = pytest.mark.reference


def shaken(network: Any) -> Any:
    """All parameters random: of the size that keeps a signal's, norms and biases too."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise / (parameter[0].numel() ** 0.5))
            else:
                parameter.copy_(0.1 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
    return network


@pytest.mark.parametrize("size", [0, *(pytest.param(i, marks=full) for i in range(1, 6))])
def test_mit(size, tmp_path):
    theirs = shaken(smp().encoders.get_encoder(f"mit_b{size}", weights=None))
    same_features(theirs, f"MiTB{size}", lambda x: theirs(x)[2:], tmp_path)


def normed_maps(network: Any) -> Any:
    """timm's maps have no norm of their own; ours then begin with ones and zeros."""
    import torch

    def maps(x: Any) -> list[Any]:
        features = network.forward_intermediates(x, intermediates_only=True)
        return [
            torch.nn.functional.layer_norm(f.permute(0, 2, 3, 1), f.shape[1:2]).permute(0, 3, 1, 2) for f in features
        ]

    return maps


@pytest.mark.parametrize(("side", "size"), [(7, (224, 448)), (2, (64, 192))])
def test_small_swin(side, size, tmp_path):
    theirs = timm().models.swin_transformer.SwinTransformer(
        embed_dim=24, depths=(2, 1, 2, 2), num_heads=(3, 6, 12, 24), window_size=side, img_size=size,
        always_partition=True, strict_img_size=False,
    )  # fmt: skip
    ours = Swin(24, (2, 1, 2, 2), heads=3, window_size=side)
    same_features(shaken(theirs), ours, normed_maps(theirs), tmp_path, sizes=[size])


@full
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("swin_tiny_patch4_window7_224", {"type": "SwinT"}),
        ("swin_small_patch4_window7_224", {"type": "SwinS"}),
        ("swin_base_patch4_window7_224", {"type": "SwinB"}),
        ("swin_base_patch4_window12_384", {"type": "SwinB", "window_size": 12}),
        ("swin_large_patch4_window7_224", {"type": "SwinL"}),
        ("swin_large_patch4_window12_384", {"type": "SwinL", "window_size": 12}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_swin(theirs, ours, tmp_path):
    network = timm().create_model(theirs, pretrained=False, always_partition=True, strict_img_size=False)
    side = int(theirs.rpartition("_")[2])
    sizes = [(side, side)] if ours["type"] in ("SwinB", "SwinL") else [(side, side), (side, 2 * side)]
    same_features(shaken(network), ours, normed_maps(network), tmp_path, sizes=sizes)
