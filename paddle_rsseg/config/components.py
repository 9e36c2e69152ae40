"""Do the registries know every component, and every argument, of the settings?"""

from __future__ import annotations

import inspect
import typing
from functools import cache
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from paddle_rsseg.config.pretrained import read_pretrained
from paddle_rsseg.config.schema import Component, Settings
from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.registry import BACKBONES, DATASETS, LOSSES, MODELS, TRANSFORMS, Registry

#: which registry an argument's component comes from; others are of the kind of what they are an argument of
ARGUMENT_KIND = {"backbone": BACKBONES, "transforms": TRANSFORMS, "losses": LOSSES, "loss": LOSSES}
#: read by `create_model` and the weights, not by the constructor
PRETRAINED = {"model", "backbone"}
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
        kind = ARGUMENT_KIND.get(key, registry)
        if isinstance(value, dict) and ("type" in value or key in ARGUMENT_KIND):
            args[key] = _checked(_component(value, place, settings), kind, place, settings).spec()
        elif isinstance(value, list) and (
            key in ARGUMENT_KIND or any(isinstance(v, dict) and "type" in v for v in value)
        ):
            places = [f"{place}.{i}" for i in range(len(value))]
            components = [_component(item, p, settings) for item, p in zip(value, places, strict=True)]
            args[key] = [_checked(c, kind, p, settings).spec() for c, p in zip(components, places, strict=True)]
        elif key == "backbone" and isinstance(value, str):
            args[key] = _backbone(value, settings.place(place))
        elif key in adapters(registry, name):
            args[key] = _read_as(adapters(registry, name)[key], value, settings.place(place))
    if pretrained is not None:
        read_pretrained(pretrained, settings.place(f"{path}.pretrained"))
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
    takes = signature(registry, name)
    choices = [*takes, "pretrained"] if registry.kind in PRETRAINED else list(takes)
    type_file = settings.origin(f"{path}.type").rpartition(":")[0]
    for key in args:
        if key not in takes:
            origin = settings.origin(f"{path}.{key}")
            from_base = not origin.startswith("--opts") and origin.rpartition(":")[0] != type_file
            hint = "; it comes from a base file: '_inherited_: False' drops all that the base says here"
            raise RssegError(
                settings.place(f"{path}.{key}"),
                f"{name} takes no argument {key!r}",
                fix=did_you_mean(key, choices) + (hint if from_base else ""),
            )
    # what the code fills in is not missing: see `complete` and `build_dataset`
    given = {"num_classes", "in_channels", "mode", *SUPPLIED, *args}
    missing = [key for key, parameter in takes.items() if parameter.default is parameter.empty and key not in given]
    if missing:
        raise RssegError(
            settings.place(path),
            f"{name} misses {', '.join(map(repr, missing))}",
            "a value for each",
            "add it to the YAML",
        )


def _component(value: Any, path: str, settings: Settings) -> Component:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise RssegError(settings.place(path), repr(value), "a mapping {type: Name, argument: value}")
    return Component.model_validate(value)


def _read_as(adapter: TypeAdapter[Any], value: Any, where: str) -> Any:
    """``value`` as the annotated type where that is plain YAML too ("1e-4" → 0.0001), else as it was."""
    try:
        result = adapter.validate_python(value)
    except ValidationError as error:
        reasons = dict.fromkeys(wanted(e["msg"]) for e in error.errors())
        raise RssegError(where, shown(value), " or ".join(r for r in reasons if r != "None")) from None
    if isinstance(value, bool) and isinstance(result, (int, float)) and not isinstance(result, bool):
        raise RssegError(where, repr(value), "a number")
    return result if isinstance(result, (int, float, str)) else value


def wanted(message: str) -> str:
    """What pydantic's message asks for: "Input should be a valid number, unable to …" → "a number"."""
    text = message.removeprefix("Input should be ").partition(", unable to")[0]
    return text.replace("a valid ", "a " if text[8:9] not in "aeiou" else "an ")


def shown(value: Any, limit: int | None = 80) -> str:
    """A value in one line of YAML, cut if longer than ``limit``."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
    return text if limit is None or len(text) <= limit else f"{text[: limit - 1]}…"
