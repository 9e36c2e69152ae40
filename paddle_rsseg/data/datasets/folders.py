"""``FolderDataset``: images in one folder, masks in another, paired by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paddle_rsseg.data.datasets.base import SegmentationDataset
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import DATASETS

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".vrt", ".bmp", ".webp", ".jp2", ".img", ".npy"}


@DATASETS.register()
@dataclass(kw_only=True, eq=False)
class FolderDataset(SegmentationDataset):
    """``image_dir/NAME<image_suffix>`` and ``mask_dir/NAME<mask_suffix>``, for every NAME.

    Args:
        image_dir, mask_dir: folders, relative to the working directory; the same one if the suffixes differ.
            No ``mask_dir``: test mode.
        image_suffix, mask_suffix: end of the file names, such as ``_sat.jpg`` and ``_mask.png``. Empty: any image
            file, paired by the name without extension.
        recursive: also in the folders below, paired by the path relative to the folder.

    Classes, palette, licence and citation are the user's.
    """

    image_dir: str
    mask_dir: str | None = None
    image_suffix: str = ""
    mask_suffix: str = ""
    recursive: bool = False

    def pairs(self) -> list[tuple[str, str | None]]:
        images = self._named(self.image_dir, self.image_suffix, self.mask_suffix)
        if self.mask_dir is None:
            if self.mode != "test":
                raise RssegError("FolderDataset.mask_dir", "missing", f"a folder, for mode is {self.mode!r}")
            return [(images[name], None) for name in sorted(images)]
        masks = self._named(self.mask_dir, self.mask_suffix, self.image_suffix)
        lone = sorted(images.keys() - masks.keys()) if self.mode != "test" else []
        if lone:
            raise RssegError(
                self.mask_dir,
                f"no mask for {len(lone)} of {len(images)} images, {lone[0]!r} first",
                f"a file {lone[0]}{self.mask_suffix or '.png'}",
                "image_suffix and mask_suffix say what stands between the common name and the end",
            )
        return [(images[name], masks.get(name)) for name in sorted(images)]

    def _named(self, folder: str, suffix: str, other: str) -> dict[str, str]:
        """{common name: path}"""
        root = Path(folder)
        if not root.is_dir():
            raise RssegError(folder, "no such directory", "a folder of images")
        named: dict[str, str] = {}
        for path in root.rglob("*") if self.recursive else root.iterdir():
            # in a shared folder the masks must not be taken for images
            other_kind = other and not suffix.endswith(other) and path.name.endswith(other) and len(other) > len(suffix)
            if path.suffix.lower() not in IMAGE_SUFFIXES or not path.name.endswith(suffix) or other_kind:
                continue
            relative = path.relative_to(root)
            name = str(relative)[: -len(suffix)] if suffix else str(relative.with_suffix(""))
            if name in named:
                raise RssegError(path, f"the name {name!r} is also that of {named[name]}", "one file a name")
            named[name] = str(path)
        return named
