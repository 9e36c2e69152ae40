"""Our encoders against those of torchvision, timm and segmentation_models_pytorch.

    def test_resnet18(tmp_path):
        theirs = torchvision().models.resnet18(weights=None)
        same_features(theirs, "ResNet18", ["layer1", "layer2", "layer3", "layer4"], tmp_path)

The reference gets random weights and statistics and is written as a ``.pth``; our own converter reads that into our
encoder; every map must then be the same to 1e-4 of its largest value, at an even and at an odd size.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import paddle
import pytest

from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.weights import load_weights

TOLERANCE = 1e-4
SIZES = ((64, 96), (75, 61))

_libraries: list[Any] = []  # torch forgets operators whose library is collected


def torchvision() -> ModuleType:
    """torchvision, or the test is skipped."""
    torch = pytest.importorskip("torch")
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    try:
        import torchvision
    except RuntimeError as error:
        # PyPI's torchvision is a CUDA build; beside a CPU build of torch its C++ operators are missing, and it stops
        # where it describes their shapes. Empty operators of these names let everything in Python work.
        if "does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        source = Path(importlib.util.find_spec("torchvision").origin).with_name("_meta_registrations.py").read_text()
        library = torch.library.Library("torchvision", "FRAGMENT")
        _libraries.append(library)
        for operator in sorted(set(re.findall(r'register_(?:meta|fake)\("(?:torchvision::)?(\w+)"', source))):
            library.define(f"{operator}() -> ()")
        import torchvision
    return torchvision


def timm() -> ModuleType:
    """timm, or the test is skipped."""
    torchvision()  # which timm imports
    return pytest.importorskip("timm")


def smp() -> ModuleType:
    """segmentation_models_pytorch, or the test is skipped."""
    timm()
    return pytest.importorskip("segmentation_models_pytorch")


def randomise(network: Any, bands: int = 3, size: tuple[int, int] = (64, 64)) -> Any:
    """Random affine parameters and statistics for every BatchNorm, and the network in eval mode.

    The statistics are first those of random images, so that neither side of a comparison is drowned by vanishing or
    growing signals, and are then shaken, since the exact ones would hide a mean or variance in the wrong place.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.6, 1.4, generator=generator)
            norm.bias.uniform_(-0.3, 0.3, generator=generator)
        kept = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        network.train()
        network(torch.randn(4, bands, *size, generator=generator))
        network.eval()
        for norm, momentum in zip(norms, kept, strict=True):
            norm.momentum = momentum
            # a channel that hardly varied over the few values of a small map would only magnify rounding
            norm.running_var += 1e-4 + 0.2 * (norm.running_var + norm.running_mean**2).mean()
            spread = norm.running_var.sqrt()
            norm.running_mean += 0.2 * spread * torch.randn(spread.shape, generator=generator)
            norm.running_var *= 0.7 + 0.6 * torch.rand(spread.shape, generator=generator)
    return network


def features(network: Any, x: np.ndarray, taps: Sequence[str] | Callable[[Any], Sequence[Any]]) -> list[np.ndarray]:
    """Maps of a PyTorch network: outputs of the submodules named ``taps``, or what ``taps(image)`` returns."""
    import torch

    image = torch.from_numpy(x)
    with torch.no_grad():
        if callable(taps):
            return [feature.numpy() for feature in taps(image)]
        seen: dict[str, Any] = {}
        modules = dict(network.named_modules())
        hooks = [
            # a copy: a ReLU that follows may write in place
            modules[tap].register_forward_hook(lambda _module, _inputs, out, tap=tap: seen.update({tap: out.clone()}))
            for tap in taps
        ]
        try:
            network(image)
        finally:
            for hook in hooks:
                hook.remove()
    return [seen[tap].numpy() for tap in taps]


def same_features(
    theirs: Any,
    ours: str | Mapping[str, Any] | paddle.nn.Layer,
    taps: Sequence[str] | Callable[[Any], Sequence[Any]],
    tmp_path: Path,
    sizes: Sequence[tuple[int, int]] = SIZES,
    tolerance: float = TOLERANCE,
) -> paddle.nn.Layer:
    """Assert that our encoder, loaded from a ``.pth`` of theirs, gives their maps; return it.

    Args:
        theirs: a PyTorch network; its BatchNorms are randomised.
        ours: an encoder or its spec.
        taps: where their maps are: names of submodules, or a function from image to maps. As many as ours, in order.
        tolerance: of the largest difference, relative to the largest value of the map.
    """
    import torch

    encoder = build_backbone(ours)
    randomise(theirs, encoder.in_channels)
    path = tmp_path / "theirs.pth"
    torch.save(theirs.state_dict(), path)
    load_weights(encoder, path)
    encoder.eval()
    rng = np.random.default_rng(1)
    for size in sizes:
        x = rng.standard_normal((2, encoder.in_channels, *size)).astype("float32")
        with paddle.no_grad():
            maps = [feature.numpy() for feature in encoder(paddle.to_tensor(x))]
        expected = features(theirs, x, taps)
        assert [one.shape for one in maps] == [one.shape for one in expected], f"shapes at {size}"
        for stride, one, other in zip(encoder.strides, maps, expected, strict=True):
            worst = np.abs(one - other).max() / np.abs(other).max()
            assert worst <= tolerance, f"stride {stride} at {size}: differs by {worst:.1e}"
    return encoder
