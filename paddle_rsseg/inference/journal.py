"""Finished bands of a scene on disk: what makes prediction go on where it was killed, and lets processes share a scene.

A band is one file, whole or not there, so nothing else has to be written in step with it, and to store one twice does
no harm.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from paddle_rsseg.data.files import replacing, write_whole
from paddle_rsseg.inference.engine import Band, WindowPredictor
from paddle_rsseg.inference.products import Products

JOB = "job.json"


class Journal:
    """Bands of one job.

    Args:
        directory: is made; on a file system that all processes of the job see.
        job: everything that decides what the bands hold: image, model, specification, products, versions. What
            another job left in the directory is removed.

    Raises:
        RssegError: the directory cannot be written to.
    """

    def __init__(self, directory: Path, job: Mapping[str, Any]):
        self.directory = directory
        described = json.dumps(job, sort_keys=True)
        if _text(directory / JOB) != described:
            self.remove()
            write_whole(directory / JOB, described.encode())

    def finished(self) -> set[int]:
        """Indices of the bands that are there."""
        return {int(path.stem) for path in self.directory.glob("[0-9]*.npz")}

    def save(self, band: Band) -> None:
        """Store a band.

        Raises:
            RssegError: it cannot be written.
        """
        arrays = {"rows": np.array([band.y0, band.y1]), "labels": band.labels}
        arrays |= {f"layers/{name}": layer for name, layer in band.layers.items()}
        with (
            replacing(self._path(band.index)) as temporary,
            # the fastest level: what waits here is read once more and then removed
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        ):
            for name, array in arrays.items():
                with file.open(f"{name}.npy", "w", force_zip64=True) as part:
                    np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)

    def load(self, index: int) -> Band | None:
        """A stored band; None where there is none, or where a power cut has left it damaged."""
        try:
            with np.load(self._path(index), allow_pickle=False) as arrays:
                layers = {
                    name.removeprefix("layers/"): arrays[name] for name in arrays.files if name.startswith("layers/")
                }
                y0, y1 = arrays["rows"].tolist()
                return Band(index, y0, y1, arrays["labels"], layers)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def bands(self, engine: WindowPredictor, raster: Any, products: Products) -> Iterator[Band]:
        """All bands in order: those that are there, and between them new ones, which are not stored yet."""
        count, there = engine.count(raster), self.finished()
        index = 0
        while index < count:
            band = self.load(index) if index in there else None
            if band is not None:
                yield band
                del band
                index += 1
                continue
            there.discard(index)
            end = min((i for i in there if i > index), default=count)
            yield from engine.bands(raster, products, index, end)
            index = end

    def keep(self, bands: Iterator[Band]) -> None:
        """Store those of the bands that are not there."""
        there = self.finished()
        for band in bands:
            if band.index not in there:
                self.save(band)
            del band  # not kept until the next is there

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self.directory / f"{index:05d}.npz"


def _text(path: Path) -> str | None:
    """None where there is none. A file system that fails for a moment is no reason to clear what others have done."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None
