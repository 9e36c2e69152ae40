"""Curves and pictures for VisualDL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from paddle_rsseg.errors import RssegError


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
                "--use_vdl", f"VisualDL cannot be imported ({error})", "the package visualdl",
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
    colours[: len(palette)] = palette
    shown += [colours[ids.astype(np.uint8)] for ids in (label, prediction) if ids is not None]
    return np.concatenate(shown, axis=1)
