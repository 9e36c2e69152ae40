"""The one registry: a name in a YAML file becomes an object, and a wrong name or argument a helpful line."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from paddle_rsseg.errors import RssegError, did_you_mean

T = TypeVar("T")


class Registry:
    """Names of one kind of thing (models, losses, …) and what builds them.

    Args:
        kind: what is registered, for messages: ``"model"``.
        package: module that registers everything of this kind when it is imported; it is imported at the
            first look-up, so that importing the registry itself stays free.
    """

    def __init__(self, kind: str, package: str):
        self.kind = kind
        self.package = package
        self._entries: dict[str, Callable[..., Any]] = {}

    def register(self, name: str | None = None) -> Callable[[T], T]:
        """Decorator: register a class or function under ``name`` (default: its own name)."""

        def add(entry: T) -> T:
            key = name or entry.__name__  # type: ignore[attr-defined]
            known = self._entries.get(key)
            if known is not None and known is not entry:
                raise ValueError(f"{self.kind} {key!r} is registered twice: {known} and {entry}")
            self._entries[key] = entry  # type: ignore[assignment]
            return entry

        return add

    def names(self) -> list[str]:
        """All registered names, sorted.

        Raises:
            RssegError: Paddle, which models and losses are made of, is not installed.
        """
        try:
            importlib.import_module(self.package)
        except ModuleNotFoundError as error:
            if error.name != "paddle":
                raise
            seen = "PaddlePaddle is not installed"
            raise RssegError("environment", seen, fix="pip install paddlepaddle (or -gpu)") from None
        return sorted(self._entries)

    def get(self, name: str, where: str = "") -> Callable[..., Any]:
        """The class or function called ``name``.

        Raises:
            RssegError: no such name; the message carries the nearest one. ``where`` is the key or file named in it.
        """
        names = self.names()
        if name not in self._entries:
            raise RssegError(where or self.kind, f"unknown {self.kind} {name!r}", fix=did_you_mean(name, names))
        return self._entries[name]

    def build(self, spec: Mapping[str, Any], where: str = "", **extra: Any) -> Any:
        """Build ``{"type": name, **arguments}``; ``extra`` are arguments that the code, not the YAML, supplies.

        Raises:
            RssegError: unknown name, unknown argument or missing argument.
        """
        arguments = {key: value for key, value in spec.items() if key != "type"}
        if "type" not in spec:
            known = f"known: {', '.join(self.names())}"
            raise RssegError(where or self.kind, "no 'type'", f"the name of a {self.kind}", known)
        entry = self.get(spec["type"], where)
        self.check_arguments(spec["type"], {**arguments, **extra}, where)
        return entry(**arguments, **extra)

    def check_arguments(self, name: str, arguments: Mapping[str, Any], where: str = "", partial: bool = False) -> None:
        """Raise RssegError unless ``arguments`` fit the signature of ``name`` (``partial``: some may be missing)."""
        parameters = inspect.signature(self.get(name, where)).parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        named = [key for key, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        for key in arguments:
            if key not in named and not open_ended:
                place = f"{where}.{key}" if where else f"{name}.{key}"
                raise RssegError(place, f"{name} takes no argument {key!r}", fix=did_you_mean(key, named))
        missing = [key for key in named if parameters[key].default is inspect.Parameter.empty and key not in arguments]
        if missing and not partial:
            seen = f"{name} misses {', '.join(map(repr, missing))}"
            raise RssegError(where or name, seen, "a value for each", "add it to the YAML")


MODELS = Registry("model", "paddle_rsseg.models")
BACKBONES = Registry("backbone", "paddle_rsseg.models.backbones")
LOSSES = Registry("loss", "paddle_rsseg.losses")
DATASETS = Registry("data set", "paddle_rsseg.data.datasets")
TRANSFORMS = Registry("transform", "paddle_rsseg.data.transforms")
