"""Our HRNets against the numbers of SegHZ, NAIC_AI-RS and mmsegmentation."""

from __future__ import annotations

import pytest
from golden_case import check, golden_files

FILES = [
    *golden_files("seghz/hrnet_w*.npz"),
    *golden_files("seghz/hrnet_ocr_w*.npz"),
    *golden_files("seghz/hrnet_pam_w*.npz"),
    *golden_files("seghz/hrnet_psp*.npz"),
    *golden_files("naic/hrnet_ocr*.npz"),
    *golden_files("mmseg/hrnet*_ocr*.npz"),
]


@pytest.mark.parametrize("path", [path for path in FILES if path.stem == "hrnet_ocr_w48"], ids=lambda path: path.stem)
def test_float64_outputs_loss_and_gradients(path):
    check(path, steps=0)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_training(path, dtype):
    check(path, dtype=dtype)
