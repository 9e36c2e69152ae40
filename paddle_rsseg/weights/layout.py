"""Who wrote a file, told from its tensor names, and what our models call the same tensors.

This is the mechanism; the layouts themselves are in ``weights/layouts/``, one file a family of networks. Our names are
those of a public original wherever there is one, so most layouts are a short list of renamings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Rename = tuple[str, str | Callable[[re.Match[str]], str]]


def plus_one(template: str) -> Callable[[re.Match[str]], str]:
    """A replacement: ``template`` with the match's first group, a number, plus one."""
    return lambda match: template.format(int(match[1]) + 1)


@dataclass(frozen=True)
class Layout:
    """One project's way of naming.

    Attributes:
        name: for people.
        marker: regular expressions; a file is of this layout if each of them matches one of its names.
        scope: what such a file holds.
        prefix: (theirs, ours) start of the backbone's names, inside which ``backbone_renames`` apply.
        renames: regular expression → replacement, each applied once, in order.
        unused: names that our models have no place for, and why.
        arrange: (regular expression on our name, change of the array) for tensors that keep their values in another
            order, such as the patch merging of some Swins; the first that matches applies.
    """

    name: str
    marker: str | tuple[str, ...]
    scope: Literal["model", "backbone"] = "model"
    prefix: tuple[str, str] = ("", "")
    backbone_renames: list[Rename] = field(default_factory=list)
    renames: list[Rename] = field(default_factory=list)
    unused: str = r"$^"
    why: str = ""
    arrange: list[tuple[str, Callable[[np.ndarray], np.ndarray]]] = field(default_factory=list)

    def recognises(self, names: Iterable[str]) -> bool:
        markers = (self.marker,) if isinstance(self.marker, str) else self.marker
        names = list(names)
        return all(any(re.search(marker, name) for name in names) for marker in markers)

    def arranged(self, name: str, array: np.ndarray) -> np.ndarray:
        """The array of our tensor ``name`` in our order."""
        return next((change(array) for pattern, change in self.arrange if re.search(pattern, name)), array)

    def rename(self, name: str) -> str:
        theirs, ours = self.prefix
        if self.backbone_renames and name.startswith(theirs):
            name = ours + _apply(self.backbone_renames, name.removeprefix(theirs))
        return _apply(self.renames, name)


def _apply(renames: list[Rename], name: str) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name, count=1)
    return name


OURS = Layout("names as they are", ())

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
            result.state[ours] = layout.arranged(ours, weights[name])
            result.origin[ours] = name
    return result


def recognise(names: Iterable[str]) -> Layout:
    """The layout that these names, free of wrappers, belong to; ours if none other."""
    from paddle_rsseg.weights.layouts import LAYOUTS  # they need Layout from here

    names = list(names)
    return next((layout for layout in LAYOUTS if layout.recognises(names)), OURS)


def _common_wrapper(names: Iterable[str]) -> str:
    # only a prefix that *every* name has is a wrapper; a "module." further in belongs to the name
    names = list(names)
    prefix = ""
    while True:
        found = next((w for w in WRAPPERS if names and all(n.startswith(prefix + w) for n in names)), None)
        if found is None:
            return prefix
        prefix += found
