"""Soft labels in files: for each mask a ``.npy`` of C×H×W targets, read with the sample, or written from the mask."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from paddle_rsseg.data.arrays import NpyRaster
from paddle_rsseg.data.files import write_whole
from paddle_rsseg.data.parallel import over
from paddle_rsseg.data.transforms.base import within
from paddle_rsseg.errors import RssegError

#: what the files of a folder were made with
MARKER = "soft.json"


def soft_path(folder: str | os.PathLike[str], label: str) -> Path:
    """The file of a label file."""
    return Path(folder, f"{Path(label).stem}.npy")


def check_soft_files(folder: str | os.PathLike[str], labels: Iterable[str]) -> None:
    """Look, without opening them, that each label has its file.

    Raises:
        RssegError: no such folder, a missing file, two labels of one name.
    """
    names = [soft_path(folder, label).name for label in check_names(labels)]
    try:
        there = set(os.listdir(folder))
    except OSError as error:
        raise RssegError(folder, error.strerror or str(error), "a folder of soft labels", "see soft_dir") from None
    missing = [name for name in names if name not in there]
    if missing:
        raise RssegError(
            folder, f"no soft label for {len(missing)} of {len(names)} masks, {missing[0]} first", "one a mask",
            "'rsseg soften CONFIG' writes them",
        )  # fmt: skip


def check_names(labels: Iterable[str]) -> list[str]:
    """The labels; RssegError if two of them have the same name, and so the same file."""
    seen: dict[str, str] = {}
    for label in labels:
        if seen.setdefault(Path(label).stem, label) != label:
            raise RssegError(label, f"is named as {seen[Path(label).stem]} is", "masks of different names")
    return list(seen.values())


class SoftLabel(NpyRaster):
    """A file of C×H×W targets, read as H×W×C.

    Raises:
        RssegError: the file is missing or damaged, or holds other than ``shape`` (C, H, W) floating-point numbers.
    """

    def __init__(self, path: str | os.PathLike[str], shape: Sequence[int]):
        super().__init__(path)
        # a file of two axes got a third one behind them
        if self._array.shape != tuple(shape) or self.dtype.kind != "f":
            seen = f"{self.dtype} of shape {'×'.join(map(str, self._array.shape))}"
            wanted = f"floating-point numbers of shape {'×'.join(map(str, shape))} (classes × height × width)"
            raise RssegError(self.path, seen, wanted)
        self._array = self._array.transpose(1, 2, 0)
        self.height, self.width, self.count = self._array.shape
        self._shape = tuple(shape)

    def __reduce__(self) -> Any:
        return SoftLabel, (self.path, self._shape)


def edge_smooth_targets(
    mask: np.ndarray, classes: Sequence[int] | int, radius: int = 5, alpha: float = 0.2
) -> np.ndarray:
    """The targets of ``EdgeLabelSmoothingLoss`` as an array, to be stored with ``np.save`` (NAIC_AI-RS).

    A pixel is at an edge if the square of 2r + 1 pixels around it holds more than one class. There the target is
    1 - α + α/C at the label and α/C elsewhere; other pixels have their label.

    Args:
        mask: H×W labels.
        classes: the label of each channel, or their number C if they are 0, 1, …
        radius, alpha: r and α.

    Returns:
        C×H×W float16. Pixels of another label are 0 in every channel, and make no edges.
    """
    labels = list(range(classes)) if isinstance(classes, int) else list(classes)
    within(alpha, "alpha")
    window = np.ones((2 * within(radius, "radius", 1, math.inf) + 1,) * 2, np.uint8)
    number = np.full(mask.shape, -1, np.int16)
    for c, label in enumerate(labels):
        number[mask == label] = c
    valid = number >= 0
    # OpenCV leaves out what lies outside the image, which is the same as repeating its outermost pixels
    largest = cv2.dilate(number, window)
    smallest = cv2.erode(np.where(valid, number, len(labels)).astype(np.int16), window)
    softness = np.where(valid & (largest > smallest), alpha, 0.0)
    targets = np.empty((len(labels), *mask.shape), np.float16)
    for c, target in enumerate(targets):
        target[:] = (1 - softness) * (number == c) + valid * softness / len(labels)
    return targets


class Written(NamedTuple):
    """Files that were written, and files of an earlier run that were there already."""

    new: int
    kept: int


def write_soft_labels(
    dataset: Any,
    folder: str | os.PathLike[str],
    radius: int = 5,
    alpha: float = 0.2,
    num_workers: int | None = None,
    console: Any = None,
) -> Written:
    """:func:`edge_smooth_targets` of every label of ``dataset``, one file each, C the data set's classes.

    Each file is whole or absent, so that the same call goes on after an interruption.

    Args:
        num_workers: processes; None: one per processor.
        console: where progress is shown.

    Raises:
        RssegError: a label that cannot be read; a folder that was made with other arguments; no room.
    """
    within(alpha, "alpha")
    within(radius, "radius", 1, math.inf)
    labels = check_names(item.label for item in dataset.scenes() if item.label is not None)
    if not labels:
        raise RssegError(dataset.name, "no masks", "a data set with labels")
    folder = Path(folder)
    _mark(folder, {"radius": radius, "alpha": alpha, "classes": dataset.num_classes})
    there = set(os.listdir(folder))
    todo = [item for item in dataset.scenes() if item.label and soft_path(folder, item.label).name not in there]
    for _ in over(_soften, (dataset, folder, radius, alpha), todo, num_workers, console, "soft labels"):
        pass
    return Written(len(todo), len(labels) - len(todo))


def _mark(folder: Path, made_with: dict[str, Any]) -> None:
    marker = folder / MARKER
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RssegError(folder, f"cannot be made: {error.strerror}", "a folder to write to") from None
    if marker.exists():
        try:
            before = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if before != made_with:
            raise RssegError(folder, f"holds files made with {before}", f"{made_with}", "choose another --out_dir")
    elif any(folder.glob("*.npy")):
        raise RssegError(folder, "holds .npy files of unknown origin", "an empty folder", "choose another --out_dir")
    write_whole(marker, json.dumps(made_with).encode())


def _soften(context: Any, item: Any) -> None:
    dataset, folder, radius, alpha = context
    label = dataset.open_label(item)
    try:
        targets = edge_smooth_targets(label.read(), dataset.num_classes, radius, alpha)
    finally:
        label.raster.close()
    content = io.BytesIO()
    np.save(content, targets)
    write_whole(soft_path(folder, item.label), content.getvalue())
