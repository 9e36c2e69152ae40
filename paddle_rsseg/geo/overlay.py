"""Pictures for people: an image under its label map, with a legend. Never input of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from paddle_rsseg.data.files import replacing
from paddle_rsseg.data.raster import open_raster
from paddle_rsseg.geo.writer import colour_table
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.windows import Window

#: a class that is called so is what remains: it is left untinted
BACKGROUND = ("background", "unlabeled", "unlabelled", "void", "other", "others")


def quicklook(raster: Any, bands: tuple[int, ...] | None = None, max_side: int = 2048) -> np.ndarray:
    """The raster as a picture h×w×3 uint8, no side longer than ``max_side`` pixels, read strip by strip.

    The first three of ``bands`` (default: of the file) are red, green, blue; of one or two bands the first is grey.
    8-bit values are shown as they are. Others are stretched linearly between the 2nd and 98th percentile of the
    whole picture, band by band: for the eye only, networks never see it. Pixels without data are black.
    """
    shown = tuple(bands or range(1, raster.count + 1))
    shown = shown[:3] if len(shown) >= 3 else shown[:1] * 3
    factor = -(-max(raster.height, raster.width) // max_side)
    strips, valids = [], []
    for window in _strips(raster.height, raster.width, factor):
        pixels, valid = raster.read_valid(window, shown)
        valid = np.ones(pixels.shape[:2], bool) if valid is None else valid
        pixels = np.where(valid[..., None], pixels, 0).astype(np.float32)
        share = _shrink(valid.astype(np.float32), factor)
        strips.append(_shrink(pixels, factor) / np.maximum(share, 1e-6)[..., None])
        valids.append(share > 0)
    picture, seen = np.concatenate(strips), np.concatenate(valids)
    if raster.dtype != np.uint8 and seen.any():
        low, high = np.percentile(picture[seen], [2, 98], axis=0)
        picture = (picture - low) * (255 / np.maximum(high - low, 1e-12))
    return np.where(seen[..., None], np.clip(np.rint(picture), 0, 255), 0).astype(np.uint8)


def colourize(labels: np.ndarray, spec: InferenceSpec) -> np.ndarray:
    """H×W class ids → H×W×3 uint8 in the classes' colours; black where ignored."""
    table = np.zeros((256, 3), np.uint8)
    for k, colour in colour_table(spec).items():
        table[k] = colour[:3]
    return table[labels]


def write_overlay(
    path: str | Path, raster: Any, label_path: Any, spec: InferenceSpec, max_side: int = 2048, opacity: float = 0.45
) -> Path:
    """Write the image tinted with its classes' colours, and a legend with their shares, as a JPEG.

    Args:
        path: ends in ``.jpg``.
        raster: the image, a Raster, path or array.
        label_path: its label map (path, or H×W array of class ids).
        max_side: longest side of the picture in pixels, legend not counted.
        opacity: 0 shows the image alone, 1 the colours alone.
    """
    raster = open_raster(raster)
    picture = quicklook(raster, spec.bands, max_side).astype(np.float32)
    tint, strength, pixels = _tint(label_path, spec, max_side)
    strength = (strength * opacity)[..., None]
    blended = np.rint(picture * (1 - strength) + tint * opacity).astype(np.uint8)
    canvas = np.concatenate([blended, _legend(blended.shape[0], pixels, spec)], axis=1)
    path = Path(path)
    with replacing(path) as temporary:
        if not cv2.imwrite(str(temporary), canvas[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise OSError("OpenCV could not encode it")
    return path


def _tint(label_path: Any, spec: InferenceSpec, max_side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours times their coverage h×w×3, coverage h×w in 0..1, and pixels per class at full size.

    Colours are averaged, not sampled, so that small objects keep a trace in a strongly reduced picture.
    """
    labels = _label_raster(label_path)
    factor = -(-max(labels.height, labels.width) // max_side)
    covers = np.ones(256, np.float32)
    covers[[k for k, name in enumerate(spec.classes) if name.lower().strip("_ ") in BACKGROUND]] = 0
    covers[spec.ignore_index] = 0
    tints, strengths, counts = [], [], np.zeros(256, np.int64)
    for window in _strips(labels.height, labels.width, factor):
        ids = labels.read(window)[..., 0]
        counts += np.bincount(ids.ravel(), minlength=256)
        strength = covers[ids]
        tints.append(_shrink(colourize(ids, spec) * strength[..., None], factor))
        strengths.append(_shrink(strength, factor))
    return np.concatenate(tints), np.concatenate(strengths), counts


def _label_raster(labels: Any) -> Any:
    from paddle_rsseg.data.raster import Raster

    return open_raster(labels) if isinstance(labels, np.ndarray) else Raster(labels, expand_palette=False)


def _strips(height: int, width: int, factor: int) -> list[Window]:
    """Full-width windows of a few hundred rows, a multiple of ``factor`` each save for the last."""
    rows = max(1, 512 // factor) * factor
    return [Window(y, min(y + rows, height), 0, width) for y in range(0, height, rows)]


def _shrink(values: np.ndarray, factor: int) -> np.ndarray:
    """Mean over factor×factor pixels; a remainder at the right and bottom is averaged over what there is."""
    if factor == 1:
        return values
    height, width = values.shape[:2]
    size = -(-width // factor) * factor - width, -(-height // factor) * factor - height
    values = cv2.copyMakeBorder(values, 0, size[1], 0, size[0], cv2.BORDER_REPLICATE)
    return cv2.resize(values, (values.shape[1] // factor, values.shape[0] // factor), interpolation=cv2.INTER_AREA)


def _legend(height: int, pixels: np.ndarray, spec: InferenceSpec) -> np.ndarray:
    """White column with a swatch, the name and the share of each class that occurs, the most frequent first."""
    total = max(int(pixels.sum()), 1)
    present = sorted((k for k in range(spec.num_classes) if pixels[k]), key=lambda k: -pixels[k])
    rows = [(colour_table(spec)[k][:3], _name(k, spec), pixels[k] / total) for k in present]
    if pixels[spec.ignore_index]:
        rows.append(((0, 0, 0), "no data", pixels[spec.ignore_index] / total))
    scale = float(np.clip(height / 1400, 0.35, 1.0))
    step = max(8, min(int(44 * scale), height // (len(rows) + 1)))
    font = min(scale, step / 44)
    texts = [f"{name}  {share:.1%}" for _, name, share in rows]
    widest = max((cv2.getTextSize(t, cv2.FONT_HERSHEY_SIMPLEX, font, 1)[0][0] for t in texts), default=0)
    canvas = np.full((height, widest + int(step * 2.2), 3), 255, np.uint8)
    for i, ((colour, _, _), text) in enumerate(zip(rows, texts, strict=True)):
        y = int(step * (i + 0.5))
        cv2.rectangle(canvas, (step // 2, y), (step // 2 + step * 3 // 4, y + step * 3 // 4), colour, -1)
        cv2.rectangle(canvas, (step // 2, y), (step // 2 + step * 3 // 4, y + step * 3 // 4), (120, 120, 120), 1)
        place = (step // 2 + step, y + int(step * 0.6))
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, font, (30, 30, 30), 1, cv2.LINE_AA)
    return canvas


def _name(k: int, spec: InferenceSpec) -> str:
    name = spec.classes[k] if k < len(spec.classes) else ""
    return name if name and name.isascii() else f"class {k}"  # OpenCV's fonts have no other letters
