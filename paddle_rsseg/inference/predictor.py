"""Prediction for users: from a path of weights to a label map, in memory or on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from paddle_rsseg.geo.writer import write_label_raster
from paddle_rsseg.inference.engine import Band, WindowPredictor
from paddle_rsseg.inference.fingerprint import fingerprint
from paddle_rsseg.inference.load import open_model
from paddle_rsseg.inference.products import Products
from paddle_rsseg.inference.scene import MAP, Outputs, Place, Scene
from paddle_rsseg.inference.spec import InferenceSpec


@dataclass
class Prediction:
    """A label map and what is known about it.

    Attributes:
        labels: H×W uint8 class ids; ``spec.ignore_index`` where the raster has no data.
        spec: classes, palette, and how it was predicted.
        crs, transform, gcps, rpcs: of the raster; None and the identity without georeference.
        probabilities: K×H×W float32 if asked for; -1 where the raster has no data.
    """

    labels: np.ndarray
    spec: InferenceSpec
    crs: Any = None
    transform: Any = None
    probabilities: np.ndarray | None = None
    gcps: Any = None
    rpcs: Any = None

    def save(self, stem: str | Path) -> Path:
        """Write ``stem.tif`` (georeferenced) or ``stem.png``, as :func:`paddle_rsseg.geo.writer.write_label_raster`."""
        raster = Place(len(self.labels), self.labels.shape[1], self.crs, self.transform, self.gcps, self.rpcs)
        return write_label_raster(stem, [Band(0, 0, len(self.labels), self.labels, {})], raster, self.spec)


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
        self._model, self._settings = model, settings
        self.engine = WindowPredictor(ready.backend, ready.spec, batch_size)

    def predict(self, raster: Any, probabilities: bool = False) -> Prediction:
        """Predict a raster, a path, or an array H×W×C in the units of the training data.

        The whole map is held in memory; :meth:`predict_file` does not.
        """
        raster = self.engine.open(raster)
        products = Products(("probabilities",)) if probabilities else Products()
        bands = list(self.engine.bands(raster, products))
        share = np.concatenate([b.layers["probabilities"] for b in bands], axis=1) if probabilities else None
        labels = np.concatenate([b.labels for b in bands])
        return Prediction(labels, self.spec, raster.crs, raster.transform, share, raster.gcps, raster.rpcs)

    def scene(
        self,
        path: str | Path,
        save_dir: str | Path,
        name: str | None = None,
        outputs: Outputs = MAP,
        overwrite: bool = False,
    ) -> Scene:
        """An image file and its results; see :class:`paddle_rsseg.inference.scene.Scene`."""
        name = Path(path).stem if name is None else name
        return Scene(path, save_dir, name, self.engine, outputs, self.fingerprint, overwrite)

    def predict_file(
        self,
        path: str | Path,
        save_dir: str | Path,
        name: str | None = None,
        outputs: Outputs = MAP,
        progress: Callable[[int, int], None] | None = None,
        overwrite: bool = False,
    ) -> list[Path]:
        """Predict an image file of any size into ``save_dir``, band by band.

        Killed and called again it goes on after the last band that was finished, and its results are the same bytes;
        called again when all is done it does nothing. Both only for the same image, model and options.

        Args:
            name: of the results, may contain directories; None: the file's name without suffix.
            outputs: what to write.
            progress: ``progress(rows done, rows)``, called after each band.
            overwrite: do everything anew.

        Returns:
            The files. Each is complete or absent.
        """
        with self.scene(path, save_dir, name, outputs, overwrite) as scene:
            return scene.results() or scene.write(progress)

    @cached_property
    def fingerprint(self) -> str | None:
        """Of the model and of the network that the settings say it is; None for a back end that is not known."""
        content = fingerprint(self._model)
        if content is None or self._settings is None:
            return content
        return hashlib.sha256(f"{content} {self._settings.model}".encode()).hexdigest()
