"""Hangzhou (SegHZ): maps of the land's surface, 20 classes and the four ways in which they are merged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from paddle_rsseg.data.datasets.listed import Dataset
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import DATASETS

#: (name, colour) of the ids 1 … 20; the colours of 1, 4, 6, 7, 8, 9 and 20 are SegHZ's, the others are ours
IDS = (
    ("water", (53, 60, 172)), ("sea", (28, 34, 110)), ("wetland", (90, 140, 180)), ("suburban open", (16, 120, 218)),
    ("urban open", (96, 168, 236)), ("green land", (12, 147, 209)), ("forest", (6, 160, 204)),
    ("reflective glass", (220, 220, 220)), ("high buildings 1", (254, 195, 55)), ("high buildings 2", (244, 175, 45)),
    ("high buildings 3", (234, 155, 40)), ("high buildings 4", (224, 135, 35)), ("high buildings 5", (214, 115, 30)),
    ("high buildings 6", (204, 95, 25)), ("high buildings 7", (194, 75, 20)), ("parallel-regular", (230, 90, 120)),
    ("irregular-large", (180, 60, 150)), ("irregular", (130, 40, 110)), ("suburban village", (120, 200, 120)),
    ("road", (248, 250, 13)),
)  # fmt: skip
OPEN, GREEN = (4, 5), (6, 19)
HIGH, HIGH_AND_PARALLEL, BUILDINGS = tuple(range(9, 16)), tuple(range(9, 17)), tuple(range(9, 19))
GROUP_NAMES = {
    OPEN: "open area", GREEN: "green land", HIGH: "high buildings", HIGH_AND_PARALLEL: "high buildings",
    BUILDINGS: "buildings",
}  # fmt: skip
#: number of classes: (ids that become one, ids that are dropped)
MERGINGS: dict[int, tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]] = {
    20: ((), ()),
    14: ((HIGH,), ()),
    11: ((OPEN, GREEN, HIGH_AND_PARALLEL), ()),
    10: ((OPEN, GREEN, HIGH), (2, 3)),
    7: ((OPEN, GREEN, BUILDINGS), (2, 3)),
}
Merging = Literal[20, 14, 11, 10, 7]


def merged(merging: int) -> list[tuple[int, ...]]:
    """The ids of each class, in the order of the classes.

    A group stands where its first member stood; what is dropped is in no class; the rest is numbered consecutively.
    """
    groups, dropped = MERGINGS[merging]
    group_of = {member: group for group in groups for member in group}
    classes = [group_of.get(k, (k,)) for k in range(1, len(IDS) + 1) if k not in dropped]
    return list(dict.fromkeys(classes))


@DATASETS.register()
@dataclass(kw_only=True, eq=False)
class HangzhouDataset(Dataset):
    """Satellite tiles of Hangzhou with labels of up to 20 classes of land surface; list files name the pairs.

    * Features: 8-bit RGB tiles, 512² (stage 1, 2.4 m a pixel) or 1024² (stage 2); three large scenes for the test.
    * Classes: those of ``merging``; sea and wetland occur nowhere. 14: the seven storey classes of high buildings are
      one. 11: also suburban and urban open land, green land and villages, and parallel-regular joins the high
      buildings. 10: as 14 with open and green land merged, without sea and wetland. 7: as 10, and all buildings one.
    * Labels: ``.npy`` or PNG of the numbers 1 … C; 0, the ids that a merging drops, and those above C up to 255 are
      ignored. Each value is looked up once, so no id is merged twice.
    * Split: stage 1 706/200/200; stage 2 1505 for training, of which 300 are also the validation set. Scores on
      these 300 are therefore no honest ones.
    * Licence: none stated; map imagery of Baidu. Citation: see ``CITATION``.

    Args:
        merging: the number of classes wanted.
        stored: the number of classes in the label files: 20, or ``merging`` if they are merged already.

    A label of another scheme needs a ``label_map``: the four classes of BDCI become seven by {1: 2, 2: 6, 3: 5, 4: 0}.
    """

    merging: Merging = 7
    stored: Merging = 20

    LICENCE = "none stated"
    CITATION = "Shuai Xie, SegHZ: semantic segmentation of Hangzhou's land surface"
    URL = "https://github.com/Shuai-Xie/SegHZ"

    def __post_init__(self) -> None:
        if self.merging not in MERGINGS:
            raise RssegError("HangzhouDataset.merging", f"{self.merging}", f"one of {', '.join(map(str, MERGINGS))}")
        if self.stored not in (20, self.merging):
            seen = f"{self.stored} for merging: {self.merging}"
            raise RssegError("HangzhouDataset.stored", seen, f"20, or {self.merging}")
        if self.label_map is None:
            self.label_map = self._label_map()
        super().__post_init__()

    def _label_map(self) -> dict[int, int]:
        classes = merged(self.merging) if self.stored == 20 else [(k,) for k in range(1, self.merging + 1)]
        class_of = {member: k for k, members in enumerate(classes) for member in members}
        return {value: class_of.get(value, self.ignore_index) for value in range(256)}

    @classmethod
    def known(cls, name: str, arguments: Mapping[str, Any]) -> Any:
        groups = merged(arguments.get("merging", cls.merging))
        if name == "classes":
            return tuple(GROUP_NAMES.get(group, IDS[group[0] - 1][0]) for group in groups)
        if name == "palette":
            return tuple(IDS[group[0] - 1][1] for group in groups)
        return super().known(name, arguments)
