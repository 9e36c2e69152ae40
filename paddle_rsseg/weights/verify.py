"""Is a file of weights, loaded by us, the same network as in the PyTorch package it comes from? Both are run."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paddle_rsseg.errors import RssegError
from paddle_rsseg.weights.architecture import Architecture, architecture
from paddle_rsseg.weights.layout import framework_of, without_wrapper
from paddle_rsseg.weights.load import load_weights
from paddle_rsseg.weights.native import FORMAT, read_weights, written_by
from paddle_rsseg.weights.references import INSTALL, Original, references
from paddle_rsseg.weights.store import locate

#: largest difference of a map, as a share of its largest value, that counts as the same network in float32
TOLERANCE = 1e-4
SIZES = ((64, 96), (75, 61))
#: what an encoder's original may lack: only the classifier, which no map comes from
CLASSIFIER = r"^(fc|classifier|head|last_linear|conv5|conv_head|bn2|incre_modules|downsamp_modules|final_layer)\."


@dataclass(frozen=True)
class Stage:
    """One map of both networks: its shape, the largest difference, and that as a share of the largest value."""

    size: tuple[int, int]
    name: str
    shape: tuple[int, ...]
    difference: float
    relative: float


@dataclass
class Verification:
    """The outcome.

    Attributes:
        package: and version, in which the original was run.
        stages: in the order of the data, for each size of image.
    """

    package: str
    stages: list[Stage] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return all(stage.relative <= TOLERANCE for stage in self.stages)

    def lines(self) -> list[str]:
        """A table, and the verdict."""
        rows = [f"{'image':>9}  {'stage':<12} {'shape':<18} {'largest difference':>18} {'relative':>9}"]
        rows += [
            f"{'{1}×{0}'.format(*s.size):>9}  {s.name:<12} {'×'.join(map(str, s.shape)):<18} "
            f"{s.difference:>18.2e} {s.relative:>9.1e}"
            for s in self.stages
        ]
        worst = max(self.stages, key=lambda stage: stage.relative)
        verdict = "the same network" if self.same else "NOT the same network"
        return [
            *rows,
            f"{verdict} as in {self.package}: at most {worst.relative:.1e} of the largest value ({worst.name})",
        ]


def verify(
    source: str | os.PathLike,
    arch: Any = None,
    layout: str | None = None,
    folder: str | os.PathLike | None = None,
    seed: int = 0,
) -> Verification:
    """Load a file into our network and into its original in a PyTorch package, and compare their maps.

    Args:
        source: the file as its authors wrote it (not converted), or a name of the table.
        arch: see :func:`paddle_rsseg.weights.architecture.architecture`; None: what the table says.
        seed: of the random images.

    Raises:
        RssegError: no package is known to hold this network, none is installed, or the file has other names than the
            package's network; the message says which.
    """
    path, entry = locate(source, folder)
    if arch is None and entry is None:
        raise RssegError("verify", "no --arch", "the network that the file is of", "--arch ResNet50")
    network = architecture(arch if arch is not None else entry.name)  # type: ignore[union-attr]
    weights, metadata = read_weights(path)
    if metadata.get("format") == FORMAT or framework_of(weights, written_by(path, metadata)) != "torch":
        raise RssegError(path, "not written by PyTorch", "the original file", "verify it before it is converted")
    if not network.encoder and "num_classes" not in network.spec:
        network = Architecture({**network.spec, "num_classes": _classes(weights)}, encoder=False)
    package, original = _original(network, weights, path)
    ours = Architecture({**original.ours, **network.spec}, network.encoder).build()
    load_weights(ours, path, layout=layout)
    ours.eval()
    result = Verification(package)
    generator = np.random.default_rng(seed)
    for height, width in SIZES:
        size = -height % original.multiple + height, -width % original.multiple + width
        image = generator.standard_normal((1, ours.in_channels, *size)).astype(np.float32)
        theirs = original.maps(image)
        maps = _our_maps(ours, image, network.encoder)
        if [m.shape for m in maps] != [m.shape for _, m in theirs]:
            shapes = ", ".join(str(m.shape) for m in maps), ", ".join(str(m.shape) for _, m in theirs)
            raise RssegError(path, f"our maps are {shapes[0]}", f"those of {package}: {shapes[1]}",
                             "is --arch the network of this file?")  # fmt: skip
        for (name, expected), found in zip(theirs, maps, strict=True):
            difference = float(np.abs(found - expected).max())
            # NaN is no small difference
            relative = difference / max(float(np.abs(expected).max()), 1e-30)
            result.stages.append(Stage(size, name, found.shape, difference, relative))
    return result


def _our_maps(network: Any, image: np.ndarray, encoder: bool) -> list[np.ndarray]:
    import paddle

    with paddle.no_grad():
        x = paddle.to_tensor(image)
        if encoder:
            return [m.numpy() for m in network(x)]
        return [*(m.numpy() for m in network.backbone(x)), network(x)[0].numpy()]


def _classes(weights: Mapping[str, np.ndarray]) -> int:
    """Rows of the last convolution of a segmentation network of segmentation_models_pytorch."""
    head = next((a for name, a in weights.items() if re.search(r"segmentation_head\.0\.weight$", name)), None)
    if head is None:
        raise RssegError("verify", "no segmentation_head in the file", "a network of segmentation_models_pytorch")
    return len(head)


def _original(network: Architecture, weights: Mapping[str, np.ndarray], path: Path) -> tuple[str, Original]:
    """The original with the file's weights in it, and its package with version."""
    options = references(network)
    if not options:
        raise RssegError("verify", f"no PyTorch package is known to hold {network}",
                         "an encoder of torchvision, timm or segmentation_models_pytorch, or DeepLabV3Plus with "
                         "wiring: smp", "the stored golden numbers cover the others: tests/alignment")  # fmt: skip
    troubles = []
    for package, build in options:
        try:
            importlib.import_module("torch")
            version = importlib.import_module(package).__version__
            original = build()
        except ModuleNotFoundError as error:
            troubles.append(f"{error.name} is not installed ({INSTALL[package]})")
            continue
        except (ImportError, RuntimeError) as error:  # a torchvision that does not fit its torch
            troubles.append(f"{package} is installed but cannot be imported ({error})")
            continue
        if trouble := _fill(original.network, weights):
            troubles.append(f"{package}: {trouble}")
            continue
        return f"{package} {version}", original
    raise RssegError(path, f"cannot be compared: {'; '.join(troubles)}")


def _fill(network: Any, weights: Mapping[str, np.ndarray]) -> str:
    """Load the file into the PyTorch network, nothing executed; what does not fit, else empty."""
    torch = importlib.import_module("torch")
    state = {bare: torch.from_numpy(np.array(weights[name])) for name, bare in without_wrapper(weights).items()}
    wanted = network.state_dict()
    needed = {name for name in wanted if not name.endswith("num_batches_tracked") and not re.search(CLASSIFIER, name)}
    missing = sorted(needed - state.keys())
    shapes = [name for name in needed & state.keys() if state[name].shape != wanted[name].shape]
    if missing or shapes:
        some = ", ".join((missing or shapes)[:3])
        what = "has other names" if missing else "is of other shapes"
        return f"its network {what} than this file ({len(missing or shapes)} tensors, {some} …)"
    fitting = {name: array for name, array in state.items() if name in wanted and array.shape == wanted[name].shape}
    # the class's own method: some encoders override it and drop the option
    torch.nn.Module.load_state_dict(network, fitting, strict=False)
    return ""
