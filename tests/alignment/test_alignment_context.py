"""Our DANet, PSPNet and DenseASPP against the numbers of NAIC_AI-RS."""

from __future__ import annotations

import pytest
from golden_case import check, golden_files

FILES = [
    *golden_files("naic/danet_*.npz"),
    *golden_files("naic/pspnet_*.npz"),
    *golden_files("naic/denseaspp*.npz"),
]


@pytest.mark.parametrize("path", [path for path in FILES if path.stem == "pspnet_resnet50"], ids=lambda path: path.stem)
def test_float64_outputs_loss_and_gradients(path):
    check(path, steps=0)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_training(path, dtype):
    check(path, dtype=dtype)
