"""Finding iSAID's images and masks: in the original archives, or in a tree that somebody has unzipped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from paddle_rsseg.data.prepare.archive import JUNK, Member, folder_members, zip_members
from paddle_rsseg.errors import RssegError

SPLITS = ("train", "val")
MASK_SUFFIX = "_instance_color_RGB"
INSTANCE_SUFFIX = "_instance_id_RGB"  # the devkit's instance numbers, beside the images in its layout; not needed
#: below ``<root>/<split>``: ``images`` (all layouts), masks as in the archives, or as in the official FarSeg release
FOLDERS = ("images", "Semantic_masks", "masks")


@dataclass(frozen=True)
class Pair:
    """One image and its colour mask, of equal size.

    Attributes:
        split: ``train`` or ``val``.
        stem: the image's name, ``P0003``.
        height, width: pixels of both.
    """

    split: str
    stem: str
    image: Member
    mask: Member
    height: int
    width: int

    @property
    def identity(self) -> dict[str, list[int]]:
        """Changes when the content of either file does."""
        return {"image": [self.image.size, self.image.version], "mask": [self.mask.size, self.mask.version]}


def find_pairs(root: Path, split: str) -> list[Pair]:
    """All pairs of one split, sorted by name; empty if the split is not there at all.

    ``<root>/<split>/{images,Semantic_masks}/*.zip`` if there are any zips, else PNG files at any depth of
    ``images``, ``Semantic_masks`` and ``masks``. Only the first bytes of each file are read.

    Raises:
        RssegError: a bad archive; an image without mask, a mask without image, a name that occurs twice, a mask
            of another size than its image.
    """
    folders = [root / split / name for name in FOLDERS]
    archives = sorted(path for folder in folders for path in folder.glob("*.zip"))
    members = [m for path in archives for m in zip_members(path)]
    if not archives:
        members = [m for folder in folders for m in folder_members(folder) if not JUNK.search(m.path)]
    images: dict[str, Member] = {}
    masks: dict[str, Member] = {}
    for member in members:
        stem = member.stem
        if stem.endswith(INSTANCE_SUFFIX):
            continue
        group, key = (masks, stem.removesuffix(MASK_SUFFIX)) if stem.endswith(MASK_SUFFIX) else (images, stem)
        if not re.fullmatch(r"[\w.-]+", key):
            raise RssegError(
                member, f"the name {key!r} would break the list files", "letters, digits, '_', '-' and '.'"
            )
        if key in group:
            raise RssegError(member, f"{key} is there twice", "each name once", f"the other is {group[key]}")
        group[key] = member
    _check_complete(images, masks, f"{root / split}")
    return [_pair(split, stem, images[stem], masks[stem]) for stem in sorted(images)]


def _check_complete(images: dict[str, Member], masks: dict[str, Member], where: str) -> None:
    for these, those, this, that in ((images, masks, "image", "mask"), (masks, images, "mask", "image")):
        lone = sorted(these.keys() - those.keys())
        if lone:
            names = ", ".join(lone[:3]) + (", …" if len(lone) > 3 else "")
            raise RssegError(
                where, f"{len(lone)} of {len(these)} {this}s without {that}: {names}", f"one {that} for each {this}",
                f"is an archive of {that}s missing? ({'/'.join(FOLDERS[:2])}/*.zip)",
            )  # fmt: skip


def _pair(split: str, stem: str, image: Member, mask: Member) -> Pair:
    seen, wanted = mask.header(), image.header()
    if seen[:2] != wanted[:2]:
        raise RssegError(
            mask, f"is {seen.width}×{seen.height} (width × height)", f"its image's size, {wanted.width}×{wanted.height}"
        )
    return Pair(split, stem, image, mask, wanted.height, wanted.width)
