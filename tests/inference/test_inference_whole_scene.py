"""What a user may rely on for a scene of any size: nothing lost, no seams, one radiometry, bounded memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inference_engine import CLASSES, IDENTITY, one_hot

from paddle_rsseg.data.raster import ArrayRaster
from paddle_rsseg.inference import Predictor
from paddle_rsseg.inference.engine import WindowPredictor
from paddle_rsseg.inference.products import Products
from paddle_rsseg.inference.spec import POLICIES, VIEW_NAMES, InferenceSpec
from paddle_rsseg.windows import WEIGHTS, sliding


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    window=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    overlap=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    policy=st.sampled_from(POLICIES),
    margin=st.integers(0, 50),
    pad=st.sampled_from(["multiple", "window"]),
    average=st.sampled_from(["probs", "logits"]),
    blend=st.sampled_from(WEIGHTS),
    views=st.lists(st.sampled_from(sorted(VIEW_NAMES)), min_size=1, max_size=9),
    batch=st.integers(1, 5),
    collar=st.integers(0, 12),
    holes=st.floats(0, 0.5),
    cut=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_identity_network_gives_the_image_back(
    size, window, overlap, policy, margin, pad, average, blend, views, batch, collar, holes, cut, seed
):
    """Everything that can be chosen, all at once; and begun anew at any band."""
    stride = tuple(max(1, round(w * (1 - o))) for w, o in zip(window, overlap, strict=True))
    how = {"policy": policy, "margin": margin, "pad": pad, "average": average, "blend": blend, "views": tuple(views)}
    rng = np.random.default_rng(seed)
    image = rng.integers(0, CLASSES, size).astype(np.uint8)
    image[rng.random(size) < holes] = 99
    if collar:
        image[:collar] = 99
        image[:, -collar:] = 99
    raster = ArrayRaster(image, nodata=99)
    engine = WindowPredictor(one_hot, InferenceSpec(**IDENTITY, window=window, stride=stride, **how), batch)
    begin = round(cut * engine.count(raster))
    products = Products(("margin",))
    bands = [*engine.bands(raster, products, 0, begin), *engine.bands(raster, products, begin)]
    labels, margins = (
        np.concatenate([b.labels for b in bands]),
        np.concatenate([b.layers["margin"][0] for b in bands]),
    )
    np.testing.assert_array_equal(labels, np.where(image == 99, 255, image))
    sure = (np.e - 1) / (np.e + CLASSES - 1)  # softmax of one 1 among zeros, less that of a zero
    np.testing.assert_allclose(margins, np.where(image == 99, -1, sure), atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("changes", "seamless"), [({}, True), ({"blend": "linear"}, True), ({"blend": "gaussian"}, True),
                              ({"blend": "uniform"}, False)],
)  # fmt: skip
def test_seams(axis, changes, seamless):
    """A network that answers by the place in its window, windows in the proportions of the default (896 every 512).

    Across the lines where a window begins or ends the map jumps less than almost everywhere else, unless the windows
    are averaged without weights, where the same measure must see the seams.
    """
    size, window, stride = 400, 112, 64

    def network(batch):
        ramp = np.linspace(-1, 1, batch.shape[2], dtype=np.float32)
        logit = batch[:, 0] + ramp[:, None] + ramp
        return np.stack([np.zeros_like(logit), logit], axis=1)

    shape = {"window": (window, window), "stride": (stride, stride)}
    spec = InferenceSpec(num_classes=2, in_channels=1, mean=(0.0,), std=(1.0,), scale=1.0, **shape)
    image = np.random.default_rng(5).random((size, size, 1)).astype(np.float32) * 0.001
    share = Predictor(network, spec, **changes).predict(image, probabilities=True).probabilities
    steps = np.abs(np.diff(share[1], axis=axis))
    lines = sorted({edge for span in sliding(size, window, stride) for edge in (span.start, span.stop)} - {0, size})
    across = np.take(steps, np.array(lines) - 1, axis)
    interior = np.delete(steps, np.array(lines) - 1, axis)
    assert (across.max() < np.quantile(interior, 0.999)) == seamless


class Watch:
    """A network that keeps what it is shown."""

    def __init__(self):
        self.seen: list[np.ndarray] = []

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.seen += list(batch.copy())
        return np.zeros((len(batch), 2, *batch.shape[2:]), np.float32)


@settings(max_examples=40, deadline=None)
@given(dtype=st.sampled_from(["uint8", "uint16", "int16", "float32"]), seed=st.integers(0, 99), bands=st.integers(1, 4))
def test_no_tile_changes_the_radiometry_of_another(dtype, seed, bands):
    """Tiles in another order, or two in one window: every pixel reaches the network as the same number."""
    rng, side = np.random.default_rng(seed), 32
    # one tile in shadow, one bright, one with missing pixels: what a stretch by tile would tear apart
    tiles = [
        (rng.random((side, side, bands)) * top + 1).astype(dtype) for top in rng.permutation([3, 50, 100, 250, 20, 120])
    ]
    tiles[2][:7, 5:] = 0
    spec = {
        "num_classes": 2,
        "in_channels": bands,
        "mean": tuple(rng.random(bands)),
        "std": tuple(rng.random(bands) + 0.1),
    }

    def shown(order, windows_of):
        scene = np.concatenate([np.concatenate([tiles[k] for k in row], axis=1) for row in np.reshape(order, (2, 3))])
        network = Watch()
        window = (side * windows_of[0], side * windows_of[1])
        engine = WindowPredictor(network, InferenceSpec(**spec, window=window, stride=window))
        engine.predict(ArrayRaster(scene, nodata=0))
        return network.seen

    alone = shown(range(6), (1, 1))
    order = rng.permutation(6)
    for k, seen in zip(order, shown(order, (1, 1)), strict=True):
        np.testing.assert_array_equal(seen, alone[k])
    merged = shown(range(6), (2, 1))
    for k, seen in enumerate(merged):
        np.testing.assert_array_equal(seen, np.concatenate([alone[k], alone[k + 3]], axis=1))


PEAK = """
    import re, sys, numpy as np
    from paddle_rsseg.inference import Predictor
    from paddle_rsseg.inference.scene import Outputs
    from paddle_rsseg.inference.spec import InferenceSpec

    spec = InferenceSpec(num_classes=64, window=(256, 256), stride=(128, 128))
    def network(batch):
        return np.repeat(batch[:, :1], 64, axis=1)
    Predictor(network, spec).predict_file(sys.argv[1], sys.argv[2], outputs=Outputs(overlay=False))
    # ru_maxrss would be that of the process which started this one, if that was larger
    print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize("side", [1000, pytest.param(4000, marks=pytest.mark.slow)])
def test_memory_is_linear_in_the_width_and_constant_in_the_height(tmp_path, side):
    def peak(height: int, width: int) -> float:
        path = tmp_path / f"{height}_{width}.tif"
        profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "width": width, "height": height, "tiled": True}
        profile |= {"blockysize": 256, "compress": "deflate", "crs": "EPSG:32640"}
        with rasterio.open(path, "w", **profile, transform=rasterio.Affine(2, 0, 9, 0, -2, 9)) as file:
            rows = np.random.default_rng(0).integers(0, 256, (3, 256, width), np.uint8)
            for y in range(0, height, 256):
                count = min(256, height - y)
                file.write(rows[:, :count], window=((y, y + count), (0, width)))
        command = [sys.executable, "-c", textwrap.dedent(PEAK), str(path), str(tmp_path / "maps")]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    small, wide, tall = peak(2 * side, side), peak(2 * side, 2 * side), peak(4 * side, side)
    # sums of 64 classes in float32, of the rows that two rows of windows share, for the added width
    band = 64 * 128 * side * 4 / 2**20
    # beside the band there are the rows as read and their labels, and GDAL's cache, which is bounded
    image = 2 * side * side * 3 / 2**20
    # 30: a heap grows in steps of some 15 MB (2000 rows of 1000, 2000, 4000 pixels: 287, 360, 466 MB)
    assert band * 0.8 < wide - small < band * 1.2 + min(2 * image, 128) + 30, (small, wide)
    assert tall - small < min(2 * image, 128) + 15, (small, tall)
