"""Prediction for users: from a path of weights to a label map, in memory or on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paddle_rsseg.geo.overlay import write_overlay
from paddle_rsseg.geo.writer import write_label_raster, write_probability_raster
from paddle_rsseg.inference.engine import Band, WindowPredictor
from paddle_rsseg.inference.load import open_model
from paddle_rsseg.inference.products import Products
from paddle_rsseg.inference.spec import InferenceSpec


@dataclass
class Prediction:
    """A label map and what is known about it.

    Attributes:
        labels: H×W uint8 class ids; ``spec.ignore_index`` where the raster has no data.
        spec: classes, palette, and how it was predicted.
        crs, transform: of the raster, None and the identity without georeference.
        probabilities: K×H×W float32 if asked for; -1 where the raster has no data.
    """

    labels: np.ndarray
    spec: InferenceSpec
    crs: Any = None
    transform: Any = None
    probabilities: np.ndarray | None = None

    def save(self, stem: str | Path) -> Path:
        """Write ``stem.tif`` (georeferenced) or ``stem.png``, as :func:`paddle_rsseg.geo.writer.write_label_raster`."""
        raster = _Place(self.labels.shape[0], self.labels.shape[1], self.crs, self.transform)
        return write_label_raster(stem, [Band(0, 0, len(self.labels), self.labels, {})], raster, self.spec)


@dataclass
class _Place:
    height: int
    width: int
    crs: Any
    transform: Any


class Predictor:
    """Label maps of rasters of any size.

    >>> Predictor("output/best_model").predict("scene.tif").labels      # doctest: +SKIP

    Args:
        model: an exported model's directory; weights or a checkpoint; a ``paddle.nn.Layer``; or a back end.
        spec, settings, backend, device: see :func:`paddle_rsseg.inference.load.open_model`.
        batch_size: windows computed at once; None: what is fastest for the back end.
        blend: window weights. A map should show no seams, so it is ``cosine`` whatever the spec says; the protocols
            of published scores are ``uniform``.
        changes: fields of the spec to replace: ``window=(512, 512), stride=(256, 256)``.
    """

    def __init__(
        self,
        model: Any,
        spec: InferenceSpec | None = None,
        settings: Any = None,
        backend: str = "auto",
        device: str | None = None,
        batch_size: int | None = None,
        blend: str = "cosine",
        **changes: Any,
    ):
        ready = open_model(model, spec, settings, backend, device, blend=blend, **changes)
        self.spec, self.source = ready.spec, ready.source
        self.engine = WindowPredictor(ready.backend, ready.spec, batch_size)

    def predict(self, raster: Any, probabilities: bool = False) -> Prediction:
        """Predict a raster, a path, or an array H×W×C in the units of the training data.

        The whole map is held in memory; :meth:`predict_file` does not.
        """
        raster = self.engine.open(raster)
        products = Products(("probabilities",)) if probabilities else Products()
        bands = list(self.engine.bands(raster, products))
        share = np.concatenate([b.layers["probabilities"] for b in bands], axis=1) if probabilities else None
        return Prediction(np.concatenate([b.labels for b in bands]), self.spec, raster.crs, raster.transform, share)

    def predict_file(
        self,
        path: str | Path,
        save_dir: str | Path,
        name: str | None = None,
        overlay: bool = True,
        progress: Callable[[int, int], None] | None = None,
        probability: int | None = None,
    ) -> list[Path]:
        """Predict an image file of any size into ``save_dir``, band by band.

        Args:
            name: of the results, may contain directories; None: the file's name without suffix.
            overlay: also write a picture of the image under its map.
            progress: ``progress(rows done, rows)``, called after each band.
            probability: a class whose probability is written in place of the map and its picture.

        Returns:
            ``…_probability.tif`` (float32, -1 without data), else ``…_label.tif`` (or ``.png`` without georeference)
            and ``…_overlay.jpg``. Each is complete or absent.
        """
        name = Path(path).stem if name is None else name
        with self.engine.open(path) as raster:
            products = Products() if probability is None else Products(("probabilities",), classes=(probability,))
            bands = self._counted(self.engine.bands(raster, products), raster.height, progress)
            if probability is not None:
                stem = Path(save_dir) / f"{name}_probability"
                return [write_probability_raster(stem, bands, raster)]
            written = [write_label_raster(Path(save_dir) / f"{name}_label", bands, raster, self.spec)]
            if overlay:
                written.append(write_overlay(Path(save_dir) / f"{name}_overlay.jpg", raster, written[0], self.spec))
        return written

    @staticmethod
    def _counted(bands: Iterator[Band], rows: int, progress: Callable[[int, int], None] | None) -> Iterator[Band]:
        for band in bands:
            yield band
            if progress:
                progress(band.y1, rows)
