"""Our RefineNet and BASNet against the numbers of NAIC_AI-RS. Quick runs have none: both take a minute."""

from __future__ import annotations

import pytest
from golden_case import check, golden_files

FILES = [*golden_files("naic/refinenet*.npz"), *golden_files("naic/basnet*.npz")]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_training(path, dtype):
    check(path, dtype=dtype)
