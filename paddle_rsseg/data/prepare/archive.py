"""Reading downloaded archives without trusting them and without unpacking them.

Nothing is ever extracted by name: members are decoded in memory, and what is written has names of our own
making. Archives that try something are still refused, because whatever made them is not the data set.
"""

from __future__ import annotations

import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from paddle_rsseg.errors import RssegError

#: pixels of the largest image taken; iSAID's largest has 43 million
MAX_PIXELS = 1 << 28
#: a member this large is refused if it grows more than ``MAX_RATIO``-fold; only a mask stored as an uncompressed
#: PNG comes near that, and 1,032 is the most that deflate can do
BOMB_BYTES, MAX_RATIO = 1 << 26, 500
#: left behind by desktop systems; the only things passed over in silence
JUNK = re.compile(r"(^|/)(__MACOSX/|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class PngHeader(NamedTuple):
    """The fields of a PNG's IHDR chunk."""

    width: int
    height: int
    bit_depth: int
    colour_type: int

    @property
    def is_plain_rgb(self) -> bool:
        return self.bit_depth == 8 and self.colour_type == 2


@dataclass(frozen=True)
class Member:
    """One PNG: a member of a zip, or (``name`` None) a file of its own.

    Attributes:
        path: the zip or the file.
        name: the member's name inside the zip.
        size: bytes of the PNG.
        version: changes when the content does: the CRC-32 in a zip, the modification time of a file (ns).
    """

    path: str
    name: str | None
    size: int
    version: int

    def __str__(self) -> str:
        return self.path if self.name is None else f"{self.path}[{self.name}]"

    @property
    def stem(self) -> str:
        return Path(self.name or self.path).stem

    def header(self) -> PngHeader:
        """Size and pixel format, from the first 29 bytes alone.

        Raises:
            RssegError: not a PNG, absurd dimensions, 16 bits a channel, or more bytes than such an image has.
        """
        start = self._read(29)
        if len(start) < 29 or start[:8] != PNG_SIGNATURE or start[12:16] != b"IHDR":
            raise RssegError(
                self, "is not a PNG image", "PNG files and nothing else in the archive", "download it again"
            )
        header = PngHeader(*struct.unpack(">IIBB", start[16:26]))
        if not 1 <= header.width * header.height <= MAX_PIXELS:
            raise RssegError(self, f"claims {header.width}×{header.height} pixels", f"1 to {MAX_PIXELS:,} pixels")
        if header.bit_depth > 8:
            raise RssegError(self, f"has {header.bit_depth} bits a channel", "8 bits a channel")
        # at most 4 channels, a filter byte a row, and generous room for comments and colour profiles
        if self.size > (4 * header.width + 1) * header.height * 1.01 + (1 << 20):
            raise RssegError(self, f"has {self.size:,} bytes for {header.width}×{header.height} pixels", "no zip bomb")
        return header

    def read(self) -> bytes:
        """The whole PNG; the zip's CRC is checked. RssegError if it is damaged."""
        return self._read()

    def decode(self, data: bytes | None = None) -> np.ndarray:
        """H×W×3 uint8 in BGR order, whatever the PNG's pixel format. RssegError if it is damaged."""
        buffer = np.frombuffer(self.read() if data is None else data, np.uint8)
        # exif orientation is ignored: the header's width and height are what the windows were planned by
        image = cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if buffer.size else None
        if image is None:
            raise RssegError(self, "is a truncated or damaged PNG", "a complete image", "download it again")
        return image

    def _read(self, count: int = -1) -> bytes:
        try:
            if self.name is None:
                with open(self.path, "rb") as file:
                    return file.read(count)
            with opened(self.path).open(self.name) as file:
                return file.read(count)
        # NotImplementedError: a compression this Python lacks; RuntimeError: encrypted; ValueError: closed or odd
        except (
            zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, struct.error,
            NotImplementedError, RuntimeError, ValueError, KeyError,
        ) as error:  # fmt: skip
            raise RssegError(self, f"cannot be read: {error}", "an undamaged archive", "download it again") from error


def opened(path: str) -> zipfile.ZipFile:
    """One open handle per process and archive: its directory is parsed once, not once per member."""
    status = os.stat(path)
    return _opened(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _opened(path: str, size: int, modified: int) -> zipfile.ZipFile:
    # size and time are only in the key: an archive that was replaced is opened anew
    return zipfile.ZipFile(path)


def zip_members(path: Path) -> list[Member]:
    """The PNG members of an archive, sorted by name.

    Raises:
        RssegError: truncated, encrypted, path escapes, links, repeated names, bombs, members that are no PNG.
    """
    try:
        infos = opened(str(path)).infolist()
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError) as error:
        raise RssegError(path, f"is not a complete zip archive ({error})", fix="download it again") from error
    # members that share their bytes make a small file unfold without end; honest ones cannot exceed the file
    if sum(info.compress_size for info in infos) > path.stat().st_size:
        raise RssegError(path, "its members overlap each other", "no zip bomb", "download it again")
    members: dict[str, Member] = {}
    for info in infos:
        # orig_filename: zipfile itself cuts names at NUL and mends separators before we could see them
        where, raw = f"{path}[{info.filename}]", info.orig_filename
        parts = re.split(r"[/\\]", raw)
        if raw.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", raw) or ".." in parts or "\0" in raw:
            raise RssegError(where, "the name leads out of the archive", "relative names", "do not trust this file")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise RssegError(where, "is a symbolic link", "plain files", "do not trust this file")
        if info.is_dir() or JUNK.search(raw):
            continue
        if info.flag_bits & 0x1:
            raise RssegError(where, "is encrypted", "an archive without password")
        if info.file_size > BOMB_BYTES and info.file_size > MAX_RATIO * max(info.compress_size, 1):
            ratio = info.file_size // max(info.compress_size, 1)
            raise RssegError(where, f"unfolds {ratio}-fold to {info.file_size:,} bytes", "no zip bomb")
        if not raw.lower().endswith(".png"):
            raise RssegError(where, "is not an image", "PNG files and nothing else in the archive")
        if info.filename in members:
            raise RssegError(where, "is in the archive twice", "each image once")
        members[info.filename] = Member(str(path), info.filename, info.file_size, info.CRC)
    return [members[name] for name in sorted(members)]


def folder_members(folder: Path) -> list[Member]:
    """The PNG files at any depth below ``folder``, sorted by path."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".png" and path.is_file())
    stats = [path.stat() for path in found]
    return [Member(str(path), None, s.st_size, s.st_mtime_ns) for path, s in zip(found, stats, strict=True)]
