"""YAML as a tree that remembers where every value was written, so that each error can name its line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from paddle_rsseg.errors import RssegError

BASE, INHERITED = "_base_", "_inherited_"
#: aliases can make a small file grow without end; no real configuration comes near these
MAX_DEPTH, MAX_NODES = 50, 100_000
_KEY_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "merge"))


class Node(NamedTuple):
    """A value and the place it comes from: ``configs/x.yml:12`` or ``--opts``."""

    value: Any  # dict[str, Node], list[Node] or a scalar
    where: str


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but ``1e-4`` is a number (YAML 1.1 wants ``1.0e-4``)."""


_Loader.yaml_implicit_resolvers = {key: list(value) for key, value in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read(path: str | Path) -> Node:
    """The tree of one YAML file with its ``_base_`` files merged below it.

    Base paths are relative to the file that names them; of several, the one named first wins, as in PaddleSeg.

    Raises:
        RssegError: no such file, not YAML, a key written twice, bases in a circle.
    """
    return _strip(_read(Path(path), ()))


def parse(text: str, where: str) -> Node:
    """The tree of a piece of YAML; ``where`` is its origin (no line is appended if it starts with ``--``)."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return Node(None, where if where.startswith("--") else f"{where}:1")
        return _convert(loader, root, where, 0, [0])
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = where if mark is None or where.startswith("--") else f"{where}:{mark.line + 1}"
        raise RssegError(place, f"not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:  # control characters; 0x, 2024-13-45 and the like
        raise RssegError(where, f"not valid YAML: {error}") from None


def merge(over: Node, base: Node) -> Node:
    """Mappings are merged key by key, everything else of ``over`` replaces ``base``.

    A mapping with ``_inherited_: False`` replaces its base as a whole.
    """
    if not (isinstance(over.value, dict) and isinstance(base.value, dict)):
        return over
    if INHERITED in over.value and not over.value[INHERITED].value:
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        merged[key] = merge(node, base.value[key]) if key in base.value else node
    return Node(merged, over.where)


def assign(root: Node, option: str) -> Node:
    """``root`` with one ``key.sub=value`` of ``--opts`` applied; numbers in the key are list indices.

    The value is YAML; ``896,896`` and ``(896, 896)`` are lists of numbers, as PaddleSeg's users write them.
    """
    key, equals, text = option.partition("=")
    key = key.strip()
    if not equals or not key or "" in key.split("."):
        raise RssegError("--opts", repr(option), "key=value or key.sub=value", "for example --opts batch_size=4")
    return _assign(root, key.split("."), _option_value(text.strip(), f"--opts {key}"), key)


def plain(node: Node) -> Any:
    """The tree without its places: dicts, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def grow(value: Any, origin: Callable[[str], str], path: str = "") -> Node:
    """The inverse of :func:`plain` and :func:`origins`."""

    def below(key: Any) -> str:
        return f"{path}.{key}" if path else str(key)

    if isinstance(value, dict):
        return Node({key: grow(child, origin, below(key)) for key, child in value.items()}, origin(path))
    if isinstance(value, (list, tuple)):
        return Node([grow(child, origin, below(i)) for i, child in enumerate(value)], origin(path))
    return Node(value, origin(path))


def origins(node: Node, path: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, place) of the node and of everything in it."""
    yield path, node.where
    for key, child in children(node).items():
        yield from origins(child, f"{path}.{key}" if path else str(key))


def place(root: Node, path: Sequence[str | int]) -> str:
    """``file:line: dotted.key`` of a value, or of the nearest mapping around it where it was never written."""
    node = root
    for part in path:
        child = {str(key): child for key, child in children(node).items()}.get(str(part))
        if child is None:
            break
        node = child
    return at(node.where, ".".join(map(str, path)))


def at(where: str, key: str) -> str:
    """How a message names ``key`` that was written at ``where``."""
    if where.startswith("--opts "):
        return f"--opts {key}"
    if where in ("", "default"):
        return key
    return f"{where}: {key}" if key else where


def children(node: Node) -> dict[Any, Node]:
    """What is directly in a node, by key or index."""
    if isinstance(node.value, dict):
        return node.value
    return dict(enumerate(node.value)) if isinstance(node.value, list) else {}


def _read(path: Path, above: tuple[Path, ...]) -> Node:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RssegError(path, "not a text file in UTF-8", "a YAML configuration") from None
    except OSError as error:
        named_by = f"named by _base_ in {above[-1]}" if above else "see configs/ for those that ship with the project"
        raise RssegError(path, error.strerror or str(error), "a YAML configuration", named_by) from None
    root = parse(text, str(path))
    if not isinstance(root.value, dict):
        seen = "empty" if root.value is None else f"a {type(root.value).__name__} at the top"
        raise RssegError(path, seen, "a mapping of keys and values")
    bases = root.value.pop(BASE, None)
    if bases is None:
        return root
    for base in bases.value if isinstance(bases.value, list) else [bases]:
        if not isinstance(base.value, str):
            raise RssegError(f"{base.where}: {BASE}", repr(base.value), "the path of a YAML file")
        base_path = Path(os.path.normpath(path.parent / base.value))
        chain = (*above, path)
        if any(base_path.resolve() == seen.resolve() for seen in chain):
            circle = " → ".join(map(str, (*chain, base_path)))
            raise RssegError(f"{base.where}: {BASE}", f"{base_path} is based on itself", fix=circle)
        root = merge(root, _read(base_path, chain))
    return root


def _convert(loader: _Loader, node: yaml.Node, where: str, depth: int, count: list[int]) -> Node:
    place = where if where.startswith("--") else f"{where}:{node.start_mark.line + 1}"
    count[0] += 1
    if depth > MAX_DEPTH or count[0] > MAX_NODES:
        wanted = f"at most {MAX_DEPTH} levels and {MAX_NODES} values"
        raise RssegError(place, "nested too deeply or grown too large by aliases", wanted)
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        first: dict[str, int] = {}
        for key_node, _ in node.value:  # before `<<` is expanded: overriding a merged key is what it is for
            key, line = key_node.value, key_node.start_mark.line + 1
            if key_node.tag not in _KEY_TAGS:
                raise RssegError(f"{where}:{line}", f"the key {key!r} is no text", "a name", "put it in quotes")
            if key in first:
                fix = f"first in line {first[key]}: remove one"
                raise RssegError(f"{where}:{line}", f"the key {key!r} is written twice", fix=fix)
            first[key] = line
        loader.flatten_mapping(node)
        # flattening puts merged keys first, so the mapping's own keys win
        children = {}
        for key_node, value in node.value:
            child = _convert(loader, value, where, depth + 1, count)
            # the line of the key, also where a list begins on the next one
            line = child.where if where.startswith("--") else f"{where}:{key_node.start_mark.line + 1}"
            children[loader.construct_object(key_node)] = child._replace(where=line)
        return Node(children, place)
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return Node([_convert(loader, child, where, depth + 1, count) for child in node.value], place)
    return Node(loader.construct_object(node, deep=True), place)


def _option_value(text: str, where: str) -> Node:
    node = parse(text, where)
    if isinstance(node.value, str) and "," in node.value:
        several = parse(f"[{node.value.strip('()')}]", where)
        if all(isinstance(child.value, (int, float)) for child in several.value):
            return several
    return node


def _assign(node: Node, path: list[str], value: Node, key: str) -> Node:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(node.value, list):
        if not head.isdigit() or int(head) >= len(node.value):
            seen = f"{head!r} is no index of a list of {len(node.value)}"
            raise RssegError(f"--opts {key}", seen, f"0 to {len(node.value) - 1}")
        children = list(node.value)
        children[int(head)] = _assign(children[int(head)], rest, value, key)
        return Node(children, node.where)
    if not isinstance(node.value, dict):
        if node.value is not None:
            seen = f"{head!r} lies below the value {node.value!r}"
            raise RssegError(f"--opts {key}", seen, "a key below a mapping or a list")
        node = Node({}, node.where)
    missing = Node(None, f"--opts {key}")
    return Node({**node.value, head: _assign(node.value.get(head, missing), rest, value, key)}, node.where)


def _strip(node: Node) -> Node:
    """Without the ``_inherited_`` keys, which have done their work."""
    if isinstance(node.value, dict):
        return Node({key: _strip(child) for key, child in node.value.items() if key != INHERITED}, node.where)
    if isinstance(node.value, list):
        return Node([_strip(child) for child in node.value], node.where)
    return node
