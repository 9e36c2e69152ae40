"""Row bands, arg-max and softmax against their plain definitions; the read-ahead thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_rsseg.inference.prefetch import prefetch
from paddle_rsseg.inference.stitch import RowBand, argmax, softmax_
from paddle_rsseg.windows import Window


@given(st.integers(1, 20), st.integers(1, 70), st.integers(1, 9), st.integers(0, 9))
def test_argmax_is_numpys_with_ties(classes, height, width, seed):
    # few distinct values, so that ties are common
    scores = np.random.default_rng(seed).integers(0, 4, (classes, height, width)).astype(np.float32)
    np.testing.assert_array_equal(argmax(scores), scores.argmax(0))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_argmax_refuses_what_is_not_finite(bad):
    scores = np.zeros((3, 40, 4), np.float32)
    scores[1, 35, 2] = bad
    with pytest.raises(FloatingPointError):
        argmax(scores)


def test_softmax_survives_large_logits():
    logits = np.random.default_rng(0).standard_normal((6, 50, 7)).astype(np.float32) * 300
    wide = logits.astype(np.float64)
    expected = np.exp(wide - wide.max(0))
    np.testing.assert_allclose(softmax_(logits), expected / expected.sum(0), atol=1e-6)


def test_a_band_moves_down_the_image():
    band = RowBand(2, rows=4, width=3, weighted=True)
    band.add(Window(0, 4, 0, 3), np.ones((2, 4, 3), np.float32))
    band.add(Window(0, 4, 1, 3), np.full((2, 4, 2), 4, np.float32), np.full((4, 2), 2, np.float32))
    np.testing.assert_allclose(band.mean(band.top, 1)[0], [[1, 3, 3]])  # (1 + 4·2) / (1 + 2)
    band.finish(3)
    band.add(Window(3, 7, 0, 1), np.zeros((2, 4, 1), np.float32))
    assert band.scores(7).shape == (2, 4, 3)
    np.testing.assert_allclose(band.mean(band.top, 7)[1], [[0.5, 3, 3], [0, 0, 0], [0, 0, 0], [0, 0, 0]])


def test_prefetch_keeps_order_raises_in_place_and_stops():
    assert list(prefetch(range(50), depth=1)) == list(range(50))

    def broken():
        yield 1
        raise KeyError("late")

    items = prefetch(broken())
    assert next(items) == 1
    with pytest.raises(KeyError, match="late"):
        next(items)

    endless = prefetch(iter(int, 1))
    next(endless)
    endless.close()
    assert not [t for t in threading.enumerate() if t.name == "prefetch"]
