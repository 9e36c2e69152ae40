"""Reading the finished patches of one image back from the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from paddle_rsseg.data.prepare.archive import Member
from paddle_rsseg.data.prepare.isaid_cut import Options, files_of, histogram
from paddle_rsseg.data.prepare.isaid_source import Pair
from paddle_rsseg.errors import RssegError


def verify(pair: Pair, record: dict[str, Any], out: Path) -> None:
    """Check every file of the pair against the plan and its journal.

    Images: their header's size. Labels: decoded; one channel, size, and the histogram that was journalled, which
    holds only class ids and 255.

    Raises:
        RssegError: the first difference.
    """
    options = Options(**{key: value for key, value in record["options"].items() if key != "version"})
    files, patches = files_of(pair, options), len(options.windows(pair.height, pair.width))
    counts = {"patch_histogram": np.zeros(256, np.int64), "histogram": np.asarray(record["histogram"])}
    for i, (image_path, label_path) in enumerate(files):
        whole = i >= patches  # the full-size pair of valid_dir
        size = (pair.height, pair.width) if whole else (options.patch_height, options.patch_width)
        header = Member(str(out / image_path), None, 0, 0).header()
        if (header.height, header.width) != size:
            raise _broken(out / image_path, f"is {header.width}×{header.height}")
        label = cv2.imread(str(out / label_path), cv2.IMREAD_UNCHANGED)
        if label is None or label.shape != size:
            raise _broken(out / label_path, "cannot be read" if label is None else f"has shape {label.shape}")
        if whole:
            counts["histogram"] = np.asarray(histogram(label))
        else:
            counts["patch_histogram"] += histogram(label)
    for key, seen in counts.items():
        if (seen != record[key]).any() or seen[16:255].any():
            raise _broken(out / files[0][1], f"and its neighbours do not have the labels that were written ({key})")


def _broken(path: Path, seen: str) -> RssegError:
    return RssegError(path, seen, fix="is the disk in order? delete the file and run again")
