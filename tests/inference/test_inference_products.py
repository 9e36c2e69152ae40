"""What is said beside the labels, against plain NumPy; and that a range of bands equals that part of all bands."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inference_engine import CLASSES, SHARES, Smear, gather

from paddle_rsseg.data.raster import ArrayRaster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.engine import WindowPredictor
from paddle_rsseg.inference.products import NAMES, NODATA, SCALE, Products
from paddle_rsseg.inference.spec import InferenceSpec

SPEC = InferenceSpec(num_classes=CLASSES, window=(32, 32), stride=(19, 21), blend="cosine", nodata=0)


def scene(height: int, width: int) -> ArrayRaster:
    pixels = np.random.default_rng(height * 1000 + width).integers(1, 256, (height, width, 3), np.uint8)
    pixels[: height // 3, : width // 4] = 0
    return ArrayRaster(pixels)


@pytest.mark.parametrize("dtype", NODATA)
@pytest.mark.parametrize("average", ["probs", "logits"])
def test_all_products(dtype, average):
    engine = WindowPredictor(Smear(), dataclasses.replace(SPEC, average=average))
    image = scene(70, 90)
    _, shares = gather(engine.bands(image, SHARES))
    bands = list(engine.bands(image, Products(tuple(NAMES), dtype)))
    layers = {name: np.concatenate([band.layers[name] for band in bands], axis=1) for name in NAMES}
    empty = shares[0] == -1
    assert 0 < empty.mean() < 0.2
    assert {layer.dtype for layer in layers.values()} == {np.dtype(dtype)}
    assert {name: len(layer) for name, layer in layers.items()} == dict.fromkeys(NAMES, 1) | {"probabilities": CLASSES}
    for layer in layers.values():
        assert (layer[:, empty] == NODATA[dtype]).all()
    ordered = np.sort(shares, axis=0)
    with np.errstate(all="ignore"):
        expected = {
            "probabilities": shares,
            "confidence": ordered[-1:],
            "margin": ordered[-1:] - ordered[-2:-1],
            "entropy": -np.nansum(shares * np.log(shares), axis=0, keepdims=True) / np.log(CLASSES),
        }
    step = {"float32": 1e-6, "float16": 5e-4, "uint8": 0.5 * SCALE["uint8"] + 1e-6}[dtype]
    for name in NAMES:
        seen = layers[name].astype(np.float64) * SCALE[dtype]
        np.testing.assert_allclose(seen[:, ~empty], expected[name][:, ~empty], rtol=0, atol=step)


def test_some_classes():
    engine, image = WindowPredictor(Smear(), SPEC), scene(40, 40)
    _, shares = gather(engine.bands(image, SHARES))
    _, two = gather(engine.bands(image, Products(("probabilities",), classes=(3, 1))))
    np.testing.assert_array_equal(two, shares[[3, 1]])


@pytest.mark.parametrize("average", ["probs", "logits"])
@pytest.mark.parametrize("resize", [None, (24, 30)])
def test_temperature_changes_probabilities_and_no_label(average, resize):
    def predict(temperature):
        spec = dataclasses.replace(SPEC, average=average, temperature=temperature, resize=resize)
        return gather(WindowPredictor(Smear(), spec).bands(scene(50, 40), SHARES))

    labels, shares = predict(1.0)
    softer_labels, softer = predict(2.5)
    np.testing.assert_array_equal(labels, softer_labels)
    seen = shares[0] >= 0
    expected = shares[:, seen].astype(np.float64) ** (1 / 2.5)
    np.testing.assert_allclose(softer[:, seen], expected / expected.sum(0), atol=2e-6)
    assert softer[:, seen].max() < shares[:, seen].max()


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_range_of_bands_is_that_part_of_all(data):
    size = data.draw(st.tuples(st.integers(1, 130), st.integers(1, 60)))
    policy = data.draw(st.sampled_from(["sliding", "sliding", "expanded"]))
    resize = data.draw(st.sampled_from([None, None, None, (24, 30)]))
    stride = data.draw(st.integers(3, 32)), data.draw(st.integers(8, 32))
    average = data.draw(st.sampled_from(["probs", "logits"]))
    spec = dataclasses.replace(SPEC, policy=policy, margin=7, resize=resize, stride=stride, average=average)
    engine = WindowPredictor(Smear(), spec, data.draw(st.integers(1, 3)))
    image, products = scene(*size), Products(("probabilities", "margin"), "uint8")
    whole = list(engine.bands(image, products))
    assert len(whole) == engine.count(image)
    assert [band.index for band in whole] == list(range(len(whole)))
    first = data.draw(st.integers(0, len(whole)))
    last = data.draw(st.integers(first, len(whole)))
    part = list(engine.bands(image, products, first, last))
    assert [(b.index, b.y0, b.y1) for b in part] == [(b.index, b.y0, b.y1) for b in whole[first:last]]
    for one, other in zip(part, whole[first:last], strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        for name in products.names:
            np.testing.assert_array_equal(one.layers[name], other.layers[name])


def test_floats_of_a_range_are_the_same_bits():
    engine, image = WindowPredictor(Smear(), dataclasses.replace(SPEC, stride=(7, 9))), scene(120, 50)
    whole = list(engine.bands(image, SHARES))
    for first in range(len(whole)):
        part = next(engine.bands(image, SHARES, first))
        assert part.layers["probabilities"].tobytes() == whole[first].layers["probabilities"].tobytes()


@pytest.mark.parametrize(("given", "wanted"), [({"names": ("margins",)}, "margin"), ({"dtype": "uint16"}, "uint8")])
def test_unknown_products(given, wanted):
    with pytest.raises(RssegError, match=wanted):
        Products(**given)
