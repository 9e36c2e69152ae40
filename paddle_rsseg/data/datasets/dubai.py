"""Dubai: "Semantic segmentation of aerial imagery", a small real set in the public domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paddle_rsseg.data.datasets.base import SegmentationDataset
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import DATASETS


@DATASETS.register()
@dataclass(kw_only=True, eq=False)
class DubaiDataset(SegmentationDataset):
    """72 satellite images of Dubai in 8 tiles, with hand-drawn labels of five land-cover classes.

    * Features: 8-bit RGB JPEG, 509 to 1126 pixels wide, sizes differ by a pixel within a tile; no georeference, the
      ground resolution differs from tile to tile. The nine parts of a tile join to a 3×3 mosaic.
    * Classes: building, land (unpaved area), road, vegetation, water. Unlabeled and black pixels are ignored.
    * Labels: colour masks, RGB in some tiles and palette PNGs in others. The colours are those below, not those of
      the ``classes.json`` that comes with the files.
    * Split: by tile, never by part; tiles 1 and 3 share a corner.
    * Licence: CC0 1.0. By the Mohammed Bin Rashid Space Centre (images) and Humans in the Loop (labels).

    Args:
        dataset_root: the folder of ``Tile 1`` …
        tiles: which; None: 1-4 in training, 5 and 6 otherwise.
    """

    dataset_root: str
    tiles: Sequence[int] | None = None

    CLASSES = ("building", "land", "road", "vegetation", "water")
    PALETTE = ((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41))
    #: unlabeled, and a few black pixels that are no class
    IGNORED = ((155, 155, 155), (0, 0, 0))
    LICENCE = "CC0 1.0"
    CITATION = "Humans in the Loop and Mohammed Bin Rashid Space Centre, Semantic Segmentation of Aerial Imagery, 2020"
    URL = "https://humansintheloop.org/resources/datasets/semantic-segmentation-dataset/"

    def __post_init__(self) -> None:
        self.label_colors = self.label_colors or self.PALETTE
        self.ignore_colors = self.ignore_colors or self.IGNORED
        super().__post_init__()

    def pairs(self) -> list[tuple[str, str | None]]:
        tiles = self.tiles if self.tiles is not None else (1, 2, 3, 4) if self.mode == "train" else (5, 6)
        pairs: list[tuple[str, str | None]] = []
        for tile in tiles:
            folder = Path(self.dataset_root) / f"Tile {tile}"
            images = sorted((folder / "images").glob("*.jpg"))
            if not images:
                fix = "'rsseg data get dubai' downloads the set"
                raise RssegError(folder, "no images", "images/image_part_001.jpg …", fix)
            pairs += [(str(image), str(folder / "masks" / f"{image.stem}.png")) for image in images]
        return pairs
