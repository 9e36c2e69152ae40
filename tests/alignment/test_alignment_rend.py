"""Point heads against the numbers of NAIC_AI-RS: sampling, the choice of points, RendDANet and RendUNet."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from golden_case import check, golden_files

from paddle_rsseg.models.points import pixel_points, sample, training_points, uncertain_pixels

FILES = [*golden_files("naic/renddanet*.npz"), *golden_files("naic/rendunet*.npz")]
TABLES = pytest.mark.parametrize("path", golden_files("naic/functions.npz"), ids=lambda path: path.stem)


@TABLES
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_sampling(path, mode, align_corners):
    table = np.load(path)
    feature, points = (paddle.to_tensor(table[name].astype("float64")) for name in ("feature", "points"))
    ours = sample(feature, points, align_corners, mode, padding="zeros").squeeze(3).numpy()
    np.testing.assert_allclose(ours, table[f"sampling_features/{mode}_align{int(align_corners)}"], atol=1e-6)


@TABLES
def test_uncertain_pixels(path):
    table = np.load(path)
    logits = paddle.to_tensor(table["logits"].astype("float64"))
    index = uncertain_pixels(logits, 20)
    np.testing.assert_array_equal(index.numpy(), table["sampling_points/eval_index"])
    points = pixel_points(index, logits.shape[2:], paddle.float64, centres=True)
    np.testing.assert_allclose(points.numpy(), table["sampling_points/eval_points"], atol=1e-7)


@TABLES
def test_training_points(path):
    table = np.load(path)
    drawn = iter(table[f"sampling_points/random_{which}"] for which in ("first", "second"))
    logits = paddle.to_tensor(table["logits"].astype("float64"))
    points = training_points(logits, 20, 3, 0.75, True, lambda shape: paddle.to_tensor(next(drawn)).reshape(shape))
    np.testing.assert_allclose(points.numpy(), table["sampling_points/train_points"], atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_training(path, dtype):
    check(path, dtype=dtype)
