"""Test-time augmentation: several views and sizes of each window, against whole-image NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inference_engine import CLASSES, IDENTITY, SHARES, Smear, gather, one_hot

from paddle_rsseg.data.raster import ArrayRaster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.engine import WindowPredictor
from paddle_rsseg.inference.resizing import upsample_rows
from paddle_rsseg.inference.spec import VIEW_NAMES, InferenceSpec

#: how NumPy says them, and the way back
NUMPY = {
    "identity": (lambda x: x, lambda x: x),
    "lr": (np.fliplr, np.fliplr),
    "tb": (np.flipud, np.flipud),
    "lrtb": (lambda x: np.fliplr(np.flipud(x)), lambda x: np.fliplr(np.flipud(x))),
    "diag": (lambda x: x.swapaxes(0, 1), lambda x: x.swapaxes(0, 1)),
    "diag2": (lambda x: np.rot90(x.swapaxes(0, 1), 2), lambda x: np.rot90(x.swapaxes(0, 1), 2)),
    "rot90": (np.rot90, lambda x: np.rot90(x, -1)),
    "rot180": (lambda x: np.rot90(x, 2), lambda x: np.rot90(x, 2)),
    "rot270": (lambda x: np.rot90(x, 3), lambda x: np.rot90(x, -3)),
}
WHOLE = {"window": (64, 96), "stride": (64, 96)}


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max(0))
    return e / e.sum(0)


def expected_scores(image: np.ndarray, spec: InferenceSpec, network) -> np.ndarray:
    """K×H×W of an image that fits into one window."""
    total = []
    for scale in spec.scales:
        for name in spec.views:
            there, back = NUMPY[name]
            pixels = spec.normalize(image).transpose(2, 0, 1)
            size = [max(1, round(side * scale)) for side in image.shape[:2]]
            pixels = there(upsample_rows(pixels, 0, size[0], *size).transpose(1, 2, 0)).transpose(2, 0, 1)
            h, w = pixels.shape[1:]
            padded = np.zeros((1, len(pixels), -(-h // 32) * 32, -(-w // 32) * 32), np.float32)
            padded[0, :, :h, :w] = pixels
            logits = back(network(padded)[0, :, :h, :w].transpose(1, 2, 0)).transpose(2, 0, 1)
            logits = upsample_rows(logits, 0, image.shape[0], *image.shape[:2])
            total.append(softmax(logits) if spec.average == "probs" else logits)
    return np.mean(total, axis=0, dtype=np.float64)


@pytest.mark.parametrize("average", ["probs", "logits"])
@pytest.mark.parametrize(
    ("views", "scales"),
    [*(((name,), (1.0,)) for name in VIEW_NAMES), (("identity", "identity", "lr", "tb"), (1.0,)),
     (("identity", "rot90"), (0.5, 1.0, 1.5))],
)  # fmt: skip
def test_views_and_scales_equal_the_naive_mean(views, scales, average):
    spec = InferenceSpec(num_classes=CLASSES, **WHOLE, views=views, scales=scales, average=average)
    image = np.random.default_rng(5).integers(0, 256, (41, 77, 3), np.uint8)
    scores = expected_scores(image, spec, Smear())
    labels, probabilities = gather(WindowPredictor(Smear(), spec).bands(image, SHARES))
    np.testing.assert_array_equal(labels, scores.argmax(0))
    shares = softmax(scores) if average == "logits" else scores
    np.testing.assert_allclose(probabilities, shares, atol=2e-5)
    # each image whole, beside another of the same padded size
    other = np.random.default_rng(6).integers(0, 256, (44, 70, 3), np.uint8)
    first, second = WindowPredictor(Smear(), spec, batch_size=4).predict_whole([image, other])
    np.testing.assert_array_equal(first, labels)
    np.testing.assert_array_equal(second, expected_scores(other, spec, Smear()).argmax(0))


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    window=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    overlap=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    views=st.lists(st.sampled_from(sorted(VIEW_NAMES)), min_size=1, max_size=9),
    average=st.sampled_from(["probs", "logits"]),
    blend=st.sampled_from(["uniform", "linear", "cosine", "gaussian", "centre"]),
    collar=st.integers(0, 12),
    seed=st.integers(0, 99),
)
def test_identity_network_gives_the_image_back(size, window, overlap, views, average, blend, collar, seed):
    stride = tuple(max(1, round(w * (1 - o))) for w, o in zip(window, overlap, strict=True))
    spec = InferenceSpec(
        **IDENTITY, window=window, stride=stride, views=tuple(views), average=average, blend=blend
    )  # fmt: skip
    image = np.random.default_rng(seed).integers(0, CLASSES, size).astype(np.uint8)
    if collar:
        image[:collar] = 99
    labels = WindowPredictor(one_hot, spec, 3).predict(ArrayRaster(image, nodata=99))
    np.testing.assert_array_equal(labels, np.where(image == 99, 255, image))


def test_a_view_named_twice_is_computed_once_and_counts_twice():
    image = np.random.default_rng(5).integers(0, 256, (64, 96, 3), np.uint8)
    network = Smear()
    system_c = InferenceSpec(num_classes=CLASSES, **WHOLE, views=("identity", "identity", "lr", "tb"))
    _, shares = gather(WindowPredictor(network, system_c).bands(image, SHARES))
    assert len(network.calls) == 3
    once = InferenceSpec(num_classes=CLASSES, **WHOLE, views=("identity", "lr", "tb"))
    assert abs(gather(WindowPredictor(network, once).bands(image, SHARES))[1] - shares).max() > 1e-3


def test_an_unknown_view_is_told():
    with pytest.raises(RssegError, match=r"'rot45'.*identity.*rot270"):
        InferenceSpec(num_classes=2, views=("rot45",))
    with pytest.raises(RssegError, match=r"inference\.scales"):
        InferenceSpec(num_classes=2, scales=(0.0,))
    with pytest.raises(RssegError, match=r"inference\.blend: 'triangle'"):
        InferenceSpec(num_classes=2, blend="triangle")
