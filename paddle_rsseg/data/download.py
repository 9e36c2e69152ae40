"""Downloading data sets: tables of files with their sha256, and a fetcher that trusts nothing else.

A file appears under its name only when it is complete and its hash is right. What was received of it before an
interruption lies beside it, as ``.NAME.part``, and is continued the next time.
"""

from __future__ import annotations

import csv
import hashlib
import http.client
import os
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from paddle_rsseg import __version__
from paddle_rsseg.errors import RssegError, did_you_mean

TABLES = Path(__file__).parent / "tables"
_CHUNK = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """One file: its path below the data set's directory ("/" between the parts), its bytes, and their sha256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Table:
    """A downloadable data set.

    Attributes:
        bases: addresses to which a file's path is appended; tried in turn.
        notes: what is known of the addresses.
    """

    name: str
    title: str
    licence: str
    citation: str
    page: str
    bases: tuple[str, ...]
    notes: tuple[str, ...]
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass
class Report:
    """What a download did: paths of files fetched now, and of files that were already right."""

    fetched: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def table_names() -> list[str]:
    """The data sets there are tables for."""
    return sorted(path.stem for path in TABLES.glob("*.csv"))


def load_table(name_or_path: str | Path) -> Table:
    """The table of a data set by name, or any table by path.

    A table is a CSV file with the columns path, bytes and sha256. Comment lines ``# key: value`` before it give
    title, licence, citation, page, and any number of base and note.

    Raises:
        RssegError: no such table, a line that is none, or a path that would leave the directory.
    """
    path = Path(name_or_path)
    if path.suffix != ".csv":
        path = TABLES / f"{name_or_path}.csv"
        if str(name_or_path) not in table_names():
            raise RssegError(
                "data", f"unknown data set {str(name_or_path)!r}", fix=did_you_mean(str(name_or_path), table_names())
            )
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise RssegError(path, f"cannot be read ({error.strerror})", "a table of files") from None
    facts: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("#"):
            key, _, value = line[1:].partition(":")
            facts.setdefault(key.strip(), []).append(value.strip())
    files = []
    for number, row in enumerate(csv.DictReader(line for line in lines if not line.startswith("#")), 1):
        try:
            file = RemoteFile(row["path"], int(row["bytes"]), row["sha256"].lower())
            valid = len(bytes.fromhex(file.sha256)) == 32 and file.size >= 0
        except (KeyError, ValueError, TypeError, AttributeError):
            valid = False
        if not valid:
            raise RssegError(path, f"entry {number} is {dict(row)}", "path, bytes and a sha256 of 64 digits")
        _check_path(file.path, str(path))
        files.append(file)

    def one(key: str) -> str:
        return " ".join(facts.get(key, [""]))

    return Table(
        path.stem, one("title"), one("licence"), one("citation"), one("page"),
        tuple(facts.get("base", [])), tuple(facts.get("note", [])), tuple(files),
    )  # fmt: skip


def _check_path(path: str, where: str) -> None:
    pure = PurePosixPath(path)
    hidden = any(part in ("..", ".") or part.endswith(".part") for part in path.split("/"))
    if not path or pure.is_absolute() or hidden or any(c in path for c in '\\:\0?*"<>|'):
        raise RssegError(where, f"the path {path!r} is refused", "a path below the data set's directory")


def download(
    table: Table,
    to: str | Path,
    sources: Sequence[str] | None = None,
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
    tries: int = 3,
    timeout: float = 30.0,
) -> Report:
    """Fetch the files of a table into the directory ``to``.

    Args:
        sources: addresses to use instead of the table's own.
        workers: files under way at once.
        progress: called with (bytes done, bytes of all files), from several threads but one at a time.
        tries: attempts a file and address, with growing pauses; each goes on where the last broke off.
        timeout: seconds of silence that count as a broken connection.

    Raises:
        RssegError: a file is not to be had, or has another hash than the table says. Other files stay.
    """
    bases = tuple(sources or table.bases)
    for base in bases:
        if urllib.parse.urlsplit(base).scheme not in ("http", "https"):
            raise RssegError("data.source", repr(base), "an address that begins with http:// or https://")
    if not bases:
        raise RssegError(f"data {table.name}", "no address is known", "--source URL")
    for file in table.files:
        _check_path(file.path, table.name)
    job = _Job(table, Path(to), bases, progress, tries, timeout)
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(job.take, file) for file in table.files]
        try:
            for future in futures:
                future.result()
        except BaseException:
            job.stop.set()  # the first failure, or Ctrl-C, ends the others at their next chunk
            pool.shutdown(cancel_futures=True)
            raise
    return job.report


class _Stopped(Exception):
    """Another file failed; the message is its business."""


class _Short(Exception):
    """The connection ended before the file did."""


class _Job:
    """One download under way."""

    def __init__(
        self,
        table: Table,
        to: Path,
        bases: tuple[str, ...],
        progress: Callable[[int, int], None] | None,
        tries: int,
        timeout: float,
    ):
        self.table, self.to, self.bases, self.progress = table, to, bases, progress
        self.tries, self.timeout = tries, timeout
        self.stop = threading.Event()
        self.report = Report()
        self._lock = threading.Lock()
        self._done: dict[str, int] = {}

    def take(self, file: RemoteFile) -> None:
        """Make sure that one file is there and right."""
        if self.stop.is_set():
            return
        target = self._target(file)
        if target.is_file() and target.stat().st_size == file.size and _sha256(target) == file.sha256:
            self._count(file, file.size)
            self.report.kept.append(file.path)
            return
        part = target.with_name(f".{target.name}.part")
        troubles = []
        for base in self.bases:
            url = urllib.parse.quote(base.rstrip("/") + "/" + file.path, safe=":/%@~+")
            try:
                trouble = self._from(url, file, part)
            except _Stopped:
                return
            except OSError as error:  # the disk; errors of the network have become a trouble
                raise RssegError(
                    part, f"cannot write ({error.strerror or error})", "room and permission to write"
                ) from None
            if trouble is None:
                os.replace(part, target)
                self.report.fetched.append(file.path)
                return
            troubles.append(f"{url}: {trouble}")
        raise RssegError(
            file.path, "; ".join(troubles), f"{file.size} bytes with sha256 {file.sha256}",
            f"run the command again to go on, give another address with --source, or put the file to {target} by hand",
        )  # fmt: skip

    def _target(self, file: RemoteFile) -> Path:
        target = self.to / file.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RssegError(target.parent, f"cannot be made ({error.strerror})", "a directory to write to") from None
        # a link inside the directory must not lead out of it
        if not target.parent.resolve().is_relative_to(self.to.resolve()):
            raise RssegError(target, "leads out of the data set's directory", "a path below it", "remove the link")
        return target

    def _from(self, url: str, file: RemoteFile, part: Path) -> str | None:
        """Fetch from one address; None if ``part`` is now the file, else what went wrong."""
        trouble = "nothing tried"
        for attempt in range(self.tries):
            if attempt and self.stop.wait(0.4 * 2**attempt):
                raise _Stopped
            try:
                continued = self._receive(url, file, part)
            except urllib.error.HTTPError as error:
                trouble = f"the server says {error.code} {error.reason}"
                if error.code == 416:
                    part.unlink(missing_ok=True)  # what is there does not fit the file: from the beginning
                elif error.code < 500 and error.code not in (408, 429):
                    return trouble
                continue
            except urllib.error.URLError as error:
                trouble = f"no connection ({error.reason})"
                continue
            except (_Short, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
                trouble = f"the transfer broke off ({error or type(error).__name__})"
                continue
            digest = _sha256(part)
            if digest == file.sha256:
                return None
            part.unlink()
            self._count(file, 0)
            trouble = f"what came has sha256 {digest}"
            if not continued:
                return trouble
            # the older beginning may have been bad: once more, from the start
        return trouble

    def _receive(self, url: str, file: RemoteFile, part: Path) -> bool:
        """Append to ``part`` until it has the size of the file; whether some of it was there before."""
        have = part.stat().st_size if part.exists() else 0
        if have >= file.size:
            if have == file.size:
                return True
            part.unlink()
            have = 0
        headers = {"User-Agent": f"paddle_rsseg/{__version__}", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=self.timeout) as response:
            continued = response.status == 206
            if continued and not (response.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
                part.unlink(missing_ok=True)
                raise _Short(f"the server sent the range {response.headers.get('Content-Range')!r}")
            with open(part, "ab" if continued else "wb") as out:
                size = have if continued else 0
                while chunk := response.read(_CHUNK):
                    if self.stop.is_set():
                        raise _Stopped
                    size += len(chunk)
                    if size > file.size:
                        chunk = chunk[: len(chunk) - (size - file.size)]  # too long: the hash will tell
                        size = file.size
                        out.write(chunk)
                        break
                    out.write(chunk)
                    self._count(file, size)
        if size < file.size:
            raise _Short(f"{size} of {file.size} bytes")
        return continued

    def _count(self, file: RemoteFile, done: int) -> None:
        with self._lock:
            self._done[file.path] = done
            if self.progress:
                self.progress(sum(self._done.values()), self.table.size)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
