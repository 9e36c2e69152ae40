"""Scenes that were cut into patch files, put together again: each pixel once, read by windows like any raster."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio

from paddle_rsseg.data.arrays import ReadByBoth
from paddle_rsseg.errors import RssegError
from paddle_rsseg.windows import Window

#: how names tell where a patch lies: iSAID's (y0_y1_x0_x1), mmsegmentation's for Potsdam and Vaihingen
#: (x0_y0_x1_y1), and the DOTA devkit's (scale 1, then x and y)
NAMES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<scene>.+)_(?P<y0>\d+)_(?P<y1>\d+)_(?P<x0>\d+)_(?P<x1>\d+)",
        r"(?P<scene>.+)_(?P<x0>\d+)_(?P<y0>\d+)_(?P<x1>\d+)_(?P<y1>\d+)",
        r"(?P<scene>.+)__1__(?P<x0>\d+)___(?P<y0>\d+)",
    )
)


class Patch(NamedTuple):
    """Where a patch lies: the folder and name of its scene, and the window."""

    scene: str
    window: Window


def places(paths: Sequence[str], size: Callable[[int], tuple[int, int]]) -> list[Patch] | None:
    """Where each file lies in its scene, as its name tells; None if the names tell no such thing.

    Args:
        paths: of the files; one way of naming must fit all of them.
        size: (height, width) of file ``i``; asked of the first one, and of all where names do not hold the size.
    """
    for pattern in NAMES:
        found = []
        for i, path in enumerate(paths):
            match = pattern.fullmatch(Path(path).stem)
            if match is None:
                break
            at = {key: int(value) for key, value in match.groupdict().items() if key != "scene"}
            if "y1" not in at:
                height, width = size(i)
                at |= {"y1": at["y0"] + height, "x1": at["x0"] + width}
            window = Window(at["y0"], at["y1"], at["x0"], at["x1"])
            if min(window.height, window.width) < 1 or (i == 0 and (window.height, window.width) != size(0)):
                break
            found.append(Patch(str(Path(path).with_name(match["scene"])), window))
        else:
            return found if found else None
    return None


class _Pieces:
    """What image and label have in common: pieces, a size, and reading through them.

    Args:
        path: a name for messages.
        pieces: (place, raster or label) in any order. Where they overlap, the upper left one counts.
    """

    def __init__(self, path: str, pieces: Sequence[tuple[Window, Any]]):
        self.path = path
        self.pieces = sorted(pieces, key=lambda piece: piece[0])
        self.height = max(window.y1 for window, _ in pieces)
        self.width = max(window.x1 for window, _ in pieces)
        self._checked: set[int] = set()

    def _parts(self, window: Window) -> Any:
        """(piece, part of it to read, place of that in the window) of the pieces that the window touches."""
        for i, (place, piece) in enumerate(self.pieces):
            part = Window(
                max(place.y0, window.y0), min(place.y1, window.y1), max(place.x0, window.x0), min(place.x1, window.x1)
            )
            if part.y0 < part.y1 and part.x0 < part.x1:
                if i not in self._checked and (piece.height, piece.width) != (place.height, place.width):
                    seen = f"{piece.height}×{piece.width} pixels (height × width)"
                    raise RssegError(piece.path, seen, f"{place.height}×{place.width}, as its name says")
                self._checked.add(i)
                yield piece, part.moved(-place.y0, -place.x0), part.moved(-window.y0, -window.x0)
            elif place.y1 <= window.y0:
                _close(piece)  # rows come from top to bottom: it has had its turn

    def close(self) -> None:
        for _, piece in self.pieces:
            _close(piece)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Mosaic(_Pieces, ReadByBoth):
    """The interface of :class:`~paddle_rsseg.data.raster.Raster` over patches of one scene.

    Pixels that no patch covers are 0 and without data.
    """

    def __init__(self, path: str, pieces: Sequence[tuple[Window, Any]]):
        super().__init__(path, pieces)
        first, raster = self.pieces[0]
        self.count, self.readable, self.dtype = raster.count, raster.readable, raster.dtype
        self.crs, self.nodata, self.colormap = raster.crs, raster.nodata, raster.colormap
        self.descriptions = raster.descriptions
        # patches with a place on the ground know it from their own corner
        self.transform = raster.transform @ rasterio.Affine.translation(-first.x0, -first.y0)

    def read_valid(
        self, window: Window | None = None, bands: Sequence[int] | None = None, nodata: float | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """See :meth:`Raster.read_valid`."""
        window = window or Window(0, self.height, 0, self.width)
        pixels = np.zeros((window.height, window.width, self.count if bands is None else len(bands)), self.dtype)
        valid, covered = np.zeros(pixels.shape[:2], bool), np.zeros(pixels.shape[:2], bool)
        for piece, part, place in self._parts(window):
            new = ~covered[place.slices]
            if not new.any():
                continue
            image, data = piece.read_valid(part, bands, nodata)
            pixels[place.slices][new] = image[new]
            valid[place.slices][new] = True if data is None else data[new]
            covered[place.slices] = True
        return pixels, None if valid.all() else valid


class LabelMosaic(_Pieces):
    """The interface of :class:`~paddle_rsseg.data.labels.Label` over patches of one scene.

    Pixels that no patch covers are ``ignore_index``; so are those that every patch leaves unlabelled.
    """

    def __init__(self, path: str, pieces: Sequence[tuple[Window, Any]], ignore_index: int):
        super().__init__(path, pieces)
        self.ignore_index = ignore_index

    def read(self, window: Window | None = None) -> np.ndarray:
        """See :meth:`Label.read`."""
        window = window or Window(0, self.height, 0, self.width)
        label = np.full((window.height, window.width), self.ignore_index, np.uint8)
        for piece, part, place in self._parts(window):
            there = label[place.slices]
            new = there == self.ignore_index
            if new.any():
                there[new] = piece.read(part)[new]
        return label


def _close(piece: Any) -> None:
    raster = getattr(piece, "raster", piece)  # a label has one
    if hasattr(raster, "close"):
        raster.close()
