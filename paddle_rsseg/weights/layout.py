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


Framework = Literal["torch", "paddle"]


@dataclass(frozen=True)
class Layout:
    r"""One project's way of naming.

    What is done to a file, in this order: renames; the weights of linear layers (two axes, name in ``.weight``) of a
    file written by PyTorch are transposed, so that everything below sees Paddle's (in, out); ``copies`` or ``split``;
    ``merge``; ``arrange``. Most layouts need the renames alone.

    Attributes:
        name: for people.
        marker: regular expressions; a file is of this layout if each of them matches one of its names.
        scope: what such a file holds.
        framework: where the names alone do not tell: only files that were written by this one are of this layout.
        prefix: (theirs, ours) start of the backbone's names, inside which ``backbone_renames`` apply.
        renames: regular expression → replacement, each applied once, in order.
        unused: names that our models have no place for, and why.
        copies: (regular expression on the renamed name, our names) for tensors that are to begin several of ours.
            ``(r"^bn3\.(.*)", (r"bn3.\1", r"bn4.\1"))``.
        split: (regular expression on the renamed name, {name of a part: its share}) for tensors that hold several of
            ours along their outputs. ``(r"(.*)\.in_proj\.(\w+)$", {r"\1.q.\2": 1, r"\1.kv.\2": 2})``.
        merge: (regular expression with a group ``part``, our name, order of the parts) for tensors that are one of
            ours together, along their outputs.
            ``(r"(.*)\.(?P<part>query|key|value)\.(\w+)$", r"\1.qkv.\3", ("query", "key", "value"))``.
        arrange: (regular expression on our name, change of the array) for tensors that keep their values in another
            order, such as the patch merging of some Swins; the first that matches applies.
        filled: (regular expression on our name, value) for tensors that such files lack although they are complete:
            an encoder with norms of its maps begins with ones and zeros from a classifier that has none.
    """

    name: str
    marker: str | tuple[str, ...]
    scope: Literal["model", "backbone"] = "model"
    framework: Framework | None = None
    prefix: tuple[str, str] = ("", "")
    backbone_renames: list[Rename] = field(default_factory=list)
    renames: list[Rename] = field(default_factory=list)
    unused: str = r"$^"
    why: str = ""
    copies: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    split: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    merge: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    arrange: list[tuple[str, Callable[[np.ndarray], np.ndarray]]] = field(default_factory=list)
    filled: list[tuple[str, float]] = field(default_factory=list)

    def recognises(self, names: Iterable[str], framework: Framework | None = None) -> bool:
        if self.framework and framework and self.framework != framework:
            return False
        markers = (self.marker,) if isinstance(self.marker, str) else self.marker
        names = list(names)
        return all(any(re.search(marker, name) for name in names) for marker in markers)

    def rename(self, name: str) -> str:
        theirs, ours = self.prefix
        if self.backbone_renames and name.startswith(theirs):
            name = ours + _apply(self.backbone_renames, name.removeprefix(theirs))
        return _apply(self.renames, name)

    def parts(self, name: str, array: np.ndarray) -> dict[str, np.ndarray]:
        """The tensors that the renamed one holds."""
        for pattern, targets in self.copies:
            if match := re.search(pattern, name):
                return {match.expand(target): array for target in targets}
        for pattern, shares in self.split:
            if match := re.search(pattern, name):
                axis, total = outputs_axis(array), sum(shares.values())
                if array.shape[axis] % total:
                    raise ValueError(f"{name!r} {array.shape} does not divide into {total} parts")
                unit = array.shape[axis] // total
                ends = np.cumsum([unit * share for share in shares.values()])
                pieces = np.split(array, ends[:-1], axis)
                return {match.expand(part): piece for part, piece in zip(shares, pieces, strict=True)}
        return {name: array}

    def whole(self, name: str) -> tuple[str, int, int] | None:
        """(our name, place, number of parts) of a renamed tensor that is a part of one of ours."""
        for pattern, ours, order in self.merge:
            if match := re.search(pattern, name):
                return match.expand(ours), order.index(match["part"]), len(order)
        return None

    def arranged(self, name: str, array: np.ndarray) -> np.ndarray:
        """The array of our tensor ``name`` in our order."""
        return next((change(array) for pattern, change in self.arrange if re.search(pattern, name)), array)


def outputs_axis(array: np.ndarray) -> int:
    """The axis of the outputs: the last of a linear layer's weight (in, out), else the first."""
    return 1 if array.ndim == 2 else 0


def _apply(renames: list[Rename], name: str) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name, count=1)
    return name


OURS = Layout("names as they are", ())

#: the same in every layout: PyTorch's names of batch norm's statistics
STATISTICS: list[Rename] = [(r"(^|\.)running_mean$", r"\1_mean"), (r"(^|\.)running_var$", r"\1_variance")]

#: prefixes that wrappers put before every name: DistributedDataParallel, PaddleRS's exported models, torch.compile,
#: and the trainer of the HRNet release
WRAPPERS = ("module.", "net.", "_orig_mod.", "model.")

#: class weights and the like, which belong to the loss that was stored beside the network
OF_THE_LOSS = r"(^|\.)(loss|criterion)\."


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


def framework_of(names: Iterable[str], written_by: Framework | None = None) -> Framework | None:
    """Whose conventions the tensors follow: the names of batch norm's statistics tell, else who wrote the file."""
    for name in names:
        if name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            return "torch"
        if name.endswith(("._mean", "._variance")):
            return "paddle"
    return written_by


def translate(
    weights: Mapping[str, np.ndarray], layout: Layout | None = None, framework: Framework | None = None
) -> Translation:
    """Rename; every tensor of the file ends in ``state``, ``dropped`` or ``metadata``.

    Args:
        layout: None: the first of those that recognise the names.
        framework: who wrote the file, where its names do not tell (see :func:`framework_of`).

    Raises:
        ValueError: two tensors become one name, or a tensor cannot be divided as the layout says.
    """
    bare_names = without_wrapper(weights)
    framework = framework_of(bare_names.values(), framework)
    layout = layout or candidates(bare_names.values(), framework)[0]
    result = Translation(layout, {}, {}, {}, {})
    merged: dict[str, dict[int, np.ndarray]] = {}

    def put(ours: str, array: np.ndarray, origin: str) -> None:
        if ours in result.state:
            raise ValueError(f"{origin!r} and {result.origin[ours]!r} both become {ours!r}")
        result.state[ours] = layout.arranged(ours, array)
        result.origin[ours] = origin

    for name, bare in bare_names.items():
        array = weights[name]
        if bare.endswith("num_batches_tracked"):
            result.dropped[name] = "PyTorch's count of batches; Paddle keeps none"
        elif bare == "buffer_step" and array.size == 1:
            result.metadata["loss_step"] = int(array.reshape(()))
            result.dropped[name] = "the step of the annealing; kept as loss_step beside the weights"
        elif re.search(OF_THE_LOSS, bare):
            result.dropped[name] = "of the loss, not of the network"
        elif re.search(layout.unused, bare):
            result.dropped[name] = layout.why
        else:
            renamed = _apply(STATISTICS, layout.rename(bare))
            if framework == "torch" and array.ndim == 2 and renamed.endswith(".weight"):
                array = array.T
            for part, piece in layout.parts(renamed, array).items():
                whole = layout.whole(part)
                if whole is None:
                    put(part, piece, name)
                    continue
                ours, place, count = whole
                pieces = merged.setdefault(ours, {})
                pieces[place] = piece
                if len(pieces) == count:
                    together = [pieces[i] for i in range(count)]
                    put(ours, np.concatenate(together, outputs_axis(piece)), name)
    for ours, pieces in merged.items():
        if ours not in result.state:
            raise ValueError(f"{ours!r} is there in parts, and only {len(pieces)} of them")
    return result


def candidates(names: Iterable[str], framework: Framework | None = None) -> list[Layout]:
    """The layouts that names, free of wrappers, may belong to; ours, the names as they are, is the last of them."""
    from paddle_rsseg.weights.layouts import LAYOUTS  # they need Layout from here

    names = list(names)
    return [*(layout for layout in LAYOUTS if layout.recognises(names, framework)), OURS]


def without_wrapper(names: Iterable[str]) -> dict[str, str]:
    """Name → the same without the prefix that a wrapper put before all of them."""
    # only a prefix that *every* name has is a wrapper; a "module." further in belongs to the name
    names = list(names)
    own = [name for name in names if not re.search(OF_THE_LOSS, name)]
    prefix = ""
    while own:
        found = next((w for w in WRAPPERS if all(name.startswith(prefix + w) for name in own)), None)
        if found is None:
            break
        prefix += found
    return {name: name.removeprefix(prefix) for name in names}
