"""Label files → class numbers: by value, by a map of values, or by colour; always exactly, never by nearness."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from paddle_rsseg.data.raster import Raster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.windows import Window

Colour = tuple[int, int, int]


class Decoder(Protocol):
    """Turns what a label file holds into class numbers."""

    def __call__(self, raw: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """H×W×C raw pixels → H×W uint8 classes, and {what has no class: how many pixels}."""
        ...


class ValueDecoder:
    """One band of numbers.

    Args:
        num_classes: K; classes are 0 … K-1.
        ignore_index: the value of unlabelled pixels, in the file and in the result.
        label_map: {value in the file: class}; None: the values are the classes. A value that the map lacks has
            no class, except ``ignore_index`` itself.
        label_nodata: another value of the file that means unlabelled.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        label_map: Mapping[int, int] | None = None,
        label_nodata: int | None = None,
    ):
        self.ignore_index = ignore_index
        classes = dict(label_map) if label_map is not None else {k: k for k in range(num_classes)}
        classes.setdefault(ignore_index, ignore_index)
        if label_nodata is not None:
            classes[label_nodata] = ignore_index
        bad = sorted(v for v in classes.values() if v != ignore_index and not 0 <= v < num_classes)
        if bad:
            raise RssegError("label_map", f"class {bad[0]}", f"0 … {num_classes - 1} or ignore_index {ignore_index}")
        self._classes = classes
        self._table = np.full(65536, -1, np.int16)
        for value, label in classes.items():
            if 0 <= value < 65536:
                self._table[value] = label

    def __call__(self, raw: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        values = raw[..., 0]
        if values.dtype in (np.uint8, np.uint16) or (
            values.dtype.kind in "iu" and values.min() >= 0 and values.max() < len(self._table)
        ):
            labels = self._table[values]
        else:  # negative or large numbers, or floats that hold whole numbers
            labels = np.full(values.shape, -1, np.int16)
            for value, label in self._classes.items():
                labels[values == value] = label
        unknown = labels < 0
        if not unknown.any():
            return labels.astype(np.uint8), {}
        labels[unknown] = self.ignore_index
        strange, counts = np.unique(values[unknown], return_counts=True)
        return labels.astype(np.uint8), {f"{v:g}": int(n) for v, n in zip(strange.tolist(), counts, strict=True)}


class ColourDecoder:
    """Three bands of colour, decoded by exact match.

    Args:
        colours: (R, G, B) of each class.
        ignore_colours: colours that mean unlabelled.
        ignore_index: what these become.
    """

    def __init__(self, colours: Sequence[Colour], ignore_colours: Sequence[Colour] = (), ignore_index: int = 255):
        self.ignore_index = ignore_index
        table = {_key(c): k for k, c in enumerate(colours)} | {_key(c): ignore_index for c in ignore_colours}
        if len(table) != len(colours) + len(ignore_colours):
            raise RssegError(
                "label_colors", "a colour that occurs twice", "each colour once, in label_colors or ignore_colors"
            )
        self._keys = np.array(sorted(table), np.uint32)
        self._labels = np.array([table[key] for key in sorted(table)], np.uint8)

    def __call__(self, raw: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        key = raw[..., 0].astype(np.uint32)
        key |= raw[..., 1].astype(np.uint32) << 8
        key |= raw[..., 2].astype(np.uint32) << 16
        at = np.searchsorted(self._keys, key).clip(max=len(self._keys) - 1)
        labels = self._labels[at]
        unknown = self._keys[at] != key
        if not unknown.any():
            return labels, {}
        labels[unknown] = self.ignore_index
        colours, counts = np.unique(key[unknown], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return labels, {
            f"#{c & 255:02X}{c >> 8 & 255:02X}{c >> 16:02X}": int(n)
            for c, n in zip(colours[order].tolist(), counts[order].tolist(), strict=True)
        }


def _key(colour: Colour) -> int:
    red, green, blue = colour
    return red | green << 8 | blue << 16


class Label:
    """A label file, read as class numbers.

    Attributes:
        path, height, width: of the file.
    """

    def __init__(self, raster: Raster, values: ValueDecoder, colours: ColourDecoder | None, colours_only: bool):
        self.raster = raster
        self._values = values
        self._colours = colours
        self._colours_only = colours_only
        self.path = raster.path

    @property
    def height(self) -> int:
        return self.raster.height

    @property
    def width(self) -> int:
        return self.raster.width

    def decode(self, window: Window | None = None) -> tuple[np.ndarray, dict[str, int]]:
        """H×W uint8 classes, and {value or ``#RRGGBB`` without a class: pixels}; such pixels are ignored ones."""
        coloured = self.raster.count >= 3
        if not coloured and (self._colours is None or not self._colours_only):
            if self.raster.count != 1:
                raise RssegError(self.path, f"a label of {self.raster.count} bands", "1 band of class numbers, or RGB")
            return self._values(self.raster.read(window))
        if self._colours is None:
            raise RssegError(
                self.path,
                f"a label of {self.raster.count} bands",
                "1 band of class numbers",
                "for a colour-coded mask give the data set label_colors: one [R, G, B] a class",
            )
        if not coloured:
            raise RssegError(
                self.path, "one band without a palette", "the colours of label_colors", "leave label_colors out"
            )
        return self._colours(self.raster.read(window, (1, 2, 3)))

    def read(self, window: Window | None = None) -> np.ndarray:
        """H×W uint8 classes.

        Unknown colours are ignored pixels, with a warning: masks are often a little dirty along their edges. An
        unknown *number* is an error: it would be an index out of range in the loss.
        """
        label, strange = self.decode(window)
        if strange:
            first, count = next(iter(strange.items()))
            if first.startswith("#"):
                warnings.warn(
                    f"{self.path}: {sum(strange.values())} pixels of {len(strange)} unknown colours ({first}: {count})"
                    " are ignored; 'rsseg doctor' lists them",
                    stacklevel=2,
                )
            else:
                raise RssegError(
                    self.path, f"label value {first} ({count} pixels)", "a class number or ignore_index",
                    "'rsseg doctor' lists all; label_map or label_nodata of the data set can rename them",
                )  # fmt: skip
        return label
