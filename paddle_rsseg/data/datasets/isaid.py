"""iSAID: instances of 15 object categories in DOTA's aerial images, here as semantic segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from paddle_rsseg.data.datasets.base import Item, SegmentationDataset
from paddle_rsseg.data.datasets.listed import read_list
from paddle_rsseg.data.prepare.isaid_legend import CLASSES, KIT_PALETTE, PALETTES
from paddle_rsseg.data.prepare.isaid_source import MASK_SUFFIX
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import DATASETS


@DATASETS.register()
@dataclass(kw_only=True, eq=False)
class ISAIDDataset(SegmentationDataset):
    """iSAID in one of three forms.

    * Features: 1,411 training and 458 validation images of DOTA-v1.0, 8-bit RGB PNG, 800 to 13,000 pixels long.
      FarSeg's protocol cuts them into 896×896 patches in steps of 512: 33,978 and 11,644.
    * Classes: background and 15 object categories; palette and class order of the data set's devkit.
    * Licence: annotations for academic use only; images by Google Earth, GF-2, JL-1 and CycloMedia, under their terms.
    * Citation: see ``CITATION``.

    Args:
        dataset_root: the tree that ``rsseg prepare isaid`` makes (default form and ``full``), or the unzipped
            originals (``virtual``).
        full: the whole images of ``valid_dir``, for sliding-window evaluation.
        virtual: windows of the original images, cut while reading: the same samples as the patches without the
            space of the patches. A PNG must be decoded whole for each window, so patches train faster.
        colors: colour order of the original masks, ``kit`` (the devkit's) or ``ref`` (the official FarSeg
            release's, with storage tank and roundabout exchanged).
    """

    dataset_root: str
    full: bool = False
    virtual: bool = False
    colors: str = "kit"

    CLASSES = CLASSES
    PALETTE = KIT_PALETTE
    LICENCE = "annotations: academic use only; images: terms of Google Earth, CRESDA and CycloMedia"
    CITATION = (
        "Waqas Zamir et al., iSAID: A Large-scale Dataset for Instance Segmentation in Aerial Images, CVPRW 2019;"
        " Xia et al., DOTA: A Large-scale Dataset for Object Detection in Aerial Images, CVPR 2018"
    )
    URL = "https://captain-whu.github.io/iSAID/"

    def __post_init__(self) -> None:
        if self.full and self.virtual:
            raise RssegError("ISAIDDataset", "full and virtual", "one of them")
        if self.colors not in PALETTES:
            raise RssegError("ISAIDDataset.colors", repr(self.colors), " or ".join(PALETTES))
        if self.virtual:
            self.label_colors = self.label_colors or PALETTES[self.colors]
            self.palette = self.palette or KIT_PALETTE  # of pictures: the same for patches and windows
            self.tile = self.tile or (896, 896)
            self.tile_stride = self.tile_stride or (512, 512)
        self.img_channels = self.img_channels or 3
        super().__post_init__()

    def pairs(self) -> list[tuple[str, str | None]]:
        if self.virtual:
            return self._originals()
        folder = Path(self.dataset_root) / "valid_dir" if self.full else Path(self.dataset_root)
        if self.full and self.mode == "train":
            raise RssegError(
                "ISAIDDataset.mode", "'train' with full: true", "'val'", "valid_dir holds validation images"
            )
        split = "train" if self.mode == "train" else "val"
        return read_list(str(folder / f"{split}_list.txt"), str(folder))

    def _originals(self) -> list[tuple[str, str | None]]:
        split = Path(self.dataset_root) / ("train" if self.mode == "train" else "val")
        found = [path for folder in ("images", "Semantic_masks", "masks") for path in (split / folder).rglob("*.png")]
        masks = {p.stem.removesuffix(MASK_SUFFIX): str(p) for p in found if p.stem.endswith(MASK_SUFFIX)}
        images = {p.stem: str(p) for p in found if "_instance_" not in p.stem}
        lone = sorted(images.keys() - masks.keys())
        if lone or not images:
            seen = f"{len(lone)} images without mask, {lone[0]} first" if lone else "no images"
            raise RssegError(
                split, seen, f"images/P0000.png and masks/P0000{MASK_SUFFIX}.png", "unzip the archives there"
            )
        return [(images[stem], masks[stem]) for stem in sorted(images)]

    @cached_property
    def items(self) -> list[Item]:
        """Every sample; windows in the order of the patches' file names, so that they have the patches' indices."""
        items = super().items
        if self.virtual:
            items = sorted(items, key=_patch_name)
        return items


def _patch_name(item: Item) -> str:
    assert item.window is not None
    w = item.window
    return f"{Path(item.image).stem}_{w.y0}_{w.y1}_{w.x0}_{w.x1}.png"
