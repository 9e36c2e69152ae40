"""A network that public programs wire differently takes the name of one of them, and each of its options apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from paddle_rsseg.errors import RssegError, did_you_mean

Options = TypeVar("Options")


def wired(wirings: Mapping[str, Options], name: str, **given: Any) -> Options:
    """The options (a mapping or a named tuple) of the wiring ``name``; those given that are not None replace its own.

    Raises:
        RssegError: unknown wiring.
    """
    if name not in wirings:
        raise RssegError("model.wiring", repr(name), ", ".join(wirings), did_you_mean(str(name), wirings))
    options: Any = wirings[name]
    given = {key: value for key, value in given.items() if value is not None}
    chosen: Any = {**options, **given} if isinstance(options, Mapping) else options._replace(**given)
    return chosen
