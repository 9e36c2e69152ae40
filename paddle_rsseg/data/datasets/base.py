"""What every data set has in common: items, raw samples, windows of large images, the same bands everywhere."""

# No "from __future__ import annotations" here: subclasses in other modules inherit these annotations, and the
# settings are checked against them, so they must be types and not names.

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from paddle_rsseg.data.labels import ColourDecoder, Label, ValueDecoder
from paddle_rsseg.data.raster import ArrayRaster, Raster, open_raster
from paddle_rsseg.data.soft import SoftLabel, check_soft_files, soft_path
from paddle_rsseg.data.transforms import Compose
from paddle_rsseg.data.view import LabelView, RasterView, StretchedRaster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.windows import Window, grid

Sample = dict[str, Any]


class Item(NamedTuple):
    """One sample: files, the window of them (None: all), and its name."""

    image: str
    label: str | None
    window: Window | None
    name: str


@dataclass(kw_only=True, eq=False)
class SegmentationDataset:
    """Images with a class number for each pixel.

    A subclass says where the files are (:meth:`pairs`) and what is known about them (the class attributes).

    Args:
        mode: which part; ``test`` needs no labels.
        transforms: components ``{type: …}`` or callables ``(sample, rng) -> sample``.
        num_classes: K; None: as many as ``classes``.
        ignore_index: label value of pixels that count nowhere.
        img_channels: PaddleSeg's name for the number of bands; only needed to insist on it.
        bands: 1-based bands of the files, in the order wanted; None: all.
        nodata: value of pixels without data where the files state none. Such pixels become ignored ones.
        classes: one name a class.
        palette: one [R, G, B] a class, for pictures of labels; it also decodes masks that have three bands.
        label_map: {value in the label file: class}.
        label_nodata: value of the label file that means unlabelled, besides ``ignore_index``.
        label_colors: one [R, G, B] a class: the masks are colour-coded, palette files included.
        ignore_colors: colours of the masks that mean unlabelled.
        stretch_labels: a label of another size than its image is stretched to it by nearest neighbour: for labels
            of a coarser map. Otherwise it is an error.
        soft_dir: a folder of soft labels, ``NAME.npy`` for each mask NAME: C×H×W float16 or float32, a target a class;
            0 in every class: the pixel does not count. Read in training only; ``rsseg soften`` writes them.
        tile: [height, width]: a sample is a window of this size; images are covered by windows in steps of
            ``tile_stride``, smaller ones filled up at the right and bottom (image 0, label ``ignore_index``).
        tile_stride: [vertical, horizontal]; None: no overlap.
        train_crop: [height, width]: in training, only a random window of the image is read: for scenes that are
            too large to be read whole. Give it somewhat more than the final crop if images are rotated or scaled.
        repeat: how often an image occurs in an epoch: for a few large scenes with ``train_crop``.
        seed: of everything random in a sample, together with epoch and index.

    A single-band picture among three-band ones is shown as grey RGB, as usual.
    """

    mode: Literal["train", "val", "test"]
    transforms: list[Any] = field(default_factory=list)
    num_classes: int | None = None
    ignore_index: int = 255
    img_channels: int | None = None
    bands: Sequence[int] | None = None
    nodata: float | None = None
    classes: Sequence[str] | None = None
    palette: Sequence[Sequence[int]] | None = None
    label_map: dict[int, int] | None = None
    label_nodata: int | None = None
    label_colors: Sequence[Sequence[int]] | None = None
    ignore_colors: Sequence[Sequence[int]] = ()
    stretch_labels: bool = False
    soft_dir: str | None = None
    tile: Sequence[int] | None = None
    tile_stride: Sequence[int] | None = None
    train_crop: Sequence[int] | None = None
    repeat: int = 1
    seed: int = 0

    #: facts of a particular data set
    CLASSES: ClassVar[tuple[str, ...]] = ()
    PALETTE: ClassVar[tuple[tuple[int, int, int], ...]] = ()
    LICENCE: ClassVar[str] = ""
    CITATION: ClassVar[str] = ""
    URL: ClassVar[str] = ""
    #: a band that the image files call alpha is image data
    ALPHA_IS_DATA: ClassVar[bool] = False

    def __post_init__(self) -> None:
        where = type(self).__name__
        if self.mode not in ("train", "val", "test"):
            raise RssegError(f"{where}.mode", repr(self.mode), "train, val or test")
        self.classes = tuple(self.classes or self.known("classes", vars(self)) or ())
        self.num_classes = len(self.classes) if self.num_classes is None else self.num_classes
        if not 1 <= self.num_classes <= 255:
            raise RssegError(
                f"{where}.num_classes", f"{self.num_classes}", "1 to 255", "or give the names, classes: [...]"
            )
        if self.classes and len(self.classes) != self.num_classes:
            raise RssegError(
                f"{where}.classes", f"{len(self.classes)} names", f"num_classes = {self.num_classes} of them"
            )
        if not 0 <= self.ignore_index <= 255:
            raise RssegError(
                f"{where}.ignore_index", f"{self.ignore_index}", "0 to 255", "label_nodata can rename a value"
            )
        self.bands = None if self.bands is None else tuple(self.bands)
        if self.bands is not None and (not self.bands or min(self.bands) < 1):
            raise RssegError(f"{where}.bands", f"{list(self.bands)}", "numbers from 1, the first band of the file")
        if self.bands is not None and self.img_channels not in (None, len(self.bands)):
            raise RssegError(
                f"{where}.img_channels", f"{self.img_channels} beside {len(self.bands)} bands", "the same number"
            )
        palette = self._colours("palette", self.palette or self.label_colors or self.known("palette", vars(self)) or ())
        coded = self._colours("label_colors", self.label_colors or ())
        self.palette, self.label_colors = palette, coded
        ignored = tuple(_colour(c, f"{where}.ignore_colors") for c in self.ignore_colors)
        self.ignore_colors = ignored
        for name in ("tile", "tile_stride", "train_crop"):
            size = getattr(self, name)
            if size is not None and (len(size) != 2 or min(size) < 1):
                raise RssegError(f"{where}.{name}", f"{list(size)}", "[height, width] in pixels")
        if self.repeat < 1:
            raise RssegError(f"{where}.repeat", f"{self.repeat}", "1 or more")
        self._values = ValueDecoder(self.num_classes, self.ignore_index, self.label_map, self.label_nodata)
        colours = coded or palette
        self._coloured = ColourDecoder(colours, ignored, self.ignore_index) if colours else None
        self._open: OrderedDict[str, Raster | ArrayRaster] = OrderedDict()
        self.transform = Compose(self.transforms)
        self._pairs = self.pairs()
        if not self._pairs:
            raise RssegError(where, f"no images for mode {self.mode!r}", "at least one")
        if self.soft_dir is not None and self.mode == "train":
            check_soft_files(self.soft_dir, [label for _, label in self._pairs if label is not None])

    def _colours(self, name: str, colours: Sequence[Sequence[int]]) -> tuple[tuple[int, int, int], ...]:
        where = f"{type(self).__name__}.{name}"
        if colours and len(colours) != self.num_classes:
            raise RssegError(where, f"{len(colours)} colours", f"{self.num_classes}, one a class")
        return tuple(_colour(c, where) for c in colours)

    # -- for subclasses ------------------------------------------------------------------------------------------
    @classmethod
    def known(cls, name: str, arguments: Mapping[str, Any]) -> Any:
        """What a data set of this class and these arguments knows of ``classes``, ``palette``, …; else None."""
        return getattr(cls, name.upper(), None)

    def pairs(self) -> list[tuple[str, str | None]]:
        """(image path, label path) of every file pair, in a fixed order."""
        raise NotImplementedError

    @property
    def fields(self) -> tuple[str, ...]:
        """What the samples hold beside image and label, for losses that ask for it."""
        return ("soft_label",) if self.soft_dir is not None and self.mode == "train" else ()

    # -- items ---------------------------------------------------------------------------------------------------
    @property
    def name(self) -> str:
        """What the data set is called."""
        return type(self).__name__

    @cached_property
    def items(self) -> list[Item]:
        """Every sample; with ``tile`` the headers of all images are read for it."""
        if self.tile is None:
            return [Item(image, label, None, image) for image, label in self._pairs]
        size = (self.tile[0], self.tile[1])
        stride = size if self.tile_stride is None else (self.tile_stride[0], self.tile_stride[1])
        items = []
        for image, label in self._pairs:
            with open_raster(image) as raster:
                height, width = max(raster.height, size[0]), max(raster.width, size[1])
            for w in grid(height, width, size, stride):
                items.append(Item(image, label, w, f"{image}[{w.y0}:{w.y1},{w.x0}:{w.x1}]"))
        return items

    def scenes(self) -> list[Item]:
        """Every file pair once, whole: what statistics and the doctor read."""
        return [Item(image, label, None, image) for image, label in self._pairs]

    def __len__(self) -> int:
        return len(self.items) * self.repeat

    def item(self, index: int) -> Item:
        """The item of sample ``index``, 0 ≤ index < len."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return self.items[index % len(self.items)]

    def paths(self, index: int) -> tuple[str, str | None]:
        """(image path, label path or None)."""
        return self.item(index)[:2]

    @cached_property
    def in_channels(self) -> int:
        """Bands of a sample; where nothing says it, the first image's."""
        if self.bands is not None:
            return len(self.bands)
        if self.img_channels is not None:
            return self.img_channels
        with open_raster(self._pairs[0][0], alpha=not self.ALPHA_IS_DATA) as raster:
            return raster.count

    # -- pixels --------------------------------------------------------------------------------------------------
    def image(self, index: int) -> Any:
        """The raster of a sample (:class:`Raster`, or a view of one), all bands of the file."""
        return self.open_image(self.item(index))

    def label(self, index: int) -> Label | LabelView | None:
        """The label of a sample: ``height``, ``width``, ``read(window) -> H×W uint8``; None if there is none."""
        return self.open_label(self.item(index))

    def open_image(self, item: Item) -> Any:
        """The raster of an item."""
        raster = self._raster(item.image, item.window is not None)
        return raster if item.window is None else RasterView(raster, item.window)

    def open_label(self, item: Item) -> Label | LabelView | None:
        """The label of an item."""
        if item.label is None:
            return None
        raster = self._raster(item.label, item.window is not None, expand_palette=bool(self.label_colors))
        if self.stretch_labels:
            with open_raster(item.image) as image:
                height, width = image.height, image.width
            raster = StretchedRaster(raster, height, width)
        label = Label(raster, self._values, self._coloured, colours_only=bool(self.label_colors))
        return label if item.window is None else LabelView(label, item.window, self.ignore_index)

    def _raster(self, path: str, keep: bool, expand_palette: bool = True) -> Any:
        """A raster; the last few that tiles are read from stay open, for neighbours come next in evaluation."""
        if not keep:
            return open_raster(path, expand_palette, not self.ALPHA_IS_DATA)
        raster = self._open.pop(path, None) or open_raster(path, expand_palette, not self.ALPHA_IS_DATA)
        self._open[path] = raster
        while len(self._open) > 4:
            self._open.popitem(last=False)[1].close()
        return raster

    def choose_bands(self, raster: Any) -> tuple[int, ...] | None:
        """The bands to read from one raster of this data set.

        Raises:
            RssegError: it has another number of bands than the data set.
        """
        if self.bands is not None:
            return tuple(self.bands)
        if raster.count == self.in_channels:
            return None
        if raster.count == 1 and self.in_channels == 3:
            return (1, 1, 1)
        raise RssegError(
            raster.path,
            f"{raster.count} bands",
            f"{self.in_channels}, as this data set has",
            "choose them with bands: [...]",
        )

    def sample(self, index: int, rng: np.random.Generator | None = None) -> Sample:
        """The raw sample, before the transforms.

        Args:
            rng: draws the window of ``train_crop``; None: whole.

        Returns:
            ``image`` H×W×C in the file's type, ``label`` H×W uint8 (absent without labels), ``valid`` H×W bool
            or None where every pixel is, ``fields`` {name: H×W×K floats} if there are any, ``name``, ``index``.

        Raises:
            RssegError: unreadable file, label of another size, value without a class.
        """
        item = self.item(index)
        image, label = self.open_image(item), self.open_label(item)
        try:
            if label is not None and (label.height, label.width) != (image.height, image.width):
                raise RssegError(
                    label.path, f"{label.height}×{label.width} pixels (height × width)",
                    f"its image's {image.height}×{image.width}", "'rsseg doctor' finds all such pairs",
                )  # fmt: skip
            window = self._crop(image, rng)
            pixels, valid = image.read_valid(window, self.choose_bands(image), self.nodata)
            sample: Sample = {"image": pixels, "valid": valid, "name": item.name, "index": index}
            if label is not None:
                sample["label"] = label.read(window)
                if self.fields:
                    path = soft_path(self.soft_dir or "", label.path)
                    sample["fields"] = {"soft_label": self._soft_label(path, item.window, image, window)}
                if valid is not None:
                    sample["label"][~valid] = self.ignore_index
                    for targets in sample.get("fields", {}).values():
                        targets[~valid] = 0
        finally:
            if item.window is None:
                image.close()
                if isinstance(label, Label):
                    label.raster.close()
        return sample

    def _soft_label(self, path: Path, tile: Window | None, image: Any, window: Window | None) -> np.ndarray:
        whole = image if tile is None else image.raster
        soft: Any = SoftLabel(path, (self.num_classes or 0, whole.height, whole.width))
        return (soft if tile is None else RasterView(soft, tile)).read(window)

    def _crop(self, image: Any, rng: np.random.Generator | None) -> Window | None:
        if self.train_crop is None or rng is None or self.mode != "train":
            return None
        height, width = min(self.train_crop[0], image.height), min(self.train_crop[1], image.width)
        y0 = int(rng.integers(image.height - height + 1))
        x0 = int(rng.integers(image.width - width + 1))
        return Window(y0, y0 + height, x0, x0 + width)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        """The sample ``(epoch, index)``, or ``index`` of epoch 0, through the transforms.

        It depends on seed, epoch and index alone: not on the worker, the process, or what was read before.
        """
        epoch, index = (0, key) if isinstance(key, (int, np.integer)) else key
        rng = np.random.default_rng([self.seed, epoch, index])
        return self.transform(self.sample(int(index), rng), rng)


def _colour(colour: Sequence[int], where: str) -> tuple[int, int, int]:
    if len(colour) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in colour):
        raise RssegError(where, f"{colour!r}", "[red, green, blue], each 0 to 255")
    return (colour[0], colour[1], colour[2])
