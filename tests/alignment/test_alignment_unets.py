"""Our U-Net, U-Net++, scSE-UNet and CE-Net against the numbers of NAIC_AI-RS."""

from __future__ import annotations

import pytest
from golden_case import check, golden_files

FILES = [path for name in ("unet", "unetpp*", "scseunet*", "cenet*") for path in golden_files(f"naic/{name}.npz")]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_training(path, dtype):
    check(path, dtype=dtype)
