"""Archives that are damaged or mean harm: one clear line, and nothing of them in the tree."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from isaid_fixture import add_pair, colour, image_of, make_zip, png

from paddle_rsseg.data.prepare.isaid import prepare_isaid
from paddle_rsseg.data.prepare.isaid_cut import Options
from paddle_rsseg.errors import RssegError

OPTIONS = Options(40, 40, 0)
IMAGE, MASK = png(image_of(60, 60, 0)), png(colour(np.zeros((60, 60), int)))
PART = Path("val/images/part1.zip")


@pytest.fixture
def root(tmp_path) -> Path:
    """One good pair; each test adds or spoils something."""
    make_zip(tmp_path / PART, {"images/P0001.png": IMAGE})
    make_zip(tmp_path / "val/Semantic_masks/images.zip", {"images/P0001_instance_color_RGB.png": MASK})
    return tmp_path


def refused(root: Path, match: str, untouched: bool = True) -> str:
    with pytest.raises(RssegError) as caught:
        prepare_isaid(root, root / "out", OPTIONS, num_workers=0)
    message = str(caught.value).replace(str(root), "")  # pytest names the directory after the test
    assert re.search(match, message), message
    assert "\n" not in message
    files = [p for p in (root / "out").rglob("*") if p.is_file()] if (root / "out").exists() else []
    if untouched:
        assert not (root / "out").exists(), files
    assert not [p for p in files if p.suffix in (".png", ".txt", ".partial")]
    return message


def add(root: Path, name: str, content: bytes = IMAGE, **attributes) -> None:
    info = zipfile.ZipInfo(name)
    info.filename = name  # the constructor mends what we want to be wrong
    info.compress_type = zipfile.ZIP_DEFLATED
    for key, value in attributes.items():
        setattr(info, key, value)
    with zipfile.ZipFile(root / PART, "a") as archive:
        archive.writestr(info, content)


def test_the_fixture_itself_is_accepted(root):
    prepare_isaid(root, root / "out", OPTIONS, num_workers=0)


@pytest.mark.parametrize(
    "name", ["../P0002.png", "images/../../P0002.png", "/etc/P0002.png", "C:/P0002.png", "..\\P0002.png", "\\P0002.png"]
)
def test_path_escape(root, name):
    add(root, name)
    refused(root, "leads out of the archive")
    assert not list(root.parent.glob("P0002.png"))


def test_symbolic_link(root):
    add(root, "images/P0002.png", b"/etc/passwd", external_attr=0o120777 << 16)
    refused(root, "symbolic link")


def test_not_an_image(root):
    add(root, "images/readme.txt", b"hello")
    refused(root, r"readme\.txt\]: is not an image")


def test_not_an_image_in_spite_of_its_name(root):
    add(root, "images/P0002.png", b"#!/bin/sh\n" * 10)
    add_pair(root, "val", "P0003", IMAGE, MASK)
    make_zip(root / "val/Semantic_masks/two.zip", {"images/P0002_instance_color_RGB.png": MASK})
    refused(root, r"P0002\.png\]: is not a PNG")


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_truncated_archive(root, keep):
    data = (root / PART).read_bytes()
    (root / PART).write_bytes(data[: int(len(data) * keep)])
    refused(root, "not a complete zip archive.*download it again")


def test_an_archive_that_is_none(root):
    (root / PART).write_bytes(b"<html>404</html>")
    refused(root, "not a complete zip archive")
    (root / PART).write_bytes(b"")
    refused(root, "not a complete zip archive")


def test_bad_crc(root):
    """Found only when the whole member is read, so the tree exists, but holds no file of it and no lists."""
    data = bytearray((root / PART).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (root / PART).write_bytes(data)
    refused(root, r"part1\.zip\[images/P0001\.png\]: cannot be read|damaged", untouched=False)


def test_a_damaged_mask_takes_nothing_with_it_and_a_mended_one_continues(root):
    """The other images stay finished, and the run continues once the archive is replaced."""
    good = (root / "val/Semantic_masks/images.zip").read_bytes()
    add_pair(root, "train", "P0007", IMAGE, MASK)
    spoilt = bytearray(good)
    spoilt[len(spoilt) // 2] ^= 0xFF
    (root / "val/Semantic_masks/images.zip").write_bytes(spoilt)
    with pytest.raises(RssegError, match=r"cannot be read|damaged"):
        prepare_isaid(root, root / "out", OPTIONS, num_workers=1)
    assert not list((root / "out").glob("*/val/*"))
    assert not (root / "out/prepare.json").exists()


def test_truncated_png(root):
    make_zip(root / PART, {"images/P0001.png": IMAGE[: len(IMAGE) // 2]})
    refused(root, "truncated or damaged PNG", untouched=False)


def png_claiming(width: int, height: int, depth: int = 8, body: bytes = b"") -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + body


@pytest.mark.parametrize("size", [(0, 60), (60, 0), (2**31 - 1, 2**31 - 1), (1 << 20, 1 << 20), (1 << 28, 2)])
def test_absurd_dimensions(root, size):
    make_zip(root / PART, {"images/P0001.png": png_claiming(*size)})
    refused(root, "pixels")


def test_sixteen_bits(root):
    make_zip(root / PART, {"images/P0001.png": png_claiming(60, 60, depth=16)})
    refused(root, "16 bits")


def test_bomb_by_ratio(root):
    make_zip(root / PART, {"images/P0001.png": png_claiming(20000, 13000, body=bytes(80 << 20))})
    refused(root, "unfolds .*-fold")


def test_bomb_by_size(root):
    """Within the ratio, but far more bytes than 60×60 pixels have."""
    noise = np.random.default_rng(0).bytes(4 << 20)
    make_zip(root / PART, {"images/P0001.png": png_claiming(60, 60, body=noise)})
    refused(root, "bytes for 60×60 pixels")


def test_overlapping_members(root):
    """Two directory entries that share one member's bytes."""
    with zipfile.ZipFile(root / PART, "a") as archive:
        twin = zipfile.ZipInfo("images/P0002.png")
        first = archive.infolist()[0]
        for key in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
            setattr(twin, key, getattr(first, key))
        archive.filelist.append(twin)
        archive.NameToInfo[twin.filename] = twin
        archive._didModify = True
    refused(root, "its members overlap each other")


def test_encrypted(root):
    data = bytearray((root / PART).read_bytes())
    local, central = data.find(b"PK\x03\x04"), data.find(b"PK\x01\x02")
    data[local + 6] |= 1
    data[central + 8] |= 1
    (root / PART).write_bytes(data)
    refused(root, "is encrypted; expected an archive without password")


def test_unknown_compression(root):
    data = bytearray((root / PART).read_bytes())
    local, central = data.find(b"PK\x03\x04"), data.find(b"PK\x01\x02")
    data[local + 8] = data[central + 10] = 97
    (root / PART).write_bytes(data)
    refused(root, "compression")


def test_mask_of_another_size(root):
    make_zip(root / PART, {"images/P0001.png": png(image_of(60, 61, 0))})
    refused(root, r"is 60×60 \(width × height\); expected its image's size, 61×60")


def test_image_without_mask_and_mask_without_image(root):
    add(root, "images/P0002.png")
    refused(root, "1 of 2 images without mask: P0002")
    make_zip(root / PART, {"images/P0005.png": IMAGE})
    refused(root, "images without mask: P0005")
    make_zip(root / "val/Semantic_masks/more.zip", {"images/P0005_instance_color_RGB.png": MASK})
    refused(root, "1 of 2 masks without image: P0001")


def test_one_name_twice(root):
    make_zip(root / "val/images/part2.zip", {"images/P0001.png": IMAGE})
    refused(root, "P0001 is there twice")


def test_a_name_that_breaks_the_lists(root):
    add(root, "images/P0001 copy.png")
    refused(root, "would break the list files")


def test_damage_inside_a_worker_process_is_one_line(root):
    make_zip(root / PART, {"images/P0001.png": IMAGE[: len(IMAGE) // 2]})
    with pytest.raises(RssegError, match="truncated or damaged PNG"):
        prepare_isaid(root, root / "out", OPTIONS, num_workers=1)
