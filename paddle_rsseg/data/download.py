"""Downloading data sets: tables of files with their sha256, fetched by several threads (see paddle_rsseg.fetch)."""

from __future__ import annotations

import csv
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.fetch import Stopped, Unavailable, fetch, sha256_of

TABLES = Path(__file__).parent / "tables"


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
        if target.is_file() and target.stat().st_size == file.size and sha256_of(target) == file.sha256:
            self._count(file, file.size)
            self.report.kept.append(file.path)
            return
        try:
            fetch(
                [f"{base.rstrip('/')}/{file.path}" for base in self.bases], target, file.sha256, file.size,
                progress=lambda done, _: self._count(file, done),
                stop=self.stop, tries=self.tries, timeout=self.timeout,
            )  # fmt: skip
        except Stopped:  # another file failed; the message is its business
            return
        except Unavailable as error:
            raise RssegError(
                file.path, str(error), f"{file.size} bytes with sha256 {file.sha256}",
                "run the command again to go on, give another address with --source, "
                f"or put the file to {target} by hand",
            ) from None  # fmt: skip
        except OSError as error:
            raise RssegError(
                target, f"cannot write ({error.strerror or error})", "room and permission to write"
            ) from None
        self.report.fetched.append(file.path)

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

    def _count(self, file: RemoteFile, done: int) -> None:
        with self._lock:
            self._done[file.path] = done
            if self.progress:
                self.progress(sum(self._done.values()), self.table.size)
