"""The engine against a naive whole-image implementation, and with a network that answers what it is shown."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_rsseg.data.raster import ArrayRaster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.engine import WindowPredictor, _plan, upsample_rows
from paddle_rsseg.inference.products import Products
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.windows import sliding

CLASSES = 5
SHARES = Products(("probabilities",))
#: one band, value k → k after normalising, for the identity network
IDENTITY = {"num_classes": CLASSES, "in_channels": 1, "mean": (0.0,), "std": (1.0,), "scale": 1.0}


def one_hot(batch: np.ndarray) -> np.ndarray:
    """The identity network: the class of a pixel is its value."""
    return (batch == np.arange(CLASSES, dtype=np.float32)[:, None, None]).astype(np.float32)


class Smear:
    """A network whose answer at a pixel depends on its neighbours, on the padding and on the place in the window."""

    def __init__(self, channels: int = 3, classes: int = CLASSES):
        self.mix = np.random.default_rng(3).standard_normal((classes, channels)).astype(np.float32)
        self.calls: list[tuple[int, ...]] = []

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.calls.append(batch.shape)
        logits = np.einsum("kc,nchw->nkhw", self.mix, batch)
        logits += (
            0.5 * np.roll(logits, 3, axis=2) + 0.25 * np.roll(logits, -2, axis=3) + logits.mean((2, 3), keepdims=True)
        )
        place = np.linspace(-1, 1, batch.shape[2], dtype=np.float32)[:, None] * np.linspace(
            -1, 1, batch.shape[3], dtype=np.float32
        )
        return logits + place * np.arange(logits.shape[1], dtype=np.float32)[:, None, None]


def naive(image: np.ndarray, spec: InferenceSpec, network, weight=None) -> np.ndarray:
    """The protocols of FarSeg (32, probabilities) and of the PaddleSeg port (full window, logits), as written down:
    the whole image in memory, float64, one window at a time. Returns the averaged scores K×H×W."""
    height, width = image.shape[:2]
    pixels = (image.astype(np.float64) / 255 - np.array(spec.mean)) / np.array(spec.std)
    (wh, ww), (sh, sw) = spec.window, spec.stride
    rows = 1 if height <= wh else int(np.ceil((height - wh) / sh)) + 1
    columns = 1 if width <= ww else int(np.ceil((width - ww) / sw)) + 1
    total, count = np.zeros((spec.num_classes, height, width)), np.zeros((height, width))
    for r in range(rows):
        for c in range(columns):
            y1, x1 = min(r * sh + wh, height), min(c * sw + ww, width)
            y0, x0 = max(y1 - wh, 0), max(x1 - ww, 0)
            part = pixels[y0:y1, x0:x1].transpose(2, 0, 1)
            h, w = part.shape[1:]
            ph, pw = (wh, ww) if spec.pad == "window" else ((h + 31) // 32 * 32, (w + 31) // 32 * 32)
            padded = np.zeros((1, part.shape[0], ph, pw), np.float32)
            padded[0, :, :h, :w] = part
            scores = network(padded)[0, :, :h, :w].astype(np.float64)
            if spec.average == "probs":
                scores = np.exp(scores - scores.max(0))
                scores /= scores.sum(0)
            share = np.ones((h, w)) if weight is None else weight(h, w)
            total[:, y0:y1, x0:x1] += scores * share
            count[y0:y1, x0:x1] += share
    return total / count


def raised_cosine(h: int, w: int) -> np.ndarray:
    def ramp(n):
        return 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / n)

    return np.maximum(ramp(h)[:, None] * ramp(w), 1e-6)


def gather(bands) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of all bands; they must follow one another without a gap."""
    bands = list(bands)
    ends = [0, *(band.y1 for band in bands)]
    assert [band.y0 for band in bands] == ends[:-1]
    return np.concatenate([b.labels for b in bands]), np.concatenate([b.layers["probabilities"] for b in bands], axis=1)


@pytest.mark.parametrize(
    ("pad", "average"), [("multiple", "probs"), ("window", "logits"), ("multiple", "logits"), ("window", "probs")]
)
@pytest.mark.parametrize("blend", ["uniform", "cosine"])
@pytest.mark.parametrize("size", [(150, 203), (64, 96), (41, 170), (40, 33), (1, 1), (97, 64)])
def test_both_protocols_equal_the_naive_ones(pad, average, blend, size):
    spec = InferenceSpec(num_classes=CLASSES, window=(64, 96), stride=(40, 56), pad=pad, average=average, blend=blend)
    image = np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), np.uint8)
    expected = naive(image, spec, Smear(), raised_cosine if blend == "cosine" else None)
    labels, probabilities = gather(WindowPredictor(Smear(), spec, batch_size=3).bands(image, SHARES))
    np.testing.assert_array_equal(labels, expected.argmax(0))
    if average == "logits":
        expected = np.exp(expected) / np.exp(expected).sum(0)
    np.testing.assert_allclose(probabilities, expected, atol=2e-5)
    np.testing.assert_array_equal(WindowPredictor(Smear(), spec).predict(image), labels)


@settings(max_examples=120, deadline=None)
@given(
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    window=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    overlap=st.tuples(st.floats(0, 0.95), st.floats(0, 0.95)),
    pad=st.sampled_from(["multiple", "window"]),
    average=st.sampled_from(["probs", "logits"]),
    blend=st.sampled_from(["uniform", "cosine"]),
    batch=st.integers(1, 6),
    collar=st.integers(0, 12),
    seed=st.integers(0, 99),
)
def test_identity_network_gives_the_image_back(size, window, overlap, pad, average, blend, batch, collar, seed):
    stride = tuple(max(1, round(w * (1 - o))) for w, o in zip(window, overlap, strict=True))
    spec = InferenceSpec(**IDENTITY, window=window, stride=stride, pad=pad, average=average, blend=blend)
    truth = np.random.default_rng(seed).integers(0, CLASSES, size).astype(np.uint8)
    image = truth.copy()
    if collar:
        image[:collar] = 99
        image[:, -collar:] = 99
    predictor = WindowPredictor(one_hot, spec, batch)
    labels = predictor.predict(ArrayRaster(image, nodata=99))
    np.testing.assert_array_equal(labels, np.where(image == 99, 255, truth))


def test_windows_without_data_are_not_computed():
    spec = InferenceSpec(num_classes=CLASSES, window=(32, 32), stride=(32, 32))
    image = np.zeros((96, 128, 3), np.uint8)
    image[40, 50] = 7  # one pixel with data, in the window of row 1, column 1
    network = Smear()
    labels = WindowPredictor(network, spec).predict(ArrayRaster(image, nodata=0))
    assert network.calls == [(1, 3, 32, 32)]
    assert (labels == 255).sum() == labels.size - 1
    assert labels[40, 50] < CLASSES


def test_pixels_without_data_are_the_mean_to_the_network():
    seen = []
    spec = InferenceSpec(num_classes=CLASSES, window=(32, 32), stride=(32, 32))

    def network(batch):
        seen.append(batch.copy())
        return np.zeros((len(batch), CLASSES, *batch.shape[2:]), np.float32)

    image = np.full((32, 32, 3), 200, np.uint8)
    image[:5] = 9
    WindowPredictor(network, spec).predict(ArrayRaster(image, nodata=9))
    assert (seen[0][0, :, :5] == 0).all()
    assert np.allclose(seen[0][0, :, 5:], (200 / 255 - 0.5) / 0.5)


def test_batches_hold_the_windows_of_a_row():
    spec = InferenceSpec(num_classes=CLASSES, window=(32, 32), stride=(32, 32))
    network = Smear()
    WindowPredictor(network, spec, batch_size=4).predict(np.ones((64, 32 * 6, 3), np.uint8))
    assert [shape[0] for shape in network.calls] == [4, 2, 4, 2]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_whole_images_equal_one_window_each(batch_size):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for size in [(40, 50), (40, 50), (40, 50), (64, 64), (70, 20)]]
    spec = InferenceSpec(num_classes=CLASSES, window=(8, 8), stride=(8, 8))
    network = Smear()
    seen = list(WindowPredictor(network, spec, batch_size).predict_whole(images))
    assert [shape[0] for shape in network.calls] == ([1] * 5 if batch_size == 1 else [3, 1, 1])
    for image, labels in zip(images, seen, strict=True):
        whole = InferenceSpec(num_classes=CLASSES, window=image.shape[:2], stride=image.shape[:2])
        np.testing.assert_array_equal(labels, naive(image, whole, Smear()).argmax(0))


@pytest.mark.parametrize(
    ("source", "target"), [((12, 20), (37, 51)), ((40, 30), (13, 11)), ((8, 8), (8, 8)), ((1, 1), (5, 4))]
)
def test_upsampled_rows_are_opencvs(source, target):
    scores = np.random.default_rng(1).standard_normal((3, *source)).astype(np.float32)
    expected = cv2.resize(scores.transpose(1, 2, 0), target[::-1], interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
    parts = [upsample_rows(scores, y, min(y + 4, target[0]), *target) for y in range(0, target[0], 4)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), expected, atol=1e-5)


def test_resize_predicts_at_another_size_and_comes_back():
    # large fields of one class survive being predicted at half the size
    truth = np.kron(np.random.default_rng(2).integers(0, 2, (4, 5)), np.ones((32, 32))).astype(np.uint8)
    spec = InferenceSpec(**{**IDENTITY, "num_classes": 2}, resize=(64, 80), stride=(32, 32), window=(32, 32))

    def network(batch):
        return np.concatenate([1 - batch, batch], axis=1)

    labels, probabilities = gather(WindowPredictor(network, spec).bands(truth, SHARES))
    assert (labels != truth).mean() < 0.05
    assert np.allclose(probabilities.sum(0), 1, atol=1e-5)
    inner = np.kron(np.ones((4, 5)), np.pad(np.ones((28, 28)), 2)).astype(bool)
    np.testing.assert_array_equal(labels[inner], truth[inner])


def test_16_bit_values_are_scaled_by_the_type_not_by_the_tile():
    """Radiometry: a window's input is the same whatever lies around it, so tiles of a scene agree."""
    scene = np.random.default_rng(4).integers(0, 3000, (64, 96, 3)).astype(np.uint16)
    scene[:, 64:] *= 20  # one bright tile
    spec = InferenceSpec(num_classes=CLASSES, window=(32, 32), stride=(32, 32))
    inputs: dict[str, list[np.ndarray]] = {"scene": [], "tile": []}

    def watch(name):
        def network(batch):
            inputs[name] += list(batch.copy())
            return np.zeros((len(batch), CLASSES, 32, 32), np.float32)

        return network

    WindowPredictor(watch("scene"), spec).predict(scene)
    for y in (0, 32):
        for x in (0, 32, 64):
            WindowPredictor(watch("tile"), spec).predict(scene[y : y + 32, x : x + 32])
    np.testing.assert_array_equal(np.stack(inputs["scene"]), np.stack(inputs["tile"]))
    np.testing.assert_allclose(inputs["scene"][0], (scene[:32, :32].transpose(2, 0, 1) / 65535 - 0.5) / 0.5, atol=1e-6)


def test_no_seam_with_smooth_weights():
    """A network that errs towards the border of its window: with cosine weights no jump marks the tiles."""
    size, window, stride = 256, 64, 32
    spec = {
        "num_classes": 2,
        "in_channels": 1,
        "mean": (0.0,),
        "std": (1.0,),
        "scale": 1.0,
        "window": (window, window),
        "stride": (stride, stride),
    }
    image = np.random.default_rng(5).random((size, size, 1)).astype(np.float32) * 0.001

    def network(batch):
        ramp = np.linspace(-1, 1, window, dtype=np.float32)
        logit = batch[:, 0] + ramp[:, None] + ramp  # depends on the place in the window
        return np.stack([np.zeros_like(logit), logit], axis=1)

    def jump(blend):
        chosen = InferenceSpec(**spec, blend=blend)
        _, share = gather(WindowPredictor(network, chosen).bands(image, SHARES))
        steps = np.abs(np.diff(share[1], axis=1))[window:-window]
        seams = np.arange(stride, size - stride, stride) - 1
        inside = np.delete(steps, seams, axis=1)
        return steps[:, seams].max() / np.quantile(inside, 0.999)

    assert jump("cosine") < 1
    assert jump("uniform") > 1.5  # the test sees a seam where there is one


def test_what_does_not_fit_is_told():
    spec = InferenceSpec(num_classes=CLASSES)
    with pytest.raises(RssegError, match="4 bands; expected 3"):
        WindowPredictor(Smear(), spec).predict(np.zeros((8, 8, 4), np.uint8))
    with pytest.raises(RssegError, match="at least 6"):
        WindowPredictor(Smear(), InferenceSpec(num_classes=CLASSES, bands=(1, 2, 6))).predict(
            np.zeros((8, 8, 4), np.uint8)
        )
    with pytest.raises(RssegError, match="logits of shape"):
        WindowPredictor(Smear(classes=3), spec).predict(np.zeros((8, 8, 3), np.uint8))
    exploded = WindowPredictor(lambda batch: Smear()(batch) * np.float32(np.nan), spec)
    with pytest.raises(RssegError, match="not finite"):
        exploded.predict(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(RssegError, match="at most 255"):
        WindowPredictor(Smear(), InferenceSpec(num_classes=300))


def test_a_band_tagged_alpha_is_read_where_bands_name_it(tmp_path):
    """GDAL tags the fourth band of an RGB TIFF as alpha, near infrared too; its 0 is then no missing pixel."""
    truth = np.random.default_rng(0).integers(0, CLASSES, (40, 50), dtype=np.uint8)
    image = np.stack([np.zeros_like(truth)] * 3 + [truth])
    path = tmp_path / "rgbn.tif"
    profile = {"driver": "GTiff", "height": 40, "width": 50, "count": 4, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(path, "w", **profile, ALPHA="YES", transform=rasterio.Affine.translation(9, 9)) as file:
        file.write(image)
    spec = InferenceSpec(**IDENTITY, bands=(4,), window=(32, 32), stride=(16, 16))
    engine = WindowPredictor(one_hot, spec)
    assert np.array_equal(engine.predict(path), truth)
    assert np.array_equal(next(engine.predict_whole([path])), truth)
    with pytest.raises(RssegError, match="4 bands; expected at least 5"):
        WindowPredictor(one_hot, dataclasses.replace(spec, bands=(5,))).predict(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": (64, 96), "stride": (32, 128)}, r"128×32 \(width × height\) is larger than the window 96×64"),
        ({"num_classes": "4"}, "inference.num_classes: '4'; expected whole numbers of at least 1"),
        ({"window": (64, 0)}, r"inference.window: \(64, 0\)"),
        ({"stride": (64,)}, r"inference.stride: \(64,\); expected two whole numbers"),
        ({"std": (0.5, 0, 0.5)}, "inference.std: .*; expected numbers above 0"),
        ({"mean": (0.5, float("nan"), 0.5)}, "inference.mean: .*; expected numbers"),
        ({"classes": ("a", "b")}, "inference.classes: 2 for 4 classes"),
    ],
)
def test_a_description_that_cannot_be_is_refused(change, message):
    with pytest.raises(RssegError, match=message):
        InferenceSpec(**{"num_classes": 4, **change})


@given(st.integers(1, 400), st.integers(1, 60), st.floats(0.01, 1), st.floats(0, 1))
def test_rows_that_wait_over_the_whole_width_do_not_depend_on_the_height(height, size, part, begin):
    stride = max(1, round(size * part))
    rows = sliding(height, size, stride)
    first = round(begin * (len(rows) - 1))
    plan = _plan(rows, height, first, len(rows))
    assert max(row.bottom - row.end for row in plan) <= size - stride
    assert [band[0] for row in plan for band in row.bands] == list(range(first, len(rows)))
    edges = [edge for row in plan for band in row.bands for edge in band[1:]]
    assert edges[0] == rows[first].first
    assert edges[1:-1:2] == edges[2::2]  # without gap or overlap
    assert edges[-1] == height


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 60)),
    window=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    overlap=st.tuples(st.floats(0, 0.95), st.floats(0, 0.9)),
    blend=st.sampled_from(["uniform", "cosine"]),
    collar=st.integers(0, 20),
    batch=st.integers(1, 3),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_any_range_of_bands_is_the_same_to_the_last_bit(size, window, overlap, blend, collar, batch, cuts):
    stride = tuple(max(1, round(w * (1 - o))) for w, o in zip(window, overlap, strict=True))
    spec = InferenceSpec(num_classes=CLASSES, window=window, stride=stride, blend=blend)
    image = np.random.default_rng(sum(size)).integers(1, 256, (*size, 3), np.uint8)
    image[:, :collar] = 0
    engine = WindowPredictor(Smear(), spec, batch)
    raster = ArrayRaster(image, nodata=0)
    whole = list(engine.bands(raster, SHARES))
    first, last = sorted(round(cut * len(whole)) for cut in cuts)
    part = list(engine.bands(raster, SHARES, first, last))
    assert [band.index for band in part] == list(range(first, last))
    for seen, expected in zip(part, whole[first:last], strict=True):
        np.testing.assert_array_equal(seen.labels, expected.labels)
        np.testing.assert_array_equal(seen.layers["probabilities"], expected.layers["probabilities"])
