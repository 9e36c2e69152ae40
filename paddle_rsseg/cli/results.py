"""The directory of a command's results, looked at before the work begins."""

from __future__ import annotations

import os
from pathlib import Path

from paddle_rsseg.errors import RssegError


def check_directory(path: str, option: str = "--save_dir") -> None:
    """Say at once, not after hours, that results cannot be written to ``path``; nothing is made yet.

    Raises:
        RssegError: it, or the nearest directory above it that exists, is a file or may not be written to.
    """
    whole = Path(path).absolute()
    nearest = next(place for place in (whole, *whole.parents) if place.exists())
    if not nearest.is_dir():
        raise RssegError(f"{option} {path}", f"{nearest} is a file", "a directory to write to")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise RssegError(f"{option} {path}", f"{nearest} may not be written to", "a directory to write to")
