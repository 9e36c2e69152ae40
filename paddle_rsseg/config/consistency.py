"""What the parts of the settings must agree on, and what they tell one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paddle_rsseg.config.components import signature
from paddle_rsseg.config.schema import Component, Settings
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import DATASETS, LOSSES, MODELS, TRANSFORMS

DATASET_KEYS = ("train_dataset", "val_dataset", "test_dataset")


def complete(settings: Settings) -> Settings:
    """Settings in which model and losses have what the data sets know, unless the file says it itself.

    Raises:
        RssegError: number of classes, number of bands, or the ignored label differ between the parts.
    """
    num_classes = _agreed(settings, "num_classes", number_of_classes)
    channels = _agreed(settings, "in_channels", number_of_bands)
    ignore_index = _agreed(settings, "ignore_index", lambda data: fact(data, "ignore_index"))
    settings = settings.model_copy(
        update={
            "model": _complete_model(settings, num_classes, channels),
            "loss": _complete_loss(settings, ignore_index),
        }
    )
    _check_normalize(settings)
    return settings


def number_of_classes(data: Component) -> int | None:
    """Of a data set, from its arguments or what its class knows."""
    return data.args.get("num_classes") or len(fact(data, "classes") or ()) or None


def number_of_bands(data: Component) -> int | None:
    """Channels of a data set's samples, None if the files decide."""
    for transform in reversed(data.args.get("transforms") or ()):
        if transform["type"] == "SelectBands":
            return len(transform["bands"])
    return len(fact(data, "bands") or ()) or data.args.get("img_channels") or None


def normalization(data: Component) -> dict[str, Any] | None:
    """``mean``, ``std`` and ``scale`` of the data set's Normalize with its defaults, None if it has none."""
    for transform in data.args.get("transforms") or ():
        if transform["type"] == "Normalize":
            defaults = {key: p.default for key, p in signature(TRANSFORMS, "Normalize").items()}
            given = {key: transform.get(key, default) for key, default in defaults.items()}
            return {key: tuple(map(float, v)) if isinstance(v, (list, tuple)) else v for key, v in given.items()}
    return None


def fact(data: Component, name: str) -> Any:
    """An argument of a data set, else its default, else the fact of that name that its class knows; or None."""
    if data.args.get(name) is not None:
        return data.args[name]
    parameter = signature(DATASETS, data.type).get(name)
    if parameter is not None and parameter.default not in (parameter.empty, None):
        return parameter.default
    known = getattr(DATASETS.get(data.type), "known", None)
    return known(name, data.args) if known else None


def _agreed(settings: Settings, name: str, fact: Callable[[Component], Any]) -> Any:
    """The value on which all data sets agree; None if none knows it."""
    known = {key: fact(data) for key in DATASET_KEYS if (data := getattr(settings, key)) is not None}
    known = {key: value for key, value in known.items() if value is not None}
    if not known:
        return None
    first, agreed = next(iter(known.items()))
    for key, value in known.items():
        if value != agreed:
            raise RssegError(
                settings.place(f"{key}.{name}"), f"{value}, but {agreed} in {first}", "the same in every data set"
            )
    return agreed


def _complete_model(settings: Settings, num_classes: int | None, channels: int | None) -> Component:
    model = settings.model
    takes = signature(MODELS, model.type)
    added: dict[str, Any] = {}
    if "num_classes" in takes:
        given = model.args.get("num_classes")
        if given is None and num_classes is None:
            raise RssegError(settings.place("model.num_classes"), "not given", "the number of classes")
        if given is not None and num_classes is not None and given != num_classes:
            raise RssegError(
                settings.place("model.num_classes"), f"{given}, but the data sets have {num_classes} classes",
                "the same number", "the ignored label is no class",
            )  # fmt: skip
        added["num_classes"] = given if given is not None else num_classes
        if added["num_classes"] == 1:
            raise RssegError(
                settings.place("model.num_classes"), "1 class, which every pixel would be", "2 or more",
                "one class against all others are two: give the data sets label_map: {value: 0 or 1, …}",
            )  # fmt: skip
    if "in_channels" in takes:
        backbone = model.args.get("backbone")
        where = "model.in_channels"
        given = model.args.get("in_channels")
        if given is None and isinstance(backbone, dict) and "in_channels" in backbone:  # PaddleSeg keeps it there
            where, given = "model.backbone.in_channels", backbone["in_channels"]
        if given is not None and channels is not None and given != channels:
            raise RssegError(settings.place(where), f"{given}, but the data sets have {channels} bands", "as many")
        if given is not None or channels is not None:
            added["in_channels"] = given if given is not None else channels
    return Component.model_validate({"type": model.type, **model.args, **added})


def _complete_loss(settings: Settings, ignore_index: int | None) -> Any:
    if ignore_index is None:
        return settings.loss
    types = []
    for i, loss in enumerate(settings.loss.types):
        spec = _with_ignore_index(loss.spec(), ignore_index, f"loss.types.{i}", settings)
        types.append(Component.model_validate(spec))
    return settings.loss.model_copy(update={"types": types})


def _with_ignore_index(spec: dict[str, Any], ignore_index: int, path: str, settings: Settings) -> dict[str, Any]:
    parameter = signature(LOSSES, spec["type"]).get("ignore_index")
    if "ignore_index" in spec:
        if spec["ignore_index"] != ignore_index:
            raise RssegError(
                settings.place(f"{path}.ignore_index"),
                f"{spec['ignore_index']}, but {ignore_index} in the data sets",
                "the same label",
            )
    elif parameter is not None and parameter.default != ignore_index:
        spec["ignore_index"] = ignore_index
    for key, value in spec.items():  # losses made of losses
        if isinstance(value, list):
            spec[key] = [
                _with_ignore_index(item, ignore_index, f"{path}.{key}.{i}", settings)
                if isinstance(item, dict) and "type" in item else item
                for i, item in enumerate(value)
            ]  # fmt: skip
        elif isinstance(value, dict) and "type" in value:
            spec[key] = _with_ignore_index(value, ignore_index, f"{path}.{key}", settings)
    return spec


def _default_channels(settings: Settings) -> int | None:
    parameter = signature(MODELS, settings.model.type).get("in_channels")
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def _check_normalize(settings: Settings) -> None:
    """One mean and one std a band, and inference as in training."""
    numbers = {key: normalization(getattr(settings, key)) for key in DATASET_KEYS if getattr(settings, key) is not None}
    bands = settings.model.args.get("in_channels") or _default_channels(settings)
    for key, normalize in numbers.items():
        counts = {len(normalize["mean"]), len(normalize["std"])} if normalize and bands else set()
        if counts - {1, bands}:
            raise RssegError(
                settings.place(f"{key}.transforms"),
                f"{max(counts)} values in Normalize for {bands} bands",
                "one value a band",
                f"'rsseg stats {settings.source}' computes them; model.in_channels is the number of bands",
            )
    if numbers["train_dataset"] != numbers["val_dataset"]:
        raise RssegError(
            settings.place("val_dataset.transforms"),
            f"Normalize differs: {numbers['val_dataset']} here, {numbers['train_dataset']} in train_dataset",
            "the same numbers",
            "a network must see what it was trained with",
        )
