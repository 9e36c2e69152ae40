"""Curves, and sample predictions as pictures, for VisualDL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.windows import Window


class Curves:
    """Writes what ``visualdl --logdir DIR`` shows.

    Raises:
        RssegError: VisualDL is not installed.
    """

    def __init__(self, folder: Path):
        try:
            from visualdl import LogWriter
        except ImportError as error:
            raise RssegError(
                "--use_vdl",
                f"VisualDL cannot be imported ({error})",
                "the package visualdl",
                "pip install 'paddle-rsseg[vdl]', or leave --use_vdl out",
            ) from None
        self._writer = LogWriter(str(folder))

    def scalars(self, group: str, iteration: int, values: Mapping[str, float]) -> None:
        """PaddleSeg's tags: ``Train/loss``, ``Evaluate/mIoU``, …"""
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", float(value), iteration)

    def picture(self, tag: str, iteration: int, image: np.ndarray) -> None:
        """H×W×3 uint8."""
        self._writer.add_image(tag, image, iteration)

    def close(self) -> None:
        self._writer.close()


def sample_pictures(
    forward: Callable[[np.ndarray], np.ndarray], dataset: Any, spec: InferenceSpec, count: int = 3
) -> list[np.ndarray]:
    """Image, truth and prediction of the first window of up to ``count`` images, spread over the data set.

    Args:
        forward: N×C×H×W float32 → logits N×K×H×W.
    """
    pictures = []
    for index in sorted({i * len(dataset) // count for i in range(count)}):
        with dataset.image(index) as raster:
            window = Window(0, min(raster.height, spec.window[0]), 0, min(raster.width, spec.window[1]))
            image = spec.normalize(raster.read(window, spec.bands), raster.valid(window, spec.nodata))
        label = dataset.label(index)
        prediction = forward(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))[0].argmax(0)
        pictures.append(
            side_by_side(image, label and label.read(window), prediction, np.asarray(spec.palette, np.uint8))
        )
    return pictures


def side_by_side(
    image: np.ndarray, label: np.ndarray | None, prediction: np.ndarray, palette: np.ndarray
) -> np.ndarray:
    """One H×nW×3 uint8 picture: image, truth (if there is one), prediction.

    Args:
        image: H×W×C, normalised; the first three bands are shown, ±2 standard deviations from black to white.
        label, prediction: H×W class ids; ids without a colour (ignored pixels) are black.
        palette: K×3 uint8.
    """
    bands = image[..., :3] if image.shape[-1] >= 3 else image[..., :1].repeat(3, axis=-1)
    shown = [(np.clip(bands / 4 + 0.5, 0, 1) * 255).astype(np.uint8)]
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette.reshape(-1, 3)
    shown += [colours[ids.astype(np.uint8)] for ids in (label, prediction) if ids is not None]
    return np.concatenate(shown, axis=1)
