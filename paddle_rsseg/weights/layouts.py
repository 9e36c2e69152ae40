"""Who wrote a file, told from its tensor names, and what our models call the same tensors.

Our FarSeg carries the names of the official release with Paddle's ``_mean`` and ``_variance``; our ResNets those of
torchvision. So most layouts are a short list of renamings, and none needs a transposition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Rename = tuple[str, str | Callable[[re.Match[str]], str]]

#: blocks of each stage in the order in which X2Paddle's generated ResNet-50 runs them
X2PADDLE_BLOCKS = {"1": [9, 5, 14], "2": [11, 4, 6, 0], "3": [12, 1, 7, 3, 8, 2], "4": [10, 15, 13]}


def _x2paddle_block(match: re.Match[str]) -> str:
    stage, block = match["stage"], int(match["block"])
    return f"layer{stage}.{X2PADDLE_BLOCKS[stage].index(block)}."


def _plus_one(template: str) -> Callable[[re.Match[str]], str]:
    return lambda match: template.format(int(match[1]) + 1)


#: X2Paddle's ResNet-50, names as they stand after the prefix
X2PADDLE: list[Rename] = [
    (r"^conv0\.", "conv1."),
    (r"^bn0\.", "bn1."),
    (r"^layer(?P<stage>[1-4])0\.bottleneck(?P<block>\d+)0\.", _x2paddle_block),
    (r"\.layer1_0_downsample0\.conv0\.", ".downsample.0."),
    (r"\.layer1_0_downsample0\.bn0\.", ".downsample.1."),
    (r"(?<=\d\.)conv([012])\.", _plus_one("conv{}.")),
    (r"(?<=\d\.)bn([012])\.", _plus_one("bn{}.")),
]


@dataclass(frozen=True)
class Layout:
    """One project's way of naming.

    Attributes:
        name: for people.
        marker: a file is of this layout if a name matches it.
        scope: what such a file holds.
        prefix: (theirs, ours) start of the backbone's names, inside which ``backbone_renames`` apply.
        renames: regular expression → replacement, each applied once, in order.
        unused: names that our models have no place for, and why.
    """

    name: str
    marker: str
    scope: Literal["model", "backbone"] = "model"
    prefix: tuple[str, str] = ("", "")
    backbone_renames: list[Rename] = field(default_factory=list)
    renames: list[Rename] = field(default_factory=list)
    unused: str = r"$^"
    why: str = ""

    def rename(self, name: str) -> str:
        theirs, ours = self.prefix
        if self.backbone_renames and name.startswith(theirs):
            name = ours + _apply(self.backbone_renames, name.removeprefix(theirs))
        return _apply(self.renames, name)


def _apply(renames: list[Rename], name: str) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name, count=1)
    return name


LAYOUTS = [
    Layout("FarSeg, official release", r"^en\.resnet\.", unused=r"^en\.resnet\.fc\.", why="the ImageNet classifier"),
    Layout(
        "FarSeg in PaddleSeg (X2Paddle ResNet-50)",
        r"^backbone\.resnet\.layer10\.",
        prefix=("backbone.resnet.", "en.resnet."),
        backbone_renames=X2PADDLE,
        renames=[
            (r"\._conv\.", "."),
            (r"^neck\.fpn\.inner_blocks\.(\d)", _plus_one("fpn.fpn_inner{}")),
            (r"^neck\.fpn\.layer_blocks\.(\d)", _plus_one("fpn.fpn_layer{}")),
            (r"^neck\.sr\.", "sr."),
            (r"^cls_head\.0\.", "cls_pred_conv."),
        ],
        unused=r"^backbone\.resnet\.linear0\.",
        why="the ImageNet classifier, unused there too",
    ),
    Layout(
        "FarSeg in PaddleRS",
        r"^encoder\.resnet\.",
        renames=[
            (r"^encoder\.resnet\.", "en.resnet."),
            (r"^fpn\.inner_blocks\.(\d)", _plus_one("fpn.fpn_inner{}")),
            (r"^fpn\.layer_blocks\.(\d)", _plus_one("fpn.fpn_layer{}")),
            (r"^fsr\.", "sr."),
            (r"^cls_head\.0\.", "cls_pred_conv."),
        ],
        unused=r"^encoder\.resnet\.fc\.",
        why="the ImageNet classifier",
    ),
    Layout(
        "ResNet-50 converted by X2Paddle",
        r"^layer10\.bottleneck90\.",
        scope="backbone",
        prefix=("", ""),
        backbone_renames=X2PADDLE,
        unused=r"^linear0\.",
        why="the ImageNet classifier",
    ),
    Layout(
        "ResNet of torchvision or paddle.vision",
        r"^layer1\.0\.conv1\.weight$",
        scope="backbone",
        unused=r"^fc\.",
        why="the ImageNet classifier",
    ),
]
OURS = Layout("names as they are", r"")

#: the same in every layout: PyTorch's names of batch norm's statistics
STATISTICS: list[Rename] = [(r"(^|\.)running_mean$", r"\1_mean"), (r"(^|\.)running_var$", r"\1_variance")]

#: prefixes that wrappers put before every name: DistributedDataParallel, PaddleRS's exported models
WRAPPERS = ("module.", "net.")


@dataclass
class Translation:
    """A foreign state dict under our names.

    Attributes:
        layout: the recognised layout.
        state: our name → array.
        origin: our name → name in the file.
        dropped: name in the file → why our models have no place for it.
        metadata: ``loss_step`` where the file carries the step of FarSeg's annealing.
    """

    layout: Layout
    state: dict[str, np.ndarray]
    origin: dict[str, str]
    dropped: dict[str, str]
    metadata: dict[str, Any]


def translate(weights: Mapping[str, np.ndarray]) -> Translation:
    """Recognise the layout and rename; every tensor of the file ends in ``state``, ``dropped`` or ``metadata``."""
    prefix = _common_wrapper(weights)
    names = {name: name.removeprefix(prefix) for name in weights}
    layout = recognise(names.values())
    result = Translation(layout, {}, {}, {}, {})
    for name, bare in names.items():
        if bare.endswith("num_batches_tracked"):
            result.dropped[name] = "PyTorch's count of batches; Paddle keeps none"
        elif bare == "buffer_step" and weights[name].size == 1:
            result.metadata["loss_step"] = int(weights[name].reshape(()))
            result.dropped[name] = "the step of the annealing; kept as loss_step beside the weights"
        elif re.search(layout.unused, bare):
            result.dropped[name] = layout.why
        else:
            ours = _apply(STATISTICS, layout.rename(bare))
            if ours in result.state:
                raise ValueError(f"{name!r} and {result.origin[ours]!r} both become {ours!r}")
            result.state[ours] = weights[name]
            result.origin[ours] = name
    return result


def recognise(names: Iterable[str]) -> Layout:
    """The layout that these names, free of wrappers, belong to; ours if none other."""
    names = list(names)
    return next((layout for layout in LAYOUTS if any(re.search(layout.marker, name) for name in names)), OURS)


def _common_wrapper(names: Iterable[str]) -> str:
    # only a prefix that *every* name has is a wrapper; a "module." further in belongs to the name
    names = list(names)
    prefix = ""
    while True:
        found = next((w for w in WRAPPERS if names and all(n.startswith(prefix + w) for n in names)), None)
        if found is None:
            return prefix
        prefix += found
