"""The temperature that an evaluation has fitted, in a file for prediction and export."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from paddle_rsseg.data.files import replacing
from paddle_rsseg.errors import RssegError


def write_temperature(path: str | Path, temperature: float, facts: Mapping[str, Any]) -> Path:
    """Write YAML of ``temperature``, and beside it what it was fitted on; complete or absent."""
    path = Path(path)
    with replacing(path) as temporary:
        content = {"temperature": float(temperature), **facts}
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def read_temperature(given: str) -> float:
    """A temperature from a number, or from a file with ``temperature: number``.

    Raises:
        RssegError: neither, or not above 0.
    """
    where = "--temperature"
    try:
        value: Any = float(given)
    except ValueError:
        where = given
        try:
            content = yaml.safe_load(Path(given).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            seen = getattr(error, "strerror", None) or "is no YAML"
            fix = "'rsseg val --calibrate' writes one"
            raise RssegError(f"--temperature {given}", seen, "a number, or a file of one", fix) from error
        value = content.get("temperature") if isinstance(content, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise RssegError(where, f"temperature {value!r}", "a number above 0")
    return float(value)
