"""Our FarSeg against the original program's numbers: outputs, losses, every gradient, training steps, statistics."""

from __future__ import annotations

import pytest
from golden_case import check, golden_files

FILES = golden_files("farseg/farseg50*.npz")
MAIN = next(path for path in FILES if path.stem == "farseg50")


def test_float64_all_steps():
    check(MAIN)


def test_float32_all_steps():
    check(MAIN, dtype="float32")


@pytest.mark.parametrize("path", [path for path in FILES if path != MAIN], ids=lambda path: path.stem)
def test_float64_one_step(path):
    check(path, steps=1)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", [path for path in FILES if path != MAIN], ids=lambda path: path.stem)
def test_all_steps(path, dtype):
    check(path, dtype=dtype)
