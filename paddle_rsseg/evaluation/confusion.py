"""The confusion matrix, in whole numbers."""

from __future__ import annotations

import numpy as np


def confusion_matrix(
    prediction: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int = 255
) -> np.ndarray:
    """How often truth i was called j: int64 K×K, rows truth, columns prediction.

    Args:
        prediction, label: arrays of one shape with whole numbers from 0 to 255. Pixels where either of them is
            ``ignore_index`` count nowhere: the label says so, or the image has no data there.

    Raises:
        ValueError: the shapes differ, or another value is not below ``num_classes``; the message names it.
    """
    if prediction.shape != label.shape:
        raise ValueError(f"prediction {prediction.shape} and label {label.shape} differ in shape")
    pairs = (_bytes(label, "label").astype(np.uint16) << 8) | _bytes(prediction, "prediction")
    # one histogram of all pairs of bytes: nothing has to be masked, and whatever lies outside shows up in it
    counts = np.bincount(pairs.ravel(), minlength=1 << 16).reshape(256, 256).astype(np.int64, copy=False)
    matrix = counts[:num_classes, :num_classes].copy()
    if ignore_index < num_classes:
        matrix[ignore_index] = matrix[:, ignore_index] = 0
    for axis, what in ((1, "label"), (0, "prediction")):
        outside = [v for v in range(num_classes, 256) if v != ignore_index and counts.sum(axis)[v]]
        if outside:
            number = int(counts.sum(axis)[outside].sum())
            raise ValueError(f"{number} {what} pixels of {outside[:8]}, which is no class below {num_classes}")
    return matrix


def _bytes(values: np.ndarray, what: str) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "iu":
        raise ValueError(f"{what} holds {values.dtype}, not whole numbers")
    if values.size and not 0 <= values.min() <= values.max() <= 255:
        raise ValueError(f"{what} values {values.min()} to {values.max()}, not 0 to 255")
    return values.astype(np.uint8)
