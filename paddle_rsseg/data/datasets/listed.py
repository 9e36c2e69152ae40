"""``Dataset``: images and labels named by a list file, as PaddleSeg has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_rsseg.data.datasets.base import SegmentationDataset
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import DATASETS


@DATASETS.register()
@dataclass(kw_only=True, eq=False)
class Dataset(SegmentationDataset):
    """A line of the list is ``image label``, or in test mode ``image`` alone.

    Args:
        dataset_root: what the paths in the lines are relative to.
        train_path, val_path, test_path: the list of each mode, relative to the working directory.
        separator: between image and label.
        edge: PaddleSeg's edge maps; not supported.

    Classes, palette, licence and citation are the user's.
    """

    dataset_root: str
    train_path: str | None = None
    val_path: str | None = None
    test_path: str | None = None
    separator: str = " "
    edge: bool = False

    def __post_init__(self) -> None:
        if self.edge:
            raise RssegError("Dataset.edge", "true", "false", "edge maps are not supported; leave it out")
        super().__post_init__()

    def pairs(self) -> list[tuple[str, str | None]]:
        key = f"{self.mode}_path"
        path: Any = getattr(self, key)
        if path is None:
            raise RssegError(f"Dataset.{key}", "missing", f"the list file, for mode is {self.mode!r}")
        return read_list(path, self.dataset_root, self.separator, labels=self.mode != "test")


def read_list(path: str, root: str, separator: str = " ", labels: bool = True) -> list[tuple[str, str | None]]:
    """(image, label) paths of a list file; empty lines are passed over.

    Args:
        labels: every line must have one; else it may.
    """
    if not Path(root).is_dir():
        raise RssegError(root, "no such directory", "the data set", "see dataset_root")
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not a text file"
        raise RssegError(path, reason, "a list of image and label paths", "see train_path, val_path") from error
    pairs: list[tuple[str, str | None]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.strip().split(separator)]
        if len(parts) > 2 or (labels and len(parts) == 1) or not all(parts):
            wanted = f"image{separator}label" + ("" if labels else ", or image")
            fix = "paths with spaces need another separator, in the file and in the settings" if len(parts) > 2 else ""
            raise RssegError(f"{path}:{number}", repr(line.strip()), wanted, fix)
        joined = [str(Path(root) / part) for part in parts]
        pairs.append((joined[0], joined[1] if len(joined) == 2 else None))
    if not pairs:
        raise RssegError(path, "empty", f"a line 'image{separator}label' for each image")
    return pairs
