"""iSAID's sixteen classes: names, colours in both published orders, and the exact decoding of a colour mask."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: the class of each label value, spelt out
CLASSES = (
    "background", "ship", "storage tank", "baseball diamond", "tennis court", "basketball court",
    "ground track field", "bridge", "large vehicle", "small vehicle", "helicopter", "swimming pool",
    "roundabout", "soccer ball field", "plane", "harbor",
)  # fmt: skip
#: the short names of ``labels.txt`` and of the published tables
SHORT_CLASSES = (
    "background", "Ship", "ST", "BD", "TC", "BC", "GTF", "Bridge",
    "LV", "SV", "HC", "SP", "RA", "SBF", "Plane", "Harbor",
)  # fmt: skip

#: (R, G, B) of each class in the data set's own devkit
KIT_PALETTE = (
    (0, 0, 0), (0, 0, 63), (0, 63, 63), (0, 63, 0), (0, 63, 127), (0, 63, 191), (0, 63, 255), (0, 127, 63),
    (0, 127, 127), (0, 0, 127), (0, 0, 191), (0, 0, 255), (0, 191, 127), (0, 127, 191), (0, 127, 255), (0, 100, 155),
)  # fmt: skip


def _swapped(palette: tuple[tuple[int, int, int], ...], a: int, b: int) -> tuple[tuple[int, int, int], ...]:
    colours = list(palette)
    colours[a], colours[b] = colours[b], colours[a]
    return tuple(colours)


#: The official FarSeg release has storage tank and roundabout exchanged. Labels made this way fit its weights
#: as they are; labels made the devkit's way need rows 2 and 12 of the classifier exchanged.
REF_PALETTE = _swapped(KIT_PALETTE, 2, 12)

PALETTES: Mapping[str, tuple[tuple[int, int, int], ...]] = {"kit": KIT_PALETTE, "ref": REF_PALETTE}


def look_up_table(palette: tuple[tuple[int, int, int], ...], unknown: int = 255) -> np.ndarray:
    """65,536 label values, indexed by ``G + 256 * B``; ``unknown`` where no class has the colour.

    Red is 0 in every class, so two channels are the whole key (:func:`decode_mask` checks the third).
    """
    table = np.full(1 << 16, unknown, np.uint8)
    for label, (red, green, blue) in enumerate(palette):
        assert red == 0, "the key leaves red out"
        table[green + 256 * blue] = label
    return table


def decode_mask(
    bgr: np.ndarray, palette: tuple[tuple[int, int, int], ...], unknown_label: int = 255
) -> tuple[np.ndarray, dict[tuple[int, int, int], int]]:
    """Colour mask → label map by exact match.

    Args:
        bgr: H×W×3 uint8 in OpenCV's channel order.
        unknown_label: what a pixel of any other colour becomes.

    Returns:
        H×W uint8 labels, and the number of pixels of each unknown (R, G, B), the most frequent first.
    """
    key = bgr[..., 0].astype(np.uint16)
    key <<= 8
    key |= bgr[..., 1]
    labels = look_up_table(palette)[key]  # 255 is no class, so it marks the unknown ones here
    red = bgr[..., 2]
    if red.any():
        labels[red != 0] = 255
    strange = labels == 255
    if not strange.any():
        return labels, {}
    labels[strange] = unknown_label
    colours, counts = np.unique(bgr[strange][:, ::-1], axis=0, return_counts=True)
    order = np.lexsort((*colours.T[::-1], -counts))
    return labels, {tuple(int(v) for v in colours[i]): int(counts[i]) for i in order}  # type: ignore[misc]
