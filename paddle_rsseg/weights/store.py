"""From a path or a name of the table to a file on disk: looked for in the local folder, else downloaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from paddle_rsseg.config.pretrained import looks_like_a_name
from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.fetch import Unavailable, fetch, sha256_of
from paddle_rsseg.weights.native import find_weights
from paddle_rsseg.weights.table import Entry, entries

VARIABLE = "RSSEG_WEIGHTS"


def weights_folder() -> Path:
    """``$RSSEG_WEIGHTS``, else ``paddle_rsseg/weights`` in the user's cache (``$XDG_CACHE_HOME`` or ``~/.cache``)."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "paddle_rsseg" / "weights"


def is_name(value: str) -> bool:
    """Whether ``value`` is to be read as a name of the table rather than as a path."""
    return value in entries() or looks_like_a_name(value)


def locate(
    weights: str | os.PathLike,
    folder: str | os.PathLike | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    download: bool = True,
    tries: int = 3,
) -> tuple[Path, Entry | None]:
    """The file that a path or a name of the table means.

    Args:
        weights: an existing path wins over a name.
        folder: where known files lie and are downloaded to; None: :func:`weights_folder`.
        progress: called with (bytes done, bytes of the file or None) while something is downloaded.
        download: False: only look.
        tries: attempts to download.

    Returns:
        the file, and its row of the table if it was named.

    Raises:
        RssegError: no such file or name; a file with another hash than the table's; or a download that failed: the
            message names the file, its address and where to put it.
    """
    name = str(weights)
    if Path(weights).exists() or not is_name(name):
        return find_weights(weights), None
    known = entries()
    if name not in known:
        raise RssegError(name, "neither a file nor known weights", "a path, or a name of 'rsseg weights list'",
                         did_you_mean(name, known))  # fmt: skip
    entry = known[name]
    target = (Path(folder) if folder else weights_folder()) / entry.file
    if target.is_file():
        digest = sha256_of(target) if entry.sha256 else ""
        if not digest.startswith(entry.sha256):
            raise RssegError(target, f"sha256 {digest}", f"{entry.sha256}…", f"remove it, then {name} is fetched anew")
        return target, entry
    by_hand = f"fetch {entry.url} elsewhere and put it to {target}"
    if not download:
        raise RssegError(name, "not in the local folder", str(target), by_hand)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fetch([entry.url], target, entry.sha256, trouble_with=_no_weights, progress=progress, tries=tries)
    except Unavailable as error:
        raise RssegError(name, f"{entry.file} is not in {target.parent}, and {error}", "the file", by_hand) from None
    except OSError as error:
        raise RssegError(target, f"cannot write ({error.strerror or error})", "room and permission to write",
                         f"another folder: --weights_dir, or ${VARIABLE}") from None  # fmt: skip
    return target, entry


def _no_weights(path: Path) -> str:
    """What is wrong with a file whose hash is not known: a login page comes under any address."""
    with open(path, "rb") as file:
        head = file.read(9)
    if head.startswith((b"PK\x03\x04", b"\x80")) or head[8:9] == b"{":
        return ""
    return f"what came begins with {head!r} and is no weights file"
