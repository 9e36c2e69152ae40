"""A golden file: what an original PyTorch program computed, in float64, from weights, input and labels made by the
rule in ``golden.py``. Everything needed to repeat the run is in the file's own description and in ``originals/``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from paddle_rsseg.alignment import golden
from paddle_rsseg.alignment.originals import Original, find

#: in the order in which a reproduction is checked: when one fails, those after it say nothing
STEPS = ("forward", "metric", "loss", "backward", "training")


class Deviation(NamedTuple):
    """How far one number (the worst of its kind) is off, how far it may be, and which of :data:`STEPS` it is of."""

    what: str
    measured: float
    allowed: float
    step: str

    @property
    def ok(self) -> bool:
        return bool(self.measured <= self.allowed)  # False for nan

    def __str__(self) -> str:
        return f"{'  ' if self.ok else '✗ '}{self.what:40} {self.measured:9.2e}  allowed {self.allowed:9.2e}"


class Case:
    """One golden file: what to build, what to feed, what to expect."""

    def __init__(self, path: Path):
        self.path = path
        self.expected = np.load(path)
        self.meta: dict[str, Any] = json.loads(str(self.expected["meta"]))

    def original(self) -> Original:
        return find(self.meta)

    def weights(self) -> dict[str, np.ndarray]:
        """The rule's numbers, under the original's names; buffers it computes for itself are left out."""
        meta = self.meta
        values = golden.weights(meta["names_shapes"], meta["seed"], meta["gain"], meta["overrides"], meta["kept"])
        for group in meta["same_tensor"]:
            values.update(dict.fromkeys(group, values[group[-1]]))
        return values

    def image(self) -> np.ndarray:
        return golden.inputs(self.meta["input_shape"], self.meta["seed"])

    def label(self) -> np.ndarray:
        rule = self.meta["train"]["label"]
        return golden.labels(
            rule["shape"], rule["num_classes"], rule["seed"], rule["pattern"], rule["ignore"], rule["ignore_fraction"]
        )
