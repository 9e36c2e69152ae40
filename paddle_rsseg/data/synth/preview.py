"""A contact sheet: scenes above, their labels below, the legend under both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from paddle_rsseg.data.synth.scene import render_scene
from paddle_rsseg.data.synth.write import DatasetOptions
from paddle_rsseg.errors import RssegError

LARGEST = 400_000  # bytes of the picture
_GAP = 6

#: iSAID's own colours are hardly told apart by eye
_ISAID_DISPLAY = (
    (52, 56, 62), (0, 190, 255), (200, 80, 255), (222, 158, 74), (255, 120, 60), (255, 70, 110), (214, 60, 40),
    (250, 250, 250), (255, 175, 0), (255, 240, 60), (255, 0, 200), (70, 130, 255), (170, 140, 255), (60, 200, 80),
    (0, 240, 190), (150, 105, 60),
)  # fmt: skip


def write_preview(path: str | Path, options: DatasetOptions, count: int = 3) -> None:
    """Write a PNG of less than 400 kB with ``count`` scenes of a data set and their labels.

    Raises:
        RssegError: the file cannot be written.
    """
    options.check()
    if Path(path).suffix.lower() != ".png":
        raise RssegError("--preview", f"{path}", "the name of a .png file")
    # seen by a person: three bands as on a screen, whatever the data set has, and labels without noise
    options = replace(options, bands=3, dtype="uint8", label_noise=0.0)
    stream = options.stream(0, ())
    palette = _ISAID_DISPLAY if options.legend == "isaid" else stream.legend.palette
    pairs = []
    # spread over the training scenes, each of which has features of its own
    for scene in sorted({round(i) for i in np.linspace(0, max(options.scenes - options.validation - 1, 0), count)}):
        rendered = render_scene(
            options.seed, options.height, options.width, scene=scene, legend=options.legend, gsd=options.gsd,
            features=options.features(scene), collar=options.collar,
        )  # fmt: skip
        pairs.append((rendered.image, stream.legend.colourise(rendered.label, palette)))
    sheet = b""
    for side in (460, 400, 350, 300, 260, 220, 180, 140, 100):
        ok, encoded = cv2.imencode(
            ".png", _sheet(pairs, side, stream.legend.classes, palette)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9]
        )
        if not ok:
            raise RuntimeError("OpenCV encodes no PNG")
        sheet = encoded.tobytes()
        if len(sheet) < LARGEST:
            break
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sheet)
    except OSError as error:
        raise RssegError(path, f"cannot write ({error.strerror})", "a place to write to") from None


def _sheet(
    pairs: list[tuple[np.ndarray, np.ndarray]],
    side: int,
    classes: tuple[str, ...],
    palette: tuple[tuple[int, int, int], ...],
) -> np.ndarray:
    height, width = pairs[0][0].shape[:2]
    w, h = (
        (side, max(1, round(side * height / width)))
        if width >= height
        else (max(1, round(side * width / height)), side)
    )
    columns = []
    for image, label in pairs:
        small = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
        ids = cv2.resize(label, (w, h), interpolation=cv2.INTER_NEAREST)
        columns.append(np.vstack([small, np.full((_GAP, w, 3), 255, np.uint8), ids]))
        columns.append(np.full((2 * h + _GAP, _GAP, 3), 255, np.uint8))
    body = np.hstack(columns[:-1])
    legend = _legend(body.shape[1], classes, palette)
    return np.vstack([body, legend])


def _legend(width: int, classes: tuple[str, ...], palette: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """Coloured squares with names, in as many rows as they need."""
    font, scale, row, places = cv2.FONT_HERSHEY_SIMPLEX, 0.42, 22, []
    x, y = 0, _GAP
    for name in classes:
        need = 24 + cv2.getTextSize(name, font, scale, 1)[0][0] + 12
        if x and x + need > width:
            x, y = 0, y + row
        places.append((x, y))
        x += need
    out = np.full((y + row, width, 3), 255, np.uint8)
    for name, colour, (x, y) in zip(classes, palette, places, strict=True):
        cv2.rectangle(out, (x + 2, y + 3), (x + 16, y + 17), colour, cv2.FILLED)
        cv2.rectangle(out, (x + 2, y + 3), (x + 16, y + 17), (120, 120, 120), 1)
        cv2.putText(out, name, (x + 22, y + 15), font, scale, (30, 30, 30), 1, cv2.LINE_AA)
    return out
