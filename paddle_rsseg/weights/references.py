"""Which PyTorch package holds the original of a network, and where its maps are to be found. Needs none of them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paddle_rsseg.weights.architecture import Architecture

SMP = "segmentation_models_pytorch"
#: how to get them; a build for CPUs is enough
INSTALL = {
    "torchvision": "pip install torch torchvision",
    "timm": "pip install torch timm",
    SMP: "pip install torch segmentation-models-pytorch",
}
RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")
#: names in segmentation_models_pytorch
SMP_ENCODERS = (
    (r"ResNet(18|34|50|101|152)", r"resnet\1"),
    (r"ResNeXt(50_32x4d|101_32x8d)", r"resnext\1"),
    (r"SEResNet(50|101|152)", r"se_resnet\1"),
    (r"SEResNeXt(50|101)_32x4d", r"se_resnext\1_32x4d"),
    (r"SENet154", "senet154"),
    (r"EfficientNetB([0-7])", r"efficientnet-b\1"),
    (r"MiTB([0-5])", r"mit_b\1"),
)


@dataclass(frozen=True)
class Reference:
    """The original of an encoder in a package.

    Attributes:
        pattern: of our encoder's name.
        package: that holds it.
        name: there; groups of the pattern may be used.
        taps: modules whose outputs are our maps, from fine to coarse; empty: the package's own list of maps.
        ours: arguments under which our encoder is that one.
        multiple: sides of images that it takes.
    """

    pattern: str
    package: str
    name: str
    taps: tuple[str, ...] = ()
    ours: dict[str, Any] = field(default_factory=dict)
    multiple: int = 1

    def build(self, encoder: str) -> Any:
        package = importlib.import_module(self.package)
        name = re.sub(self.pattern, self.name, encoder)
        if self.package == "torchvision":
            return getattr(importlib.import_module("torchvision.models"), name)(weights=None)
        if self.package == "timm":
            return package.create_model(name, pretrained=False)
        return package.encoders.get_encoder(name, weights=None)


REFERENCES = [
    Reference(r"ResNet(18|34|50|101|152)", "torchvision", r"resnet\1", RESNET_STAGES),
    Reference(r"WideResNet(50|101)_2", "torchvision", r"wide_resnet\1_2", RESNET_STAGES),
    Reference(r"ResNeXt(50_32x4d|101_32x8d)", "torchvision", r"resnext\1", RESNET_STAGES),
    Reference(r"VGG16_bn", "torchvision", "vgg16_bn", tuple(f"features.{i}" for i in (5, 12, 22, 32, 42, 43))),
    Reference(r"MobileNetV2", "torchvision", "mobilenet_v2", tuple(f"features.{i}" for i in (3, 6, 13, 17))),
    Reference(r"ShuffleNetV2", "torchvision", "shufflenet_v2_x1_0", ("maxpool", "stage2", "stage3", "stage4")),
    Reference(r"ResNet(18|34|50|101|152)_vd", "timm", r"resnet\1d", RESNET_STAGES),
    Reference(r"ResNet(50|101|152)_vc", "timm", r"resnet\1c", RESNET_STAGES),
    Reference(r"ResNeSt50", "timm", "resnest50d", RESNET_STAGES),
    Reference(r"ResNeSt101", "timm", "resnest101e", RESNET_STAGES),
    Reference(r"SEResNet(50|101|152)", "timm", r"legacy_seresnet\1", RESNET_STAGES),
    Reference(r"SEResNeXt(50|101)_32x4d", "timm", r"legacy_seresnext\1_32x4d", RESNET_STAGES),
    Reference(r"SENet154", "timm", "legacy_senet154", RESNET_STAGES),
    Reference(r"HRNetV2_W(18|30|32|40|44|48|64)", "timm", r"hrnet_w\1", ("stage4",), {"fuse": "nearest"}, 32),
    Reference(r"HRNetV2_W18_Small_V1", "timm", "hrnet_w18_small", ("stage4",), {"fuse": "nearest"}, 32),
    Reference(r"HRNetV2_W18_Small_V2", "timm", "hrnet_w18_small_v2", ("stage4",), {"fuse": "nearest"}, 32),
    # whose list of maps has the one of stride 16 two blocks early in B0
    Reference(
        r"EfficientNetB0", SMP, "efficientnet-b0", tuple(f"_blocks.{i}" for i in (2, 4, 10, 15)), {"padding": "nominal"}
    ),
    Reference(r"EfficientNetB([1-7])", SMP, r"efficientnet-b\1", ours={"padding": "nominal"}),
    Reference(r"MiTB([0-5])", SMP, r"mit_b\1"),
]


@dataclass(frozen=True)
class Original:
    """A network of a package, ready to be compared.

    Attributes:
        network: a ``torch.nn.Module``.
        maps: image as an array → (name, array) of its maps.
        ours: arguments under which our network is that one.
        multiple: sides of images that it takes.
    """

    network: Any
    maps: Callable[[np.ndarray], list[tuple[str, np.ndarray]]]
    ours: dict[str, Any]
    multiple: int


def references(network: Architecture) -> list[tuple[str, Callable[[], Original]]]:
    """(package, how to build the original there) of every package known to hold this network."""
    if network.encoder:
        name = network.spec["type"]
        found = [reference for reference in REFERENCES if re.fullmatch(reference.pattern, name)]
        return [(reference.package, lambda r=reference: _encoder(r, name)) for reference in found]  # type: ignore[misc]
    if network.spec.get("wiring") == "smp":
        return [(SMP, lambda: _segmenter(network.spec))]
    return []


def _encoder(reference: Reference, name: str) -> Original:
    network = reference.build(name).eval()

    def maps(image: np.ndarray) -> list[tuple[str, np.ndarray]]:
        if reference.taps:
            return tapped(network, image, reference.taps)
        # the image itself and what there is of stride 2 come first
        return [(f"stride {4 * 2**i}", m) for i, m in enumerate(_run(network, image)[2:])]

    return Original(network, maps, reference.ours, reference.multiple)


def _segmenter(spec: dict[str, Any]) -> Original:
    package = importlib.import_module(SMP)
    backbone = spec.get("backbone", "ResNet50")
    kind = backbone["type"] if isinstance(backbone, dict) else backbone
    encoder = next((re.sub(p, name, kind) for p, name in SMP_ENCODERS if re.fullmatch(p, kind)), kind.lower())
    network = getattr(package, spec["type"])(
        encoder, encoder_weights=None, encoder_output_stride=spec.get("output_stride", 16), classes=spec["num_classes"],
        in_channels=spec.get("in_channels", 3),
    ).eval()  # fmt: skip

    def maps(image: np.ndarray) -> list[tuple[str, np.ndarray]]:
        features = _run(network.encoder, image)[2:]
        return [*((f"encoder {i}", m) for i, m in enumerate(features, 1)), ("logits", _run(network, image)[0])]

    return Original(network, maps, {}, 32)


def _run(network: Any, image: np.ndarray) -> list[np.ndarray]:
    torch = importlib.import_module("torch")
    with torch.no_grad():
        out = network(torch.from_numpy(image))
    return [one.numpy() for one in (out if isinstance(out, (list, tuple)) else [out])]


def tapped(network: Any, image: np.ndarray, taps: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """(name, map) of the outputs of the submodules ``taps``; one that returns several maps gives each of them."""
    seen: dict[str, list[np.ndarray]] = {}
    modules = dict(network.named_modules())

    def keep(tap: str) -> Callable[[Any, Any, Any], None]:
        def hook(_module: Any, _inputs: Any, out: Any) -> None:
            # a copy: a ReLU that follows may write in place
            seen[tap] = [one.clone().numpy() for one in (out if isinstance(out, (list, tuple)) else [out])]

        return hook

    hooks = [modules[tap].register_forward_hook(keep(tap)) for tap in taps]
    try:
        _run(network, image)
    finally:
        for hook in hooks:
            hook.remove()
    return [(tap if len(seen[tap]) == 1 else f"{tap}.{i}", one) for tap in taps for i, one in enumerate(seen[tap])]
