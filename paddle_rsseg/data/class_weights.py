"""Class weights from the numbers of pixels: NumPy only, for a command or a notebook.

Each function takes K numbers of pixels n_c and gives K weights as float64; f_c = n_c / Σn. A class without pixels has
the weight 0, for it never occurs, except in :func:`enet`, whose formula is finite there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from paddle_rsseg.errors import RssegError

#: in NAIC_AI-RS's source, commented out: the weights of its 8 classes, set by hand
NAIC_BY_HAND = (1.0, 1.5, 1.0, 2.0, 1.5, 2.0, 2.0, 1.2)


def enet(counts: Sequence[float] | np.ndarray, c: float = 1.02) -> np.ndarray:
    """1 / ln(c + f_c) (Paszke et al. 2016; SegHZ)."""
    return 1 / np.log(c + _frequencies(counts))


def inverse_frequency(counts: Sequence[float] | np.ndarray) -> np.ndarray:
    """1 / f_c, scaled to a mean of 1 over the classes that occur (SegHZ's text)."""
    weights = _inverse(_frequencies(counts))
    return weights / weights[weights > 0].mean()


def median_frequency(counts: Sequence[float] | np.ndarray) -> np.ndarray:
    """median(f) / f_c, the median of the classes that occur (Eigen & Fergus 2015, with f of all images)."""
    frequencies = _frequencies(counts)
    return np.median(frequencies[frequencies > 0]) * _inverse(frequencies)


def log_inverse(counts: Sequence[float] | np.ndarray, lift: float = 0.0, below: float = np.inf) -> np.ndarray:
    """v_c = ln(1/f_c) / max_c ln(1/f_c); ``lift`` is added to those below ``below`` (system E).

    System E's list has 0.2 for the classes below 0.1 (there: one), its script 0.1 for all.

    Raises:
        RssegError: besides the bad counts, a single class that occurs: ln 1 is 0.
    """
    frequencies = _frequencies(counts)
    present = frequencies > 0
    surprise = np.where(present, -np.log(np.where(present, frequencies, 1.0)), 0.0)
    if not surprise.any():
        raise RssegError("class weights", "pixels of one class only", "two classes or more")
    weights = surprise / surprise.max()
    return weights + np.where(present & (weights < below), lift, 0.0)


#: name → formula
FORMULAS: dict[str, Callable[..., np.ndarray]] = {
    "enet": enet,
    "inverse_frequency": inverse_frequency,
    "median_frequency": median_frequency,
    "log_inverse": log_inverse,
}


def entropy(counts: Sequence[float] | np.ndarray) -> float:
    """-Σ f_c ln f_c, in nats; ln K if all classes are as frequent."""
    frequencies = _frequencies(counts)
    present = frequencies[frequencies > 0]
    return float((present * -np.log(present)).sum()) + 0.0  # no -0


def _frequencies(counts: Sequence[float] | np.ndarray) -> np.ndarray:
    numbers = np.asarray(counts, "float64")
    if numbers.ndim != 1 or not np.isfinite(numbers).all() or (numbers < 0).any() or not numbers.sum() > 0:
        raise RssegError("class weights", f"counts {numbers.tolist()}", "a number of pixels a class, not all 0")
    return numbers / numbers.sum()


def _inverse(frequencies: np.ndarray) -> np.ndarray:
    return np.divide(1.0, frequencies, out=np.zeros_like(frequencies), where=frequencies > 0)
