"""Our HRNets against the numbers of SegHZ, NAIC_AI-RS and mmsegmentation."""

from __future__ import annotations

import pytest
from golden_case import check, golden_files

FILES = [
    *golden_files("seghz/hrnet_w*.npz"),
    *golden_files("seghz/hrnet_ocr_w*.npz"),
    *golden_files("naic/hrnet_ocr*.npz"),
    *golden_files("mmseg/hrnet*_ocr*.npz"),
]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_all_steps(path, dtype):
    check(path, dtype=dtype)
