"""One file from the network: whole and right under its name, or not there at all.

What was received before an interruption lies beside the file, as ``.NAME.part``, and is continued the next time.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from paddle_rsseg import __version__

_CHUNK = 1 << 16


class Unavailable(Exception):
    """No address gave the file; the text says what became of each."""


class Stopped(Exception):
    """``stop`` was set."""


class _Short(Exception):
    """The connection ended before the file did."""


def sha256_of(path: Path) -> str:
    """64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def fetch(
    urls: Sequence[str],
    target: Path,
    sha256: str = "",
    size: int | None = None,
    *,
    trouble_with: Callable[[Path], str] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    stop: threading.Event | None = None,
    tries: int = 3,
    timeout: float = 30.0,
) -> str:
    """Download to ``target``, whose directory exists. An older file of that name is replaced in one step.

    Args:
        urls: addresses that are tried in turn.
        sha256: of the file, or the digits it begins with. Where it is empty, a beginning from an earlier run is not
            continued: nothing could tell whether both parts are of one file.
        size: bytes; None: what the server says.
        trouble_with: looks at the complete file before it gets its name; what it returns, if anything, is what is
            wrong with the file.
        progress: called with (bytes done, bytes of the file or None).
        stop: set by another thread to give up at the next chunk.
        tries: attempts an address, with growing pauses; each goes on where the last broke off.
        timeout: seconds of silence that count as a broken connection.

    Returns:
        The sha256 of what came.

    Raises:
        Unavailable: no address gave the right file.
        Stopped: ``stop`` was set.
        OSError: the disk; troubles of the network are Unavailable.
    """
    stop = stop or threading.Event()
    part = target.with_name(f".{target.name}.part")
    if not sha256:
        part.unlink(missing_ok=True)
    troubles = []
    for url in urls:
        url = urllib.parse.quote(url, safe=":/%@~+?=&")
        one = _Transfer(url, part, sha256.lower(), size, trouble_with, progress, stop, timeout)
        trouble = one.run(tries)
        if not trouble:
            os.replace(part, target)
            return one.digest
        troubles.append(f"{url}: {trouble}")
    raise Unavailable("; ".join(troubles))


class _Transfer:
    """The attempts at one address."""

    def __init__(
        self,
        url: str,
        part: Path,
        sha256: str,
        size: int | None,
        trouble_with: Callable[[Path], str] | None,
        progress: Callable[[int, int | None], None] | None,
        stop: threading.Event,
        timeout: float,
    ):
        self.url, self.part, self.sha256, self.size = url, part, sha256, size
        self.trouble_with, self.progress, self.stop, self.timeout = trouble_with, progress, stop, timeout
        self.digest = ""

    def run(self, tries: int) -> str:
        """Empty if ``part`` is now the file, else what went wrong."""
        trouble = "nothing tried"
        for attempt in range(tries):
            if attempt and self.stop.wait(0.4 * 2**attempt):
                raise Stopped
            try:
                continued = self.receive()
            except urllib.error.HTTPError as error:
                trouble = f"the server says {error.code} {error.reason}"
                if error.code == 416:
                    self.part.unlink(missing_ok=True)  # what is there does not fit the file: from the beginning
                elif error.code < 500 and error.code not in (408, 429):
                    return trouble
                continue
            except urllib.error.URLError as error:
                trouble = f"no connection ({error.reason})"
                continue
            except (_Short, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
                trouble = f"the transfer broke off ({error or type(error).__name__})"
                continue
            trouble = self.wrong()
            if not trouble:
                return ""
            self.part.unlink()
            self.count(0)
            if not continued:
                return trouble
            # the older beginning may have been bad: once more, from the start
        return trouble

    def wrong(self) -> str:
        """What is wrong with the complete file."""
        self.digest = sha256_of(self.part)
        if not self.digest.startswith(self.sha256):
            return f"what came has sha256 {self.digest}"
        return self.trouble_with(self.part) if self.trouble_with else ""

    def receive(self) -> bool:
        """Append to ``part`` until the file is complete; whether some of it was there before."""
        have = self.part.stat().st_size if self.part.exists() else 0
        if self.size is not None and have >= self.size:
            if have == self.size:
                return True
            self.part.unlink()
            have = 0
        headers = {"User-Agent": f"paddle_rsseg/{__version__}", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with urllib.request.urlopen(urllib.request.Request(self.url, headers=headers), timeout=self.timeout) as answer:
            span = answer.headers.get("Content-Range") or ""
            continued = answer.status == 206
            if continued and not span.startswith(f"bytes {have}-"):
                self.part.unlink(missing_ok=True)
                raise _Short(f"the server sent the range {span!r}")
            done = have if continued else 0
            rest = answer.headers.get("Content-Length")
            total = self.size if self.size is not None else done + int(rest) if rest else None
            with open(self.part, "ab" if continued else "wb") as out:
                while chunk := answer.read(_CHUNK):
                    if self.stop.is_set():
                        raise Stopped
                    # what is too long is cut off here, and its hash will tell
                    chunk = chunk if total is None else chunk[: total - done]
                    out.write(chunk)
                    done += len(chunk)
                    self.count(done, total)
                    if done == total:
                        break
        if total is not None and done < total:
            raise _Short(f"{done} of {total} bytes")
        return continued

    def count(self, done: int, total: int | None = None) -> None:
        if self.progress:
            self.progress(done, self.size if total is None else total)
