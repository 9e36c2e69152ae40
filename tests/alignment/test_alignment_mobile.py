"""Our aligned Xception against the numbers of NAIC_AI-RS; the mobile encoders are checked inside their DeepLabV3+."""

from __future__ import annotations

import pytest
from golden_case import check, golden_files

FILES = golden_files("naic/backbone_xception*.npz")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_all_steps(path, dtype):
    check(path, dtype=dtype)
