"""An ensemble's YAML: which networks there are, how each sees a window, and how their answers become one.

It is read as configurations are (``_base_``, the line of every mistake), but with nothing that a server lacks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from paddle_rsseg import tree
from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.inference.runtimes import BACKENDS
from paddle_rsseg.inference.spec import POLICIES, VIEW_NAMES
from paddle_rsseg.windows import WEIGHTS

SUFFIXES = (".yml", ".yaml")
DEPLOY_FILE = "deploy.yaml"
AVERAGES = ("probs", "logits")


@dataclass(frozen=True)
class Member:
    """One network of an ensemble.

    Attributes:
        place: where the YAML names it, for messages.
        model: weights, a checkpoint or an export, as :func:`paddle_rsseg.inference.load.open_model` takes them.
        weight: of its answer, above 0; only proportions count.
        config: the configuration of weights that do not say which network they belong to.
        backend: None: what the caller asks for.
        average: what its views and scales average; None: what the ensemble averages.
        input_size: (height, width) to which a full window is resized for it, a smaller one in proportion; None: as
            it is.
        changes: fields of its :class:`paddle_rsseg.inference.spec.InferenceSpec` that the YAML sets.
    """

    place: str
    model: Path
    weight: float
    config: Path | None
    backend: str | None
    average: str | None
    input_size: tuple[int, int] | None
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class EnsembleFile:
    """What an ensemble's YAML says.

    Attributes:
        path: the file.
        average: what the members average, ``"probs"`` or ``"logits"``, and overlapping windows after them.
        members: at least one.
        changes: fields of the whole's :class:`paddle_rsseg.inference.spec.InferenceSpec` that the YAML sets.
        content: the file as plain values, without its directory: what makes it another ensemble.
    """

    path: Path
    average: str
    members: tuple[Member, ...]
    changes: Mapping[str, Any]
    content: Any


def is_ensemble(path: Path) -> bool:
    """Does a path of a model mean an ensemble: a YAML file that is not the description of an export?"""
    return path.suffix.lower() in SUFFIXES and path.name != DEPLOY_FILE


def read_ensemble(path: str | Path) -> EnsembleFile:
    """Read and check; paths in it are relative to the file that says them.

    Raises:
        RssegError: no such file, not YAML, an unknown or missing key, a value that makes no sense, a model or
            configuration that does not exist.
    """
    if not Path(path).is_file():
        raise RssegError(path, "no such file", "the YAML of an ensemble", "configs/ensembles has some")
    root = tree.read(path)
    if "train_dataset" in root.value or "val_dataset" in root.value:
        raise RssegError(path, "a configuration", "a model: weights, an export or an ensemble", "give it as --config")
    whole = _checked(root, root, (), WHOLE)
    for key in ("average", "members"):
        if key not in whole:
            raise RssegError(path, f"no {key!r}", "average: probs or logits, and members: a list", "add it to the YAML")
    average, members = whole.pop("average"), whole.pop("members")
    size, stride = whole.pop("crop_size", None), whole.pop("stride", None)
    if size is None and stride is not None:
        raise RssegError(tree.place(root, ["stride"]), "without crop_size", "the (width, height) of a window as well")
    if size is not None:
        whole |= {"window": size, "stride": stride or (max(1, size[0] * 4 // 7), max(1, size[1] * 4 // 7))}
    made = tuple(_member(root, i) for i in range(len(members)))
    return EnsembleFile(Path(path), average, made, whole, tree.plain(root))


def _member(root: tree.Node, index: int) -> Member:
    path = ("members", index)
    place, node = tree.place(root, path), root.value["members"].value[index]
    if not isinstance(node.value, dict):
        raise RssegError(place, repr(tree.plain(node)), "a mapping", "write - model: PATH")
    said = _checked(root, node, path, MEMBER)
    if "model" not in said:
        raise RssegError(place, "no 'model'", "the path of weights, a checkpoint or an export", "add it to the YAML")
    for key in ("model", "config"):
        if key in said:
            said[key] = _beside(node.value[key], tree.place(root, (*path, key)))
    if is_ensemble(said["model"]):
        seen = f"{said['model'].name} is an ensemble itself"
        raise RssegError(tree.place(root, (*path, "model")), seen, "one network", "name its members here")
    own = {key: said.pop(key, None) for key in ("model", "config", "backend", "average", "input_size")}
    return Member(place, weight=said.pop("weight", 1.0), changes=said, **own)


def _beside(node: tree.Node, place: str) -> Path:
    """A path, relative to the file that says it."""
    found = Path(os.path.normpath(Path(node.where.rpartition(":")[0]).parent / Path(node.value).expanduser()))
    if not found.exists():
        raise RssegError(place, f"{found} does not exist", "a path relative to this file")
    return found


# --- what a value may be ---------------------------------------------------------------------------------------


class _Unfit(Exception):
    """The value is not what is wanted, which is its text; further arguments are hints."""


Kind = Callable[[Any], Any]


def _checked(root: tree.Node, node: tree.Node, path: tuple[str | int, ...], kinds: Mapping[str, Kind]) -> dict:
    """The keys of a mapping, each read as its kind."""
    said = {}
    for key, child in node.value.items():
        place = tree.place(root, (*path, key))
        if key not in kinds:
            raise RssegError(place, f"unknown key {key!r}", fix=did_you_mean(str(key), kinds))
        value = tree.plain(child)
        try:
            said[key] = kinds[key](value)
        except _Unfit as error:
            wanted, *hint = error.args
            raise RssegError(place, _shown(value), wanted, *hint) from None
    return said


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return ("no", "yes")[value] if isinstance(value, bool) else repr(value)


def _one_of(*names: str) -> Kind:
    def read(value: Any) -> str:
        if value not in names:
            raise _Unfit(f"one of {', '.join(names)}", did_you_mean(str(value), names))
        return value

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _Unfit("a path")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise _Unfit("a number")
    return float(value)


def _above_zero(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (isfinite(value) and value > 0):
        raise _Unfit("a number above 0")
    return float(value)


def _whole(least: int) -> Kind:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise _Unfit(f"a whole number of at least {least}")
        return value

    return read


def _list(kind: Kind) -> Kind:
    def read(value: Any) -> tuple:
        if not isinstance(value, list) or not value:
            raise _Unfit("a list with at least one entry")
        return tuple(map(kind, value))

    return read


def _width_height(value: Any) -> tuple[int, int]:
    """One number, a square, or (width, height), as in ``test_config``; read as (height, width)."""
    pair = value if isinstance(value, list) else [value, value]
    if len(pair) != 2:
        raise _Unfit("a width and a height")
    width, height = map(_whole(1), pair)
    return height, width


def _or_none(kind: Kind) -> Kind:
    return lambda value: None if value is None else kind(value)


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Unfit("yes or no")
    return value


def _any_list(value: Any) -> list:
    if not isinstance(value, list) or not value:
        raise _Unfit("a list of at least one model")
    return value


MEMBER: dict[str, Kind] = {
    "model": _text,
    "weight": _above_zero,
    "config": _text,
    "backend": _one_of(*BACKENDS),
    "average": _one_of(*AVERAGES),
    "input_size": _width_height,
    "views": _list(_one_of(*VIEW_NAMES)),
    "scales": _list(_above_zero),
    "bands": _or_none(_list(_whole(1))),
    "mean": _list(_number),
    "std": _list(_above_zero),
    "scale": _or_none(_above_zero),
    "pad": _one_of("multiple", "window"),
    "pad_to": _whole(1),
}
WHOLE: dict[str, Kind] = {
    "average": _one_of(*AVERAGES),
    "members": _any_list,
    "crop_size": _width_height,
    "stride": _width_height,
    "policy": _one_of(*POLICIES),
    "margin": _whole(0),
    "blend": _one_of(*WEIGHTS),
    "resize": _or_none(_width_height),
    "nodata": _or_none(_number),
    "alpha_is_data": _yes_or_no,
    "temperature": _above_zero,
}
