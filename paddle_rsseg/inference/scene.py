"""One image on its way to files: computed by whoever has time, finished once, found again by the next run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from paddle_rsseg.data.files import remove_parts, write_whole
from paddle_rsseg.errors import RssegError
from paddle_rsseg.geo.overlay import write_overlay
from paddle_rsseg.geo.vectorfile import FORMATS as VECTORS
from paddle_rsseg.geo.vectorfile import check_vector_path, need_vector_packages
from paddle_rsseg.geo.vectorize import vectorize
from paddle_rsseg.geo.writer import FORMATS, write_label_raster, write_product
from paddle_rsseg.inference.engine import Band, WindowPredictor
from paddle_rsseg.inference.fanout import fan_out
from paddle_rsseg.inference.fingerprint import image_identity, versions
from paddle_rsseg.inference.journal import Journal
from paddle_rsseg.inference.products import NONE, Products

#: directory among the results that holds what a killed run goes on with
BOOKS = ".rsseg"


@dataclass(frozen=True)
class Outputs:
    """What to write of an image called ``name``.

    Attributes:
        labels: the label map ``name_label.tif`` or ``.png``.
        overlay: a picture of the image under its map, ``name_overlay.jpg``.
        products: ``name_probabilities.tif``, ``name_confidence.tif``, ….
        probability: a class whose probability alone is written, float32 in ``name_probability.tif``; nothing else is.
        file_format: one of :data:`paddle_rsseg.geo.writer.FORMATS`.
        vectors: also the map's polygons, ``name_polygons.gpkg`` or another of
            :data:`paddle_rsseg.geo.vectorfile.FORMATS`; brings the product ``confidence``, whose means they carry.

    Raises:
        RssegError: an unknown format, ``probability`` beside other things, polygons without a map.
    """

    labels: bool = True
    overlay: bool = True
    products: Products = NONE
    probability: int | None = None
    file_format: str = "auto"
    vectors: str | None = None

    def __post_init__(self) -> None:
        if self.vectors is not None:
            if self.vectors not in VECTORS:
                raise RssegError("vectors", repr(self.vectors), ", ".join(VECTORS))
            if self.probability is not None or not self.labels:
                raise RssegError("vectors", "without a label map", "with one", "polygons are made of it")
            need_vector_packages()
        if self.file_format not in FORMATS:
            raise RssegError("format", repr(self.file_format), ", ".join(FORMATS))
        if self.probability is not None and self.products:
            raise RssegError("probability", "beside products", "one of them", "products have every class")

    @property
    def computed(self) -> Products:
        """What the engine is asked for."""
        if self.probability is not None:
            return Products(("probabilities",), classes=(self.probability,))
        if self.vectors is not None and "confidence" not in self.products.names:
            return replace(self.products, names=(*self.products.names, "confidence"))
        return self.products


#: a label map and its picture
MAP = Outputs()


class Scene:
    """An image, its finished bands and its results. A context manager: the image is closed at the end.

    Args:
        path: of the image.
        save_dir, name: where the results go; ``name`` may contain directories.
        engine: predicts it.
        outputs: what to write.
        model: says which model the engine has (:mod:`paddle_rsseg.inference.fingerprint`); None: nobody knows, so
            nothing of an earlier run is used.
        overwrite: use nothing of an earlier run.

    Raises:
        RssegError: the image cannot be read, the directory not be written to.
    """

    def __init__(
        self,
        path: str | Path,
        save_dir: str | Path,
        name: str,
        engine: WindowPredictor,
        outputs: Outputs = MAP,
        model: str | None = None,
        overwrite: bool = False,
    ):
        self.engine, self.outputs = engine, outputs
        self.raster = engine.open(path)
        self.stem = Path(save_dir) / name
        if outputs.vectors is not None:
            check_vector_path(self._polygons, self.raster.crs)
        kind = "label" if outputs.probability is None else "probability"
        book = Path(save_dir) / BOOKS / f"{name}_{kind}"
        self._done = book.with_name(f"{book.name}.json")
        self._job = self._describe(path, model)
        self._known = model is not None
        if model is None or overwrite:
            shutil.rmtree(book, ignore_errors=True)
            self._done.unlink(missing_ok=True)
        self.count = engine.count(self.raster)
        self._book = book
        self._journal: Journal | None = None

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self.raster.close()

    @property
    def journal(self) -> Journal:
        """Of the bands; made when it is first wanted."""
        if self._journal is None:
            self._journal = Journal(self._book, self._job)
        return self._journal

    def results(self) -> list[Path] | None:
        """The files that an earlier run of the same job has finished, unchanged since; None: there is work to do."""
        try:
            record = json.loads(self._done.read_text(encoding="utf-8"))
            if record["job"] != self._job:
                return None
            same = all(_state(self._done.parent / file) == state for file, state in record["files"].items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return [Path(os.path.normpath(self._done.parent / file)) for file in record["files"]] if same else None

    def compute(self, first: int, last: int) -> None:
        """Store the bands ``first <= index < last`` that are not there yet."""
        there = self.journal.finished()
        while first < last:
            end = min((index for index in there if first <= index < last), default=last)  # the next that is there
            for band in self.engine.bands(self.raster, self.outputs.computed, first, end):
                self.journal.save(band)
            first = end + 1

    def write(self, progress: Callable[[int, int], None] | None = None) -> list[Path]:
        """Compute what is missing, and write the results.

        Args:
            progress: ``progress(rows done, rows)``, called after each band.

        Returns:
            The files; each is complete or absent.
        """
        writers = self._writers(Place.of(self.raster))
        if self._known:
            bands = self.journal.bands(self.engine, self.raster, self.outputs.computed)
            files = fan_out(self._counted(bands, progress), [*writers, self.journal.keep])[:-1]
        else:
            bands = self.engine.bands(self.raster, self.outputs.computed)
            files = fan_out(self._counted(bands, progress), writers)
        if self.outputs.overlay and self.outputs.labels and self.outputs.probability is None:
            picture = self.stem.with_name(f"{self.stem.name}_overlay.jpg")
            files.append(write_overlay(picture, self.raster, files[0], self.engine.spec))
        if self.outputs.vectors is not None:
            confidence = files[1 + self.outputs.computed.names.index("confidence")]
            vectorize(files[0], self._polygons, confidence=confidence)
            files.append(self._polygons)
        for file in files:
            remove_parts(file)
        if not self._known:
            return files
        states = {os.path.relpath(file, self._done.parent): _state(file) for file in files}
        write_whole(self._done, json.dumps({"job": self._job, "files": states}).encode())
        self.journal.remove()
        return files

    @property
    def _polygons(self) -> Path:
        return self.stem.with_name(f"{self.stem.name}_polygons.{self.outputs.vectors}")

    def _writers(self, raster: Any) -> list[Callable[[Iterator[Band]], Any]]:
        """One for each file."""
        outputs, spec, name = self.outputs, self.engine.spec, self.stem.name
        products = outputs.computed

        def product(file: str, layer: str) -> Callable[[Iterator[Band]], Path]:
            return lambda bands: write_product(
                self.stem.with_name(f"{name}_{file}"), bands, raster, products, layer, spec, outputs.file_format
            )

        if outputs.probability is not None:
            return [product("probability", "probabilities")]
        writers: list[Callable[[Iterator[Band]], Any]] = []
        if outputs.labels:
            stem = self.stem.with_name(f"{name}_label")
            writers.append(
                partial(write_label_raster, stem, raster=raster, legend=spec, file_format=outputs.file_format)
            )
        return writers + [product(one, one) for one in products.names]

    def _counted(self, bands: Iterator[Band], progress: Callable[[int, int], None] | None) -> Iterator[Band]:
        for band in bands:
            done = band.y1
            yield band
            del band  # not kept while the next is computed
            if progress:
                progress(done, self.raster.height)

    def _describe(self, path: str | Path, model: str | None) -> dict[str, Any]:
        """Everything on which the bytes of the results depend."""
        return json.loads(
            json.dumps(
                {
                    "image": image_identity(path),
                    "size": [self.raster.height, self.raster.width],
                    "model": model,
                    "backend": getattr(self.engine.score.backend, "name", None),
                    "batch_size": self.engine.batch_size,
                    "inference": self.engine.spec.to_dict(),
                    "outputs": asdict(self.outputs),
                    "versions": versions(self.engine.score.backend),
                }
            )
        )


@dataclass
class Place:
    """Size and georeference of an image, for threads that may not share the image itself."""

    height: int
    width: int
    crs: Any
    transform: Any
    gcps: Any = None
    rpcs: Any = None

    @classmethod
    def of(cls, raster: Any) -> Place:
        return cls(raster.height, raster.width, raster.crs, raster.transform, raster.gcps, raster.rpcs)


def _state(file: Path) -> list[int] | None:
    """[bytes, time of change in ns]; None: not there."""
    try:
        state = file.stat()
    except OSError:
        return None
    return [state.st_size, state.st_mtime_ns]
