"""The nine-class land cover of the "remote_review" competition: numbered tiles of up to 512×512 pixels."""

from dataclasses import dataclass
from pathlib import Path

from paddle_rsseg.data.datasets.base import SegmentationDataset
from paddle_rsseg.data.datasets.folders import FolderDataset
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import DATASETS


@DATASETS.register()
@dataclass(kw_only=True, eq=False)
class LandCover9Dataset(SegmentationDataset):
    """35,000 labelled tiles of up to 512×512 pixels, named by their numbers 0 … 34999.

    * Features: TIFF; the competitors read three 8-bit bands of them. ``bands`` chooses those of other files.
    * Classes: background, field, grass, building, road, construction, dig, desert, water; the palette is ours.
    * Labels: 8-bit PNG with the values 0 … 8; 255 is ignored.
    * Split: numbers up to ``last_val`` are val, the others train.
    * Licence: the competition's, for research. Citation: see ``CITATION``.

    Args:
        dataset_root: the folder of ``image_dir`` and ``mask_dir``, which pair by name.
        last_val: the last number of the validation set.
        train_on_val: training sees the validation tiles too, as the competition's last models did. Scores on them
            then mean nothing.
    """

    dataset_root: str
    image_dir: str = "images"
    mask_dir: str = "labels"
    last_val: int = 7000
    train_on_val: bool = False

    CLASSES = ("background", "field", "grass", "building", "road", "construction", "dig", "desert", "water")
    PALETTE = (
        (0, 0, 0), (255, 211, 0), (38, 166, 91), (224, 60, 49), (156, 156, 156), (184, 61, 186), (133, 94, 66),
        (240, 230, 180), (0, 112, 255),
    )  # fmt: skip
    LICENCE = "the competition's terms (research)"
    CITATION = "CarnoZhao, mmsegmentation, branch remote_review"
    URL = "https://github.com/CarnoZhao/mmsegmentation"

    def pairs(self) -> list[tuple[str, str | None]]:
        root = Path(self.dataset_root)
        pairs = FolderDataset(
            mode=self.mode, num_classes=self.num_classes, image_dir=str(root / self.image_dir),
            mask_dir=None if self.mode == "test" else str(root / self.mask_dir),
        ).pairs()  # fmt: skip
        numbered = sorted((_number(image), image, label) for image, label in pairs)
        everything = self.mode == "test" or (self.mode == "train" and self.train_on_val)
        return [
            (image, label)
            for number, image, label in numbered
            if everything or (number <= self.last_val) == (self.mode == "val")
        ]


def _number(path: str) -> int:
    stem = Path(path).stem
    if not stem.isdecimal():
        raise RssegError(path, f"the name {stem!r}", "a number: it decides between train and val")
    return int(stem)
