"""Do the registries know every component, and every argument, of the settings?"""

from __future__ import annotations

import inspect
import typing
from functools import cache
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from paddle_rsseg.config.schema import Component, Settings
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import BACKBONES, DATASETS, LOSSES, MODELS, TRANSFORMS, Registry

#: which registry an argument's component comes from; others are of the kind of what they are an argument of
ARGUMENT_KIND = {"backbone": BACKBONES, "transforms": TRANSFORMS, "losses": LOSSES, "loss": LOSSES}
#: read by `create_model` and the weights, not by the constructor
PRETRAINED = {"model": str | None, "backbone": str | None}
#: arguments that the code supplies: nothing a file may write
SUPPLIED = {"seed"}


def check_components(settings: Settings) -> Settings:
    """``settings`` with every component's arguments checked against the constructor and read as its types.

    Raises:
        RssegError: unknown class, unknown or missing argument, wrong type.
    """
    changed: dict[str, Any] = {}
    for key in ("train_dataset", "val_dataset", "test_dataset"):
        component = getattr(settings, key)
        if component is not None:
            changed[key] = _checked(component, DATASETS, key, settings)
    changed["model"] = _checked(settings.model, MODELS, "model", settings)
    types = [_checked(loss, LOSSES, f"loss.types.{i}", settings) for i, loss in enumerate(settings.loss.types)]
    changed["loss"] = settings.loss.model_copy(update={"types": types})
    return settings.model_copy(update=changed)


def signature(registry: Registry, name: str, where: str = "") -> dict[str, inspect.Parameter]:
    """The constructor's parameters that a file may set; RssegError for an unknown name."""
    parameters = inspect.signature(registry.get(name, where)).parameters
    return {
        key: parameter
        for key, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and key not in SUPPLIED
    }


@cache
def adapters(registry: Registry, name: str) -> dict[str, TypeAdapter[Any]]:
    """What checks each annotated argument of a constructor."""
    entry = registry.get(name)
    hints = typing.get_type_hints(entry.__init__ if inspect.isclass(entry) else entry)
    config = ConfigDict(arbitrary_types_allowed=True)
    return {key: TypeAdapter(hints[key], config=config) for key in signature(registry, name) if key in hints}


def _checked(component: Component, registry: Registry, path: str, settings: Settings) -> Component:
    name, args = component.type, dict(component.args)
    if registry is BACKBONES:
        name = _backbone(name, settings.place(f"{path}.type"))
    registry.get(name, settings.place(f"{path}.type"))
    pretrained = args.pop("pretrained", None) if registry.kind in PRETRAINED else None
    for key in SUPPLIED & set(args):
        raise RssegError(settings.place(f"{path}.{key}"), "not set here", f"the top-level key {key!r}")
    _check_names(name, args, registry, path, settings)
    for key, value in args.items():
        place = f"{path}.{key}"
        if _is_component(value) or (isinstance(value, list) and (key == "transforms" or any(map(_is_component, value)))):
            kind = ARGUMENT_KIND.get(key, registry)
            nested = [
                _checked(_component(item, f"{place}.{i}", settings), kind, f"{place}.{i}", settings).spec()
                for i, item in enumerate(value)
            ] if isinstance(value, list) else _checked(_component(value, place, settings), kind, place, settings).spec()
            args[key] = nested
        elif key == "backbone" and isinstance(value, str):
            args[key] = _backbone(value, settings.place(place))
        elif key in adapters(registry, name):
            args[key] = _read_as(adapters(registry, name)[key], value, settings.place(place))
    if pretrained is not None:
        if not isinstance(pretrained, str):
            raise RssegError(settings.place(f"{path}.pretrained"), repr(pretrained), "the path of a weights file")
        args["pretrained"] = pretrained
    if registry in (TRANSFORMS, LOSSES):  # cheap to build, so that values out of range are found at once too
        _try(registry, {"type": name, **args}, path, settings)
    return Component.model_validate({"type": name, **args})


def _try(registry: Registry, spec: dict[str, Any], path: str, settings: Settings) -> None:
    try:
        registry.build(spec)
    except (RssegError, ValueError, TypeError) as error:
        # constructors say "Normalize.std: …": then the place is that argument's
        where, _, text = str(error).partition(": ")
        key = where.rpartition(".")[2]
        if text and key in spec:
            raise RssegError(settings.place(f"{path}.{key}"), text) from None
        raise RssegError(settings.place(path), str(error)) from None


def _backbone(name: str, where: str) -> str:
    """The registered spelling of a backbone's name; its case does not matter."""
    same = {known.lower(): known for known in BACKBONES.names()}
    if name.lower() not in same:
        BACKBONES.get(name, where)
    return same[name.lower()]


def _check_names(name: str, args: dict[str, Any], registry: Registry, path: str, settings: Settings) -> None:
    type_origin = settings.origin(f"{path}.type").rpartition(":")[0]
    for key in args:
        origin = settings.origin(f"{path}.{key}").rpartition(":")[0]
        try:
            registry.check_arguments(name, {key: args[key]}, partial=True)
        except RssegError as error:
            text = str(error).partition(": ")[2]
            if origin != type_origin and not settings.origin(f"{path}.{key}").startswith("--opts"):
                text += "; it comes from a base file: '_inherited_: False' drops all that the base says here"
            raise RssegError(settings.place(f"{path}.{key}"), text) from None
    # what the code fills in is not missing: see `complete` and `build_dataset`
    given = {"num_classes", "in_channels", "mode", *SUPPLIED, *args}
    missing = [
        key
        for key, parameter in signature(registry, name).items()
        if parameter.default is parameter.empty and key not in given
    ]
    if missing:
        raise RssegError(
            settings.place(path), f"{name} misses {', '.join(map(repr, missing))}", "a value for each", "add it to the YAML"
        )


def _is_component(value: Any) -> bool:
    return isinstance(value, dict) and "type" in value


def _component(value: Any, path: str, settings: Settings) -> Component:
    if not _is_component(value) or not isinstance(value["type"], str):
        raise RssegError(settings.place(path), repr(value), "a mapping {type: Name, argument: value}")
    return Component.model_validate(value)


def _read_as(adapter: TypeAdapter[Any], value: Any, where: str) -> Any:
    """``value`` as the annotated type where that is plain YAML too ("1e-4" → 0.0001), else as it was."""
    try:
        result = adapter.validate_python(value)
    except ValidationError as error:
        # of a union, the reason that concerns this value most is the last: None comes first in pydantic's order
        reasons = [e["msg"].removeprefix("Input should be ").removeprefix("a valid ") for e in error.errors()]
        reasons = [r for r in dict.fromkeys(reasons) if r != "None"]
        raise RssegError(where, _shown(value), " or ".join(reasons[:3])) from None
    if isinstance(value, bool) and isinstance(result, (int, float)) and not isinstance(result, bool):
        raise RssegError(where, repr(value), "a number")
    return result if isinstance(result, (int, float, str)) else value


def _shown(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
