"""Our UPerNet on Swin against the numbers of mmsegmentation. Quick runs have none: Swin-B alone takes a minute."""

from __future__ import annotations

import pytest
from golden_case import check, golden_files

FILES = golden_files("mmseg/swin_*_upernet*.npz")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_training(path, dtype):
    check(path, dtype=dtype)
