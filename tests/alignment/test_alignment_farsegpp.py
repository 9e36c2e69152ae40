"""Our FarSeg++ against the numbers of the original program, whose missing line was put in to run it."""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest
from golden_case import check, golden_files

from paddle_rsseg.losses import build_loss

FILES = golden_files("farseg/farsegpp*.npz")
TABLES = np.load(golden_files("farseg/functions.npz")[0])
TESTS = [test for test in json.loads(str(TABLES["meta"]))["tests"] if test["function"].startswith("ever_")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_float64_without_a_step(path):
    check(path, steps=0)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_all_steps(path, dtype):
    check(path, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("test", TESTS, ids=lambda test: test["function"])
def test_objectness_loss(test, dtype):
    dice = test["function"] == "ever_dice_loss_with_logits"
    kind = "ObjectnessDiceLoss" if dice else "ObjectnessBCELoss"
    loss = build_loss({"types": [{"type": kind, **test["arguments"]}], "coef": [1.0]}).losses[0]
    logits = paddle.to_tensor(TABLES[test["input"]].astype(dtype), stop_gradient=False)
    value = loss(logits, paddle.to_tensor(TABLES["objectness_label"]))
    value.backward()
    # the original's cross entropy casts to float32
    assert value.item() == pytest.approx(test["value"], rel=1e-12 if dice and dtype == "float64" else 1e-6)
    np.testing.assert_allclose(logits.grad.numpy(), TABLES[test["key"] + "/grad"], rtol=1e-5, atol=1e-9)
