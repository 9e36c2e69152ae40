"""One file in, checked settings out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from paddle_rsseg import tree
from paddle_rsseg.config.components import check_components, shown, wanted
from paddle_rsseg.config.consistency import complete
from paddle_rsseg.config.schema import Settings
from paddle_rsseg.config.spelling import translate
from paddle_rsseg.errors import RssegError

log = logging.getLogger("paddle_rsseg")


def load_config(path: str | Path, opts: Sequence[str] = ()) -> Settings:
    """Read, merge, override, validate.

    Args:
        path: a YAML file, of this project or of PaddleSeg.
        opts: overrides like ``loss.types.0.gamma=3``.

    Returns:
        Settings in which ``num_classes``, ``in_channels`` and ``ignore_index`` of model and losses are filled in
        from the data sets where the file leaves them out. Files on disk are not looked at: see ``check_paths``.

    Raises:
        RssegError: anything wrong, with its line. Keys of PaddleSeg without effect are only logged.
    """
    notes: list[str] = []
    root = translate(tree.read(path), notes)
    for option in opts:
        root = tree.assign(root, option)
    if opts:
        root = translate(root, notes)
    for note in notes:
        log.warning(note)
    return _settings(root, str(path))


def loads_config(text: str, source: str = "the stored configuration", opts: Sequence[str] = ()) -> Settings:
    """Settings from YAML text, such as ``Settings.dump()`` writes; see :func:`load_config`."""
    root = translate(tree.parse(text, source), [])
    for option in opts:
        root = tree.assign(root, option)
    return _settings(root, source)


def override(settings: Settings, opts: Sequence[str]) -> Settings:
    """``settings`` with ``key.sub=value`` applied and everything checked again; the other values keep their places."""
    root = tree.grow(settings.plain(), settings.origin)
    for option in opts:
        root = tree.assign(root, option)
    return _settings(root, settings.source)


def _settings(root: tree.Node, source: str) -> Settings:
    settings = _validate(root)
    settings._source = source
    settings._origins.update(tree.origins(root))
    return complete(check_components(settings))


def _validate(root: tree.Node) -> Settings:
    try:
        return Settings.model_validate(tree.plain(root))
    except ValidationError as error:
        raise _explained(error.errors(), root) from None


def _explained(errors: Sequence[Any], root: tree.Node) -> RssegError:
    """The first of pydantic's errors as one of ours; those of a union's members belong together."""
    error, path = errors[0], _written(errors[0], root)
    where = tree.place(root, path)
    if error["type"] == "rsseg":
        return RssegError(where, error["ctx"]["seen"], error["ctx"]["wanted"], error["ctx"]["fix"])
    if error["type"] == "missing":
        return RssegError(where, "not given", f"a value for {path[-1]!r}", "add it to the YAML")
    same = (e for e in errors if _written(e, root) == path)
    return RssegError(where, shown(error["input"]), " or ".join(dict.fromkeys(wanted(e["msg"]) for e in same)))


def _written(error: Any, root: tree.Node) -> list[str | int]:
    """The path of an error, without the parts that pydantic adds for the member of a union."""
    loc = list(error["loc"])
    absent = error["type"] == "missing"
    if error["type"] == "rsseg" and error["ctx"]["key"]:
        loc.append(error["ctx"]["key"])
        absent = True  # possibly
    path: list[str | int] = []
    node = root
    for i, part in enumerate(loc):
        child = tree.children(node).get(part)
        if child is not None:
            node = child
        elif not (absent and i == len(loc) - 1):
            continue
        path.append(part)
    return path
