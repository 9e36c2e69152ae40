"""The one engine that turns a raster into a label map: evaluation, prediction and deployment all run it.

It needs NumPy, OpenCV, rasterio and a back end, and nothing of the training code. Three things are in its hands:
every pixel is read once, in strips as tall as a window; a thread cuts, normalises and pads the next batch while the
network computes; and finished rows leave as :class:`Band` as soon as no further window touches them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from paddle_rsseg import windows
from paddle_rsseg.data.raster import open_raster
from paddle_rsseg.data.transforms.base import resized
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.prefetch import prefetch
from paddle_rsseg.inference.resizing import upsample_rows
from paddle_rsseg.inference.scores import Scorer
from paddle_rsseg.inference.spec import InferenceSpec, up
from paddle_rsseg.inference.stitch import CHUNK, RowBand, argmax, softmax_
from paddle_rsseg.windows import Span, Window


class Band(NamedTuple):
    """Finished rows ``y0:y1`` of a map.

    Attributes:
        labels: rows × width uint8; ``ignore_index`` where the raster has no data.
        probabilities: classes × rows × width float32 if asked for; 0 where the raster has no data.
    """

    y0: int
    y1: int
    labels: np.ndarray
    probabilities: np.ndarray | None = None


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
    pixels: np.ndarray  # N×C×H×W float32, normalised and padded


class _Patch(NamedTuple):
    """What is left to know of an image in a batch."""

    height: int
    width: int
    valid: np.ndarray | None
    path: str


class _RowsDone(NamedTuple):
    """No window from here on touches the rows above ``end``."""

    end: int
    valid: np.ndarray | None


class WindowPredictor:
    """Sliding-window prediction in memory that grows with the image's width but not with its height.

    Args:
        backend: N×C×H×W float32 → logits N×K×H×W float32 (see :mod:`paddle_rsseg.inference.backends`).
        spec: how the model wants its input and what its output means.
        batch_size: windows given to the back end at once; None: what is fastest for it.

    A window without one valid pixel is not computed.
    """

    def __init__(self, backend: Callable[[np.ndarray], np.ndarray], spec: InferenceSpec, batch_size: int | None = None):
        batch_size = default_batch(backend) if batch_size is None else batch_size
        if batch_size < 1:
            raise RssegError("batch_size", str(batch_size), "at least 1")
        if spec.num_classes > 255 or not 0 <= spec.ignore_index <= 255:
            seen = f"{spec.num_classes} classes with ignore_index {spec.ignore_index}"
            raise RssegError(
                "inference", seen, "at most 255 classes and an ignore_index from 0 to 255 (label maps are 8 bit)"
            )
        self.score = Scorer(backend, spec)
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

    def bands(self, raster: Any, probabilities: bool = False) -> Iterator[Band]:
        """Finished rows from top to bottom, without gap or overlap.

        Args:
            raster: Raster, path or H×W×C array.
            probabilities: give class probabilities along with the labels.

        Raises:
            RssegError: the raster's bands do not fit the model, or the network's output does not.
        """
        raster = self.open(raster)
        self._check(raster)
        if self.spec.resize is not None:
            yield from self._resized_bands(raster, probabilities)
            return
        rows = max(span.last - span.first for span in self.spec.spans(raster.height, raster.width)[0])
        sums = RowBand(self.spec.num_classes, rows, raster.width, weighted=probabilities)
        for item in prefetch(self._read(raster)):
            if isinstance(item, _Batch):
                weight = self._weight(*item.shape)
                for tile, scores in zip(item.tiles, self.score(item.pixels, *item.shape), strict=True):
                    sums.add(tile.kept, scores[(slice(None), *tile.inner.slices)], weight)
            else:
                yield self._band(sums, item, probabilities, raster)

    def predict_whole(self, images: Iterable[Any]) -> Iterator[np.ndarray]:
        """Label maps of images that go through the network in one piece each: the patch protocol.

        Neighbours of equal padded size share a batch. The padding goes to the next multiple of ``pad_to``.
        """
        for batch, patches in prefetch(self._whole_batches(images)):
            if self.score.plain:  # the best class needs no softmax, and sizes may differ
                answers = self.score.logits(batch)
            else:
                answers = self.score(batch, patches[0].height, patches[0].width)
            for scores, patch in zip(answers, patches, strict=True):
                yield self._labels(scores[:, : patch.height, : patch.width], patch.valid, patch.path)

    # ------------------------------------------------------------------ in: pixels to batches

    def _read(self, raster: Any) -> Iterator[_Batch | _RowsDone]:
        """Batches of the windows of one row of the grid, then the rows that this finishes; and so on."""
        strip: np.ndarray | None = None  # the rows under the present windows, as stored
        valid: np.ndarray | None = None
        top = bottom = 0
        rows, columns = self.spec.spans(raster.height, raster.width)
        for i, row in enumerate(rows):
            y0, y1 = max(row.start, 0), min(row.stop, raster.height)
            if y1 > bottom or strip is None:
                new = Window(bottom, y1, 0, raster.width)
                pixels, seen = self._pixels(raster, new)
                strip = pixels if strip is None else np.concatenate([strip[y0 - top :], pixels])
                valid = _stack(None if valid is None else valid[y0 - top :], bottom - y0, seen, new)
            else:  # the margin of the row above has seen all that is left
                strip, valid = strip[y0 - top :], None if valid is None else valid[y0 - top :]
            top, bottom = y0, y1

            wanted = columns
            if valid is not None:
                kept = valid[row.first - y0 : row.last - y0]
                wanted = [column for column in columns if kept[:, column.first : column.last].any()]
            for k in range(0, len(wanted), self.batch_size):
                yield self._cut(row, wanted[k : k + self.batch_size], strip, valid)
            end = rows[i + 1].first if i + 1 < len(rows) else raster.height
            yield _RowsDone(end, None if valid is None else valid[row.first - y0 : end - y0].copy())

    def _cut(self, row: Span, columns: list[Span], strip: np.ndarray, valid: np.ndarray | None) -> _Batch:
        """The windows of a row of the grid at these columns; ``strip`` holds the row's part of the image."""
        height, width = row.stop - row.start, columns[0].stop - columns[0].start
        batch = np.zeros((len(columns), self.spec.in_channels, *self.spec.padded(height, width)), np.float32)
        tiles = []
        for out, column in zip(batch, columns, strict=True):
            x0, x1 = max(column.start, 0), min(column.stop, strip.shape[1])
            pixels, mask = strip[:, x0:x1], None if valid is None else valid[:, x0:x1]
            if pixels.shape[:2] != (height, width):
                pixels, mask = _in_black(pixels, mask, (height, width), max(-row.start, 0), max(-column.start, 0))
            out[:, :height, :width] = self.spec.normalize(pixels, mask).transpose(2, 0, 1)
            kept = Window(row.first, row.last, column.first, column.last)
            tiles.append(_Tile(kept, kept.moved(-row.start, -column.start)))
        return _Batch(tiles, (height, width), batch)

    def _whole_batches(self, images: Iterable[Any]) -> Iterator[tuple[np.ndarray, list[_Patch]]]:
        batch: list[np.ndarray] = []
        patches: list[_Patch] = []
        for image in images:
            raster = self.open(image)
            self._check(raster)
            height, width = raster.height, raster.width
            pixels, valid = self._pixels(raster, Window(0, height, 0, width))
            size = up(height, self.spec.pad_to), up(width, self.spec.pad_to)
            padded = np.zeros((self.spec.in_channels, *size), np.float32)
            padded[:, :height, :width] = self.spec.normalize(pixels, valid).transpose(2, 0, 1)
            fits = batch and batch[0].shape == padded.shape
            if not self.score.plain:  # views turn the image without its padding
                fits = fits and (patches[0].height, patches[0].width) == (height, width)
            if batch and (len(batch) == self.batch_size or not fits):
                yield np.stack(batch), patches
                batch, patches = [], []
            batch.append(padded)
            patches.append(_Patch(height, width, valid, raster.path))
        if batch:
            yield np.stack(batch), patches

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

    def _band(self, sums: RowBand, rows: _RowsDone, probabilities: bool, raster: Any) -> Band:
        y0 = sums.top
        labels = self._labels(sums.scores(rows.end), rows.valid, raster.path)
        share = None
        if probabilities:
            share = sums.mean(rows.end)
            if self.spec.average == "logits":
                softmax_(share)
            if rows.valid is not None:
                share[:, ~rows.valid] = 0
        sums.finish(rows.end)
        return Band(y0, rows.end, labels, share)

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

    def _resized_bands(self, raster: Any, probabilities: bool) -> Iterator[Band]:
        """The image at ``spec.resize`` through the network at once, its logits brought back to full size in bands.

        Here the image as stored is held as a whole; the logits at full size are not.
        """
        assert self.spec.resize is not None
        height, width = self.spec.resize
        pixels, valid = self._pixels(raster, Window(0, raster.height, 0, raster.width))
        small = resized({"image": pixels, "valid": valid}, width, height)
        batch = np.zeros((1, self.spec.in_channels, *self.spec.padded(height, width)), np.float32)
        batch[0, :, :height, :width] = self.spec.normalize(small["image"], small["valid"]).transpose(2, 0, 1)
        if self.score.plain:
            answer, is_logits = self.score.logits(batch)[0, :, :height, :width], True
        else:
            answer, is_logits = self.score(batch, height, width)[0], self.spec.average == "logits"
        step = max(CHUNK, self.spec.stride[0])
        for y0 in range(0, raster.height, step):
            y1 = min(y0 + step, raster.height)
            scores = upsample_rows(answer, y0, y1, raster.height, raster.width)
            labels = self._labels(scores, None if valid is None else valid[y0:y1], raster.path)
            share = (softmax_(scores) if is_logits else scores) if probabilities else None
            if share is not None and valid is not None:
                share[:, ~valid[y0:y1]] = 0
            yield Band(y0, y1, labels, share)


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
