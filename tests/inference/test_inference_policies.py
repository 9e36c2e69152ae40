"""How windows lie: NAIC_AI-RS's tiles with a margin, fixed or chosen by the image, against whole-image NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inference_engine import CLASSES, IDENTITY, SHARES, Smear, gather, one_hot

from paddle_rsseg.data.raster import ArrayRaster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.engine import WindowPredictor
from paddle_rsseg.inference.spec import TILES, InferenceSpec
from paddle_rsseg.windows import Span, expanded, roomiest, sliding


@pytest.mark.parametrize(
    ("length", "tile"),
    # computed by the original
    [(600, 640), (1024, 1024), (1281, 704), (1500, 768), (1600, 832), (2000, 1024), (3000, 1024), (4000, 1024),
     (5000, 1024)],
)  # fmt: skip
def test_the_tile_that_leaves_most_to_the_last(length, tile):
    assert roomiest(length, TILES) == tile


def test_spans():
    assert expanded(600, 256, 64) == [Span(-64, 320, 0, 256), Span(192, 576, 256, 512), Span(448, 832, 512, 600)]
    assert expanded(256, 256, 0) == [Span(0, 256, 0, 256)]
    assert sliding(10, 6, 3) == [Span(0, 6, 0, 6), Span(3, 9, 3, 9), Span(4, 10, 4, 10)]
    spec = InferenceSpec(num_classes=2, policy="adaptive", margin=128)
    assert spec.spans(1280, 700) == ([Span(0, 1280, 0, 1280)], [Span(0, 700, 0, 700)])
    rows, columns = spec.spans(1281, 600)
    assert (rows[0], len(rows)) == (Span(-128, 832, 0, 704), 2)
    assert columns == [Span(-128, 768, 0, 600)]


def naive(image: np.ndarray, spec: InferenceSpec, network) -> np.ndarray:
    """Logits K×H×W by the original's words: black to the right and below up to whole tiles, black all around."""
    height, width = image.shape[:2]
    (ch, cw), m = spec.window, spec.margin
    rows, columns = -(-height // ch), -(-width // cw)
    black = np.zeros((rows * ch + 2 * m, columns * cw + 2 * m, image.shape[2]), image.dtype)
    black[m : m + height, m : m + width] = image
    pixels = (black / 255 - np.array(spec.mean)) / np.array(spec.std)
    out = np.zeros((spec.num_classes, rows * ch, columns * cw))
    for i in range(rows):
        for j in range(columns):
            part = pixels[i * ch : i * ch + ch + 2 * m, j * cw : j * cw + cw + 2 * m].transpose(2, 0, 1)
            h, w = part.shape[1:]
            padded = np.zeros((1, len(part), -(-h // 32) * 32, -(-w // 32) * 32), np.float32)
            padded[0, :, :h, :w] = part
            logits = network(padded)[0, :, m : m + ch, m : m + cw]
            out[:, i * ch : (i + 1) * ch, j * cw : (j + 1) * cw] = logits
    return out[:, :height, :width]


@pytest.mark.parametrize("average", ["probs", "logits"])
@pytest.mark.parametrize("size", [(150, 203), (64, 48), (41, 170), (128, 96), (1, 1)])
@pytest.mark.parametrize("margin", [0, 9, 100])
def test_expanded_windows_equal_the_naive_ones(size, margin, average):
    spec = InferenceSpec(
        num_classes=CLASSES, window=(64, 48), stride=(64, 48), policy="expanded", margin=margin, average=average
    )
    image = np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), np.uint8)
    scores = naive(image, spec, Smear())
    labels, probabilities = gather(WindowPredictor(Smear(), spec, batch_size=3).bands(image, SHARES))
    np.testing.assert_array_equal(labels, scores.argmax(0))
    shares = np.exp(scores - scores.max(0))
    np.testing.assert_allclose(probabilities, shares / shares.sum(0), atol=2e-5)


@settings(max_examples=80, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    window=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    margin=st.integers(0, 50),
    policy=st.sampled_from(["expanded", "adaptive"]),
    views=st.sampled_from([("identity",), ("identity", "rot90", "lr")]),
    batch=st.integers(1, 5),
    collar=st.integers(0, 12),
    seed=st.integers(0, 99),
)
def test_identity_network_gives_the_image_back(size, window, margin, policy, views, batch, collar, seed):
    spec = InferenceSpec(**IDENTITY, window=window, stride=window, policy=policy, margin=margin, views=views)
    image = np.random.default_rng(seed).integers(0, CLASSES, size).astype(np.uint8)
    if collar:
        image[:collar] = 99
        image[:, -collar:] = 99
    labels = WindowPredictor(one_hot, spec, batch).predict(ArrayRaster(image, nodata=99))
    np.testing.assert_array_equal(labels, np.where(image == 99, 255, image))


def test_adaptive_tiles_of_a_large_image():
    spec = InferenceSpec(**IDENTITY, policy="adaptive", margin=16)
    image = np.random.default_rng(0).integers(0, CLASSES, (1500, 1100)).astype(np.uint8)
    shapes = []

    def network(batch):
        shapes.append(batch.shape[2:])
        return one_hot(batch)

    np.testing.assert_array_equal(WindowPredictor(network, spec, 1).predict(image), image)
    assert set(shapes) == {(800, 608)}  # 768 and 576 with their margins
    assert len(shapes) == 4


def test_an_unknown_policy_is_told():
    with pytest.raises(RssegError, match=r"inference\.policy: 'dilated'.*sliding, expanded, adaptive"):
        InferenceSpec(num_classes=2, policy="dilated")
    with pytest.raises(RssegError, match=r"inference\.margin"):
        InferenceSpec(num_classes=2, margin=-1)
