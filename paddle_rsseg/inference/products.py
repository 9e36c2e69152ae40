"""What can be said of a pixel beside its class: probabilities, confidence, entropy, margin; and in which numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from paddle_rsseg.errors import RssegError, did_you_mean

#: name → what it says
NAMES = {
    "probabilities": "of every class, a plane each",
    "confidence": "probability of the most probable class",
    "entropy": "of the probabilities, over that of K equal ones (ln K)",
    "margin": "between the two most probable classes",
}
DTYPES = ("float32", "float16", "uint8")
#: value of pixels without data, by type of number
NODATA = {"float32": -1, "float16": -1, "uint8": 255}
#: what a stored number is multiplied with to lie in 0..1; 250 steps, so that the factor is a short decimal number
SCALE = {"float32": 1.0, "float16": 1.0, "uint8": 0.004}


@dataclass(frozen=True)
class Products:
    """What to compute beside the labels.

    Attributes:
        names: of :data:`NAMES`. All lie in 0..1.
        dtype: ``float32``, ``float16`` (three decimals), or ``uint8`` (0 to 250 for 0 to 1). Pixels without data are
            :data:`NODATA`.
        classes: whose ``probabilities`` are wanted; None: all classes'.

    Raises:
        RssegError: an unknown name or type.
    """

    names: tuple[str, ...] = ()
    dtype: str = "float32"
    classes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in NAMES:
                raise RssegError("products", repr(name), ", ".join(NAMES), did_you_mean(str(name), NAMES))
        if self.dtype not in DTYPES:
            raise RssegError("products' type", repr(self.dtype), ", ".join(DTYPES))

    def __bool__(self) -> bool:
        return bool(self.names)

    def planes(self, name: str, num_classes: int) -> tuple[int, ...]:
        """The classes whose planes a product has; empty for one plane about all of them."""
        if name != "probabilities":
            return ()
        return tuple(range(num_classes)) if self.classes is None else self.classes

    def empty(self, num_classes: int, rows: int, width: int) -> dict[str, np.ndarray]:
        """Room for the products of some rows: name → planes × rows × width."""
        return {
            name: np.empty((max(1, len(self.planes(name, num_classes))), rows, width), self.dtype)
            for name in self.names
        }

    def fill(self, layers: Mapping[str, np.ndarray], y: int, shares: np.ndarray, valid: np.ndarray | None) -> None:
        """Compute the products of some rows.

        Args:
            layers: from :meth:`empty`.
            y: their first row in it.
            shares: K × rows × width float32 probabilities.
            valid: rows × width bool; None: all are.
        """
        for name, layer in layers.items():
            if name == "probabilities":
                values = shares if self.classes is None else shares[list(self.classes)]
            else:
                values = _ONE[name](shares)[None]
            stored = values if self.dtype != "uint8" else np.rint(values * np.float32(1 / SCALE["uint8"]))
            out = layer[:, y : y + shares.shape[1]]
            out[:] = stored
            if valid is not None:
                out[:, ~valid] = NODATA[self.dtype]


def _confidence(shares: np.ndarray) -> np.ndarray:
    return shares.max(axis=0)


def _margin(shares: np.ndarray) -> np.ndarray:
    if len(shares) == 1:
        return shares[0]
    two = np.partition(shares, len(shares) - 2, axis=0)[-2:]
    return two[1] - two[0]


def _entropy(shares: np.ndarray) -> np.ndarray:
    if len(shares) == 1:
        return np.zeros(shares.shape[1:], np.float32)
    surprise = shares * np.log(np.maximum(shares, np.finfo(np.float32).tiny))
    return np.clip(surprise.sum(axis=0) * np.float32(-1 / np.log(len(shares))), 0, 1)


_ONE = {"confidence": _confidence, "margin": _margin, "entropy": _entropy}

#: labels alone
NONE = Products()
