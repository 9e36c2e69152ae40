"""NAIC 2020, "AI + remote sensing": 256×256 tiles, labelled twice."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from paddle_rsseg.data.datasets.base import SegmentationDataset
from paddle_rsseg.data.datasets.folders import FolderDataset
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import DATASETS


@dataclass(kw_only=True, eq=False)
class NAICDataset(SegmentationDataset):
    """What the two stages share: 100,000 satellite tiles of 256×256 pixels, RGB 8 bit.

    The organisers' test labels are not public, so ``val_images`` tiles, drawn once by ``split_seed`` from the sorted
    names, are held out of the labelled ones.

    Args:
        dataset_root: the folder of ``image_dir`` and ``mask_dir``, which pair by name.
        val_images: how many tiles are held out.
        split_seed: another number, another split.
    """

    dataset_root: str
    image_dir: str = "train/image"
    mask_dir: str = "train/label"
    val_images: int = 1000
    split_seed: int = 0

    #: the label files' value of each class
    VALUES: ClassVar[tuple[int, ...]] = ()
    LICENCE = "NAIC 2020's terms (research)"
    CITATION = "National Artificial Intelligence Challenge 2020, AI + remote sensing imagery"

    def __post_init__(self) -> None:
        self.label_map = self.label_map or {value: k for k, value in enumerate(self.VALUES)}
        super().__post_init__()

    def pairs(self) -> list[tuple[str, str | None]]:
        images, masks = (str(Path(self.dataset_root) / folder) for folder in (self.image_dir, self.mask_dir))
        if self.mode == "test":
            return FolderDataset(image_dir=images, mode="test", num_classes=self.num_classes).pairs()
        pairs = FolderDataset(image_dir=images, mask_dir=masks, mode=self.mode, num_classes=self.num_classes).pairs()
        if not 0 <= self.val_images < len(pairs):
            raise RssegError(f"{self.name}.val_images", f"{self.val_images} of {len(pairs)} tiles", "fewer than those")
        held_out = set(np.random.default_rng(self.split_seed).permutation(len(pairs))[: self.val_images].tolist())
        return [pair for i, pair in enumerate(pairs) if (i in held_out) == (self.mode == "val")]


@DATASETS.register()
@dataclass(kw_only=True, eq=False)
class NAIC1Dataset(NAICDataset):
    """NAIC 2020, stage 1: eight classes; see :class:`NAICDataset`.

    * Classes: water, transport, building, cropland, grass, forest, bare soil, other; the palette is ours.
    * Labels: 16-bit PNG with the values 100, 200 … 800; every pixel has one.
    * Licence: the competition's, for research. Citation: see ``CITATION``.
    """

    CLASSES = ("water", "transport", "building", "cropland", "grass", "forest", "bare soil", "other")
    PALETTE = (
        (0, 168, 243), (195, 195, 195), (184, 61, 186), (255, 202, 24), (196, 255, 14), (14, 209, 69), (185, 122, 86),
        (88, 88, 88),
    )  # fmt: skip
    VALUES = tuple(range(100, 900, 100))


@DATASETS.register()
@dataclass(kw_only=True, eq=False)
class NAIC2Dataset(NAICDataset):
    """NAIC 2020, stage 2: fifteen classes; see :class:`NAICDataset`.

    * Classes: as below; 5, a railway station, and 6, photovoltaics, occur nowhere and have no class.
    * Labels: 8-bit PNG with the values 1-4 and 7-17; every pixel has one.
    * Licence: the competition's, for research. Citation: see ``CITATION``.
    """

    CLASSES = (
        "water", "road", "building", "airport", "parking", "playground", "ordinary cropland", "greenhouse",
        "natural grass", "green space", "natural forest", "planted forest", "natural bare", "man-made bare", "other",
    )  # fmt: skip
    PALETTE = (
        (255, 127, 39), (255, 202, 24), (253, 236, 166), (196, 255, 14), (14, 209, 69), (140, 255, 251), (0, 168, 243),
        (63, 72, 204), (184, 61, 186), (185, 122, 86), (195, 195, 195), (236, 28, 36), (136, 0, 27), (88, 88, 88),
        (255, 174, 200),
    )  # fmt: skip
    VALUES = (1, 2, 3, 4, *range(7, 18))
