"""Tianchi 2021, "intelligent analysis of ecological assets": 256×256 tiles with near infrared, ten classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paddle_rsseg.data.datasets.base import SegmentationDataset
from paddle_rsseg.data.datasets.folders import FolderDataset
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import DATASETS


@DATASETS.register()
@dataclass(kw_only=True, eq=False)
class EcologyDataset(SegmentationDataset):
    """16,017 labelled tiles of 256×256 pixels.

    * Features: 8-bit TIFF of four bands: red, green, blue, near infrared. The files call the fourth one alpha; it is
      image data here, also where ``bands`` leaves it out.
    * Classes: farmland, forest, grass, road, urban, countryside, industrial, construction, water, bare land.
    * Labels: 8-bit PNG with the values 1 … 10; every pixel has one.
    * Split: every ``val_every``-th of the sorted names is held out. (The competitors split a directory in the order
      in which the disk listed it, which nobody can repeat.)
    * Licence: the competition's, for research. Citation: see ``CITATION``.

    Args:
        dataset_root: the folder of ``image_dir`` and ``mask_dir``, which pair by name.
        val_every: of how many tiles one is held out, the first of the sorted names among them.
        train_on_val: training sees the held-out tiles too, as the competition's last models did. Scores on them
            then mean nothing.
        bands: [1, 2, 3]: without near infrared, as the competitors trained.
    """

    dataset_root: str
    image_dir: str = "train"
    mask_dir: str = "train"
    val_every: int = 6
    train_on_val: bool = False
    bands: Sequence[int] | None = (1, 2, 3, 4)

    CLASSES = (
        "farmland", "forest", "grass", "road", "urban", "countryside", "industrial", "construction", "water",
        "bare land",
    )  # fmt: skip
    PALETTE = (
        (177, 191, 122), (0, 128, 0), (128, 168, 93), (62, 51, 0), (128, 128, 0), (128, 128, 128), (192, 128, 0),
        (0, 128, 128), (132, 200, 173), (128, 64, 0),
    )  # fmt: skip
    LICENCE = "Tianchi's terms of the competition (research)"
    CITATION = "Tianchi 2021, intelligent analysis of ecological assets"
    URL = "https://github.com/alexchungio/Intelligent-analysis-of-ecological-assets-compitetion-2021"
    ALPHA_IS_DATA = True

    def __post_init__(self) -> None:
        if self.val_every < 2:
            raise RssegError("EcologyDataset.val_every", f"{self.val_every}", "2 or more")
        if self.label_map is None:
            self.label_map = {k + 1: k for k in range(len(self.CLASSES))}
        super().__post_init__()

    def pairs(self) -> list[tuple[str, str | None]]:
        root = Path(self.dataset_root)
        pairs = FolderDataset(
            mode=self.mode, num_classes=self.num_classes, image_dir=str(root / self.image_dir), image_suffix=".tif",
            mask_dir=None if self.mode == "test" else str(root / self.mask_dir), mask_suffix=".png",
        ).pairs()  # fmt: skip
        if self.mode == "test" or (self.mode == "train" and self.train_on_val):
            return pairs
        return [pair for i, pair in enumerate(pairs) if (i % self.val_every == 0) == (self.mode == "val")]
