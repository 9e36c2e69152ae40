"""The one engine that turns a raster into a label map: evaluation, prediction and deployment all run it.

It needs NumPy, OpenCV, rasterio and a back end, and nothing of the training code. Three things are in its hands:
every pixel is read once, in strips as tall as a window; a thread cuts, normalises and pads the next batch while the
network computes; and finished rows leave as :class:`Band` as soon as no further window touches them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from paddle_rsseg import windows
from paddle_rsseg.data.raster import open_raster
from paddle_rsseg.data.transforms.base import resized
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.prefetch import prefetch
from paddle_rsseg.inference.products import NONE, Products
from paddle_rsseg.inference.resizing import upsample_rows
from paddle_rsseg.inference.scores import Cut, Scorer
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.inference.stitch import CHUNK, Part, RowBand, argmax, softmax_, tempered_
from paddle_rsseg.windows import Span, Window


@dataclass(frozen=True, eq=False)
class Band:
    """Finished rows ``y0:y1`` of a map.

    Attributes:
        index: of the row of windows that finished them; bands are counted from the top.
        labels: rows × width uint8; ``ignore_index`` where the raster has no data.
        layers: the products asked for, name → planes × rows × width.
    """

    index: int
    y0: int
    y1: int
    labels: np.ndarray
    layers: dict[str, np.ndarray]


class _Tile(NamedTuple):
    """What of a window counts.

    Attributes:
        kept: where that lies in the image.
        inner: the same in the window.
    """

    kept: Window
    inner: Window


class _Batch(NamedTuple):
    tiles: list[_Tile]
    shape: tuple[int, int]  # of the windows, before padding
    pixels: Any  # what the scorer made of them


class _Patch(NamedTuple):
    """What is left to know of an image in a batch."""

    valid: np.ndarray | None
    path: str


class _Row(NamedTuple):
    """A row of windows on its way from left to right, or two that go together.

    Attributes:
        spans: of them.
        top, bottom: the image rows that they reach, but for rows above the first band that is wanted.
        end: they finish the rows above it.
        bands: (index, first row, end) of what they finish and is wanted.
    """

    spans: tuple[Span, ...]
    top: int
    end: int
    bottom: int
    bands: tuple[tuple[int, int, int], ...]


class _Begin(NamedTuple):
    """The windows of a row follow.

    Attributes:
        valid: pixels of the rows that it finishes; None: all of them.
    """

    row: _Row
    valid: np.ndarray | None


class WindowPredictor:
    """Sliding-window prediction in memory that grows with the image's width but not with its height.

    Args:
        backend: N×C×H×W float32 → logits N×K×H×W float32 (see :mod:`paddle_rsseg.inference.backends`); or something
            that has the methods of :class:`paddle_rsseg.inference.scores.Scorer` itself.
        spec: how the model wants its input and what its output means.
        batch_size: windows given to the back end at once; None: what is fastest for it.

    A window without one valid pixel is not computed.
    """

    def __init__(self, backend: Any, spec: InferenceSpec, batch_size: int | None = None):
        batch_size = default_batch(backend) if batch_size is None else batch_size
        if batch_size < 1:
            raise RssegError("batch_size", str(batch_size), "at least 1")
        if spec.num_classes > 255 or not 0 <= spec.ignore_index <= 255:
            seen = f"{spec.num_classes} classes with ignore_index {spec.ignore_index}"
            raise RssegError(
                "inference", seen, "at most 255 classes and an ignore_index from 0 to 255 (label maps are 8 bit)"
            )
        self.score = backend if hasattr(backend, "ranking") else Scorer(backend, spec)
        self.spec = spec
        self.batch_size = batch_size

    # ------------------------------------------------------------------ public

    def open(self, raster: Any) -> Any:
        """A raster from a path or an array, read as the model was trained; a raster is handed back as it is."""
        return open_raster(raster, alpha=not self.spec.alpha_is_data)

    def predict(self, raster: Any) -> np.ndarray:
        """Label map H×W uint8 of a raster, path or array (H×W×C)."""
        raster = self.open(raster)
        labels = np.empty((raster.height, raster.width), np.uint8)
        for band in self.bands(raster):
            labels[band.y0 : band.y1] = band.labels
        return labels

    def count(self, raster: Any) -> int:
        """How many bands an image has."""
        raster = self.open(raster)
        if self.spec.resize is not None:
            return -(-raster.height // self._resized_rows())
        return len(self.spec.spans(raster.height, raster.width)[0])

    def bands(self, raster: Any, products: Products = NONE, first: int = 0, last: int | None = None) -> Iterator[Band]:
        """Finished rows from top to bottom, without gap or overlap.

        Args:
            raster: Raster, path or H×W×C array.
            products: what to compute beside the labels.
            first, last: of all bands only those with ``first <= index < last``. They are the same, bit for bit, as
                among all: windows that reach in from above are computed again, and sums are made in the same order.

        Raises:
            RssegError: the raster's bands do not fit the model, or the network's output does not.
        """
        raster = self.open(raster)
        self._check(raster)
        last = self.count(raster) if last is None else last
        if first >= last:
            return
        if self.spec.resize is not None:
            yield from self._resized_bands(raster, products, first, last)
            return
        rows, columns = self.spec.spans(raster.height, raster.width)
        plan = _plan(rows, raster.height, first, last)
        window = max(row.bottom - row.top for row in plan), max(span.last - span.first for span in columns)
        shared = max(row.bottom - row.end for row in plan)
        sums = RowBand(self.spec.num_classes, raster.width, window, shared, weighted=bool(products))
        bands: list[Band] = []
        valid: np.ndarray | None = None

        def finish(until: int) -> None:
            for part in sums.finished(until):
                for band in bands:
                    self._fill(band, part, valid, products, raster.path)

        for item in prefetch(self._read(raster, plan, columns)):
            if isinstance(item, _Begin):
                sums.begin(item.row.top, item.row.end, item.row.bottom)
                bands = [self._empty_band(*band, raster.width, products) for band in item.row.bands]
                valid = item.valid
            elif isinstance(item, _Batch):
                weight = self._weight(*item.shape)
                for tile, scores in zip(item.tiles, self.score(item.pixels, *item.shape), strict=True):
                    finish(tile.kept.x0)
                    sums.add(tile.kept, scores[(slice(None), *tile.inner.slices)], weight)
            else:
                finish(raster.width)
                while bands:
                    yield bands.pop(0)  # not kept while the next is computed

    def predict_whole(self, images: Iterable[Any]) -> Iterator[np.ndarray]:
        """Label maps of images that go through the network in one piece each: the patch protocol.

        Neighbours of equal size share a batch. The padding goes to the next multiple of ``pad_to``.
        """
        for batch, (height, width), patches in prefetch(self._whole_batches(images)):
            for scores, patch in zip(self.score.ranking(batch, height, width), patches, strict=True):
                yield self._labels(scores, patch.valid, patch.path)

    # ------------------------------------------------------------------ in: pixels to batches

    def _read(self, raster: Any, plan: list[_Row], columns: list[Span]) -> Iterator[_Begin | _Batch | None]:
        """A row begins, batches of its windows from left to right, None at its end; and so on."""
        strip: np.ndarray | None = None  # the rows under the present windows, as stored
        valid: np.ndarray | None = None
        top = bottom = max(plan[0].spans[0].start, 0)
        for row in plan:
            y0, y1 = max(row.spans[0].start, 0), min(row.spans[-1].stop, raster.height)
            if y1 > bottom or strip is None:
                new = Window(bottom, y1, 0, raster.width)
                pixels, seen = self._pixels(raster, new)
                strip = pixels if strip is None else np.concatenate([strip[y0 - top :], pixels])
                valid = _stack(None if valid is None else valid[y0 - top :], bottom - y0, seen, new)
            else:  # the margin of the row above has seen all that is left
                strip, valid = strip[y0 - top :], None if valid is None else valid[y0 - top :]
            top, bottom = y0, y1

            yield _Begin(row, None if valid is None else valid[row.top - y0 : row.end - y0].copy())
            wanted = [
                (span, column)
                for column in columns
                for span in row.spans
                if valid is None or valid[span.first - y0 : span.last - y0, column.first : column.last].any()
            ]
            for k in range(0, len(wanted), self.batch_size):
                yield self._cut(wanted[k : k + self.batch_size], y0, strip, valid)
            yield None

    def _cut(self, wanted: list[tuple[Span, Span]], top: int, strip: np.ndarray, valid: np.ndarray | None) -> _Batch:
        """The windows at these rows and columns; ``strip`` holds the image's rows from ``top`` on."""
        height, width = (span.stop - span.start for span in wanted[0])
        cuts, tiles = [], []
        for row, column in wanted:
            rows = slice(max(row.start, 0) - top, max(row.stop, 0) - top)  # the strip ends with the image
            x0, x1 = max(column.start, 0), min(column.stop, strip.shape[1])
            pixels, mask = strip[rows, x0:x1], None if valid is None else valid[rows, x0:x1]
            if pixels.shape[:2] != (height, width):
                pixels, mask = _in_black(pixels, mask, (height, width), max(-row.start, 0), max(-column.start, 0))
            cuts.append((pixels, mask))
            kept = Window(row.first, row.last, column.first, column.last)
            tiles.append(_Tile(kept, kept.moved(-row.start, -column.start)))
        return _Batch(tiles, (height, width), self.score.batch(cuts, height, width))

    def _whole_batches(self, images: Iterable[Any]) -> Iterator[tuple[Any, tuple[int, int], list[_Patch]]]:
        cuts: list[Cut] = []
        patches: list[_Patch] = []
        for image in images:
            raster = self.open(image)
            self._check(raster)
            pixels, valid = self._pixels(raster, Window(0, raster.height, 0, raster.width))
            if cuts and (len(cuts) == self.batch_size or cuts[0][0].shape != pixels.shape):
                yield self._whole_batch(cuts), cuts[0][0].shape[:2], patches
                cuts, patches = [], []
            cuts.append((pixels, valid))
            patches.append(_Patch(valid, raster.path))
        if cuts:
            yield self._whole_batch(cuts), cuts[0][0].shape[:2], patches

    def _whole_batch(self, cuts: list[Cut]) -> Any:
        height, width = cuts[0][0].shape[:2]
        return self.score.batch(cuts, height, width, whole=True)

    def _pixels(self, raster: Any, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """Stored values rows×width×bands of the chosen bands, and rows×width validity (None: all valid)."""
        bands = self.spec.bands
        if bands is None and raster.count == 1 and self.spec.in_channels == 3:
            bands = (1, 1, 1)  # a grey picture among colour ones, as usual
        return raster.read_valid(window, bands, self.spec.nodata)

    def _check(self, raster: Any) -> None:
        """The raster has the bands that the model wants."""
        where = raster.path
        grey = raster.count == 1 and self.spec.in_channels == 3
        if self.spec.bands is None and raster.count != self.spec.in_channels and not grey:
            wanted = f"{self.spec.in_channels}, as the model was trained with"
            raise RssegError(
                where,
                f"{raster.count} bands",
                wanted,
                "choose them with --bands, or bands: [...] in the data set's settings",
            )
        if self.spec.bands is not None and max(self.spec.bands) > raster.readable:
            raise RssegError(
                where, f"{raster.readable} bands", f"at least {max(self.spec.bands)}, for bands {list(self.spec.bands)}"
            )

    # ------------------------------------------------------------------ out: logits to labels

    def _weight(self, height: int, width: int) -> np.ndarray | None:
        """Of the pixels of a window of this size; None: 1. Where tiles do not overlap there is nothing to weigh."""
        if self.spec.policy != "sliding" or self.spec.blend == "uniform":
            return None
        return _weights(height, width, self.spec.blend)

    def _empty_band(self, index: int, y0: int, y1: int, width: int, products: Products) -> Band:
        layers = products.empty(self.spec.num_classes, y1 - y0, width)
        return Band(index, y0, y1, np.empty((y1 - y0, width), np.uint8), layers)

    def _fill(self, band: Band, part: Part, valid: np.ndarray | None, products: Products, where: str) -> None:
        """Labels and products of some columns of a band. ``valid`` are pixels of all rows of the part."""
        rows, columns = slice(band.y0 - part.y0, band.y1 - part.y0), slice(part.x0, part.x1)
        seen = None if valid is None else valid[rows, columns]
        band.labels[:, columns] = self._labels(part.sums[:, rows], seen, where)
        layers = {name: layer[:, :, columns] for name, layer in band.layers.items()}
        for y in range(0, band.y1 - band.y0 if products else 0, CHUNK):
            shares = part.mean(rows.start + y, min(rows.start + y + CHUNK, rows.stop))
            if self.spec.average == "logits":
                softmax_(np.divide(shares, np.float32(self.spec.temperature), out=shares))
            else:
                tempered_(shares, self.spec.temperature)
            products.fill(layers, y, shares, None if seen is None else seen[y : y + CHUNK])

    def _labels(self, scores: np.ndarray, valid: np.ndarray | None, where: str) -> np.ndarray:
        """Best class of K×H×W scores; ``ignore_index`` where there is no data."""
        try:
            labels = argmax(scores)
        except FloatingPointError as error:
            fix = "check the weights, and mean, std and scale against the image's values"
            raise RssegError(where, "the network's output is not finite", fix=fix) from error
        if valid is not None:
            labels[~valid] = self.spec.ignore_index
        return labels

    # ------------------------------------------------------------------ resize: the whole image at another size

    def _resized_rows(self) -> int:
        """Of a band."""
        return max(CHUNK, self.spec.stride[0])

    def _resized_bands(self, raster: Any, products: Products, first: int, last: int) -> Iterator[Band]:
        """The image at ``spec.resize`` through the network at once, its logits brought back to full size in bands.

        Here the image as stored is held as a whole; the logits at full size are not.
        """
        assert self.spec.resize is not None
        height, width = self.spec.resize
        pixels, valid = self._pixels(raster, Window(0, raster.height, 0, raster.width))
        small = resized({"image": pixels, "valid": valid}, width, height)
        batch = self.score.batch([(small["image"], small["valid"])], height, width)
        # one plain pass is brought back as logits, which bend less between pixels than probabilities do
        plain = self.score.plain or self.spec.average == "logits"
        answer = (self.score.ranking if plain else self.score)(batch, height, width)[0]
        step = self._resized_rows()
        for index in range(first, last):
            y0, y1 = index * step, min((index + 1) * step, raster.height)
            scores = upsample_rows(answer, y0, y1, raster.height, raster.width)
            seen = None if valid is None else valid[y0:y1]
            labels = self._labels(scores, seen, raster.path)
            layers = products.empty(self.spec.num_classes, y1 - y0, raster.width)
            if products:
                scores = (
                    softmax_(scores / np.float32(self.spec.temperature))
                    if plain
                    else tempered_(scores, self.spec.temperature)
                )
                products.fill(layers, 0, scores, seen)
            yield Band(index, y0, y1, labels, layers)


def _plan(rows: list[Span], height: int, first: int, last: int) -> list[_Row]:
    """The rows of windows that the bands ``first <= index < last`` of an image need.

    The last row is pulled back into the image. If it shares more rows with the one above than others do, nearly all of
    a window perhaps, the two go through it together, so that this need not be kept over the whole width.
    """
    above = rows[first].first
    ends = [*(row.first for row in rows[1:]), height]
    lead = next(i for i, row in enumerate(rows) if row.last > above)  # the first that reaches into the first band
    numbers = [[i] for i in range(lead, last)]
    shared = [row.last - below.first for row, below in pairwise(rows)]
    if last == len(rows) > 1 and shared[-1] > max(shared[:-1], default=0):
        numbers[-2:] = [[last - 2, last - 1]]
    plan = []
    for together in numbers:
        spans = tuple(rows[i] for i in together)
        bands = tuple((i, rows[i].first, ends[i]) for i in together if i >= first)
        end = max(ends[together[-1]], above)
        plan.append(_Row(spans, max(spans[0].first, above), end, spans[-1].last, bands))
    return plan


def default_batch(backend: Any) -> int:
    """Windows to compute at once where nobody says: on a CPU one, whose maps stay in the caches; 4 on a GPU."""
    return getattr(backend, "default_batch", 4)


def _stack(old: np.ndarray | None, old_rows: int, new: np.ndarray | None, window: Window) -> np.ndarray | None:
    """Validity of the kept rows above that of the new ones; None stands for "all valid"."""
    if old is None and new is None:
        return None
    above = np.ones((old_rows, window.width), bool) if old is None else old
    return np.concatenate([above, np.ones((window.height, window.width), bool) if new is None else new])


def _in_black(
    pixels: np.ndarray, mask: np.ndarray | None, size: tuple[int, int], y: int, x: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """A part of the image at (y, x) of a window of ``size``, zeros around it; what is beyond the image is not missing
    data, which would become the mean."""
    place = slice(y, y + pixels.shape[0]), slice(x, x + pixels.shape[1])
    window = np.zeros((*size, pixels.shape[2]), pixels.dtype)
    window[place] = pixels
    if mask is None:
        return window, None
    seen = np.ones(size, bool)
    seen[place] = mask
    return window, seen


@lru_cache(maxsize=8)
def _weights(height: int, width: int, kind: str) -> np.ndarray:
    return windows.blend_weights(height, width, kind)
