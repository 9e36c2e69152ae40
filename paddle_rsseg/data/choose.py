"""A validation set in which the classes are as evenly spread as the images allow (SegHZ)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paddle_rsseg.data.parallel import over
from paddle_rsseg.data.statistics import chunks
from paddle_rsseg.errors import RssegError

#: entropies that are nearer to each other differ by rounding
TIE = 1e-12


def class_counts(dataset: Any, num_workers: int | None = None, console: Any = None) -> np.ndarray:
    """M×K labelled pixels of each class in each of the M images, int64.

    Raises:
        RssegError: an image without a label, a file that cannot be read, a label value without a class.
    """
    return np.stack(list(over(_counts, dataset, dataset.scenes(), num_workers, console, "counting classes")))


def maximum_entropy(counts: np.ndarray, number: int | None = None) -> tuple[list[int], list[float]]:
    """Images in the order in which each keeps the entropy of the mean class frequencies as high as can be.

    Every image weighs the same, however many of its pixels are labelled; those without any are left out. Of equal
    choices the last one is taken. Greedy, O(number · M · K): for the best of all sets there is no such short way.

    Args:
        counts: M×K pixels of each class in each image.
        number: how many to choose; None: all.

    Returns:
        Indices of the chosen images, and the entropy in nats after each choice.

    Raises:
        RssegError: fewer images with labels than ``number``.
    """
    totals = counts.sum(axis=1)
    left = np.flatnonzero(totals > 0)
    number = len(left) if number is None else number
    if not 1 <= number <= len(left):
        raise RssegError("images to choose", f"{number} of {len(left)} with labels", f"1 to {len(left)}")
    frequencies = counts[left] / totals[left, None]
    chosen: list[int] = []
    entropies: list[float] = []
    total = np.zeros(counts.shape[1])
    for n in range(1, number + 1):
        entropy = _entropy((total + frequencies) / n)
        best = int(np.flatnonzero(entropy >= entropy.max() - TIE)[-1])
        total += frequencies[best]
        chosen.append(int(left[best]))
        entropies.append(float(entropy[best]))
        left, frequencies = np.delete(left, best), np.delete(frequencies, best, axis=0)
    return chosen, entropies


def write_list(path: str, pairs: Sequence[tuple[str, str | None]], root: str = "", separator: str = " ") -> None:
    """A list file of ``Dataset``: a line ``image label`` for each pair, relative to ``root`` where they lie in it.

    Raises:
        RssegError: a name with the separator in it, a path that cannot be written.
    """
    lines = []
    for pair in pairs:
        names = [_relative(name, root) for name in pair if name is not None]
        if any(separator in name for name in names):
            raise RssegError(path, f"a name with {separator!r}: {names}", "another --separator", "such as ','")
        lines.append(separator.join(names) + "\n")
    try:
        Path(path).write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise RssegError(path, f"cannot be written: {error.strerror}", "a writable path") from error


def _entropy(rows: np.ndarray) -> np.ndarray:
    """-Σ p ln p of each row, with 0 ln 0 = 0."""
    return -(rows * np.log(np.where(rows > 0, rows, 1.0))).sum(axis=1)


def _relative(name: str, root: str) -> str:
    inside = root and Path(name).is_relative_to(root)
    return Path(name).relative_to(root).as_posix() if inside else name


def _counts(dataset: Any, item: Any) -> np.ndarray:
    counts = np.zeros(256, np.int64)
    label = dataset.open_label(item)
    if label is None:
        raise RssegError(item.image, "no label", "a label for each image to choose from")
    with dataset.open_image(item) as image:
        for window in chunks(label.height, label.width):
            classes, valid = label.read(window), image.valid(window, dataset.nodata, dataset.bands)
            if valid is not None:
                classes[~valid] = dataset.ignore_index
            counts += np.bincount(classes.ravel(), minlength=256)
    counts[dataset.ignore_index] = 0
    return counts[: dataset.num_classes]
