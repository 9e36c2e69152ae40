"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from paddle_rsseg.errors import RssegError


def write_whole(path: Path, content: bytes) -> int:
    """Write under a temporary name and rename: a file with its own name is always whole. Returns its bytes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise RssegError(path, f"cannot be written: {error.strerror}", fix="run again to continue") from error
        raise
    return len(content)
