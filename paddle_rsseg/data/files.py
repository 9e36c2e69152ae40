"""Files that are whole or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rasterio.errors

from paddle_rsseg.errors import RssegError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name if the block succeeds and is removed if it does not.

    The directory is made. Several processes, on several machines too, may write the same file: the last one wins.

    Raises:
        RssegError: it cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, rasterio.errors.RasterioError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RssegError(path, f"cannot be written ({why})", "a directory with room that may be written to") from error


def is_part(path: Path) -> bool:
    """Is that the name of a temporary file of :func:`replacing`?"""
    return path.name.startswith(".") and path.stem.endswith(".part")


def remove_parts(path: Path) -> None:
    """What killed processes left of ``path``; only while nobody else writes it."""
    for part in path.parent.iterdir() if path.parent.is_dir() else ():
        if is_part(part) and part.name.startswith(f".{path.stem}.") and part.suffix == path.suffix:
            part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> int:
    """Write a file so that one of that name is always whole. Returns its bytes."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return len(content)
