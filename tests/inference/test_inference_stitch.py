"""Row bands, arg-max and softmax against their plain definitions; the read-ahead thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_rsseg.inference.prefetch import prefetch
from paddle_rsseg.inference.stitch import RowBand, argmax, softmax_
from paddle_rsseg.windows import Window, starts


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
    """Two rows of windows of 4 × 2 pixels on an image of 7 × 3; the second row has one window only."""

    def means(until):
        return [(part.x0, part.x1, part.mean(0, part.sums.shape[1])[1].tolist()) for part in band.finished(until)]

    band = RowBand(2, width=3, window=(4, 2), shared=1, weighted=True)
    band.begin(0, 3, 4)
    assert means(0) == []
    band.add(Window(0, 4, 0, 2), np.ones((2, 4, 2), np.float32))
    assert means(1) == [(0, 1, [[1], [1], [1]])]
    band.add(Window(0, 4, 1, 3), np.full((2, 4, 2), 4, np.float32), np.full((4, 2), 2, np.float32))
    assert means(3) == [(1, 3, [[3, 4]] * 3)]  # (1 + 4·2) / (1 + 2), and 4·2 / 2
    band.begin(3, 7, 7)
    band.add(Window(3, 7, 0, 2), np.zeros((2, 4, 2), np.float32))
    # what the first row left: 1 of one window, 9 of two with 3; no window reaches the last column
    assert means(3) == [(0, 2, [[0.5, 9 / 4], [0, 0], [0, 0], [0, 0]]), (2, 3, [[0]] * 4)]


@given(
    st.integers(1, 30), st.integers(1, 30), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9),
    st.integers(0, 9),
)  # fmt: skip
def test_bands_are_the_sums_over_the_whole_image(height, width, rows, columns, down, right, seed):
    rng = np.random.default_rng(seed)
    down, right = min(down, rows), min(right, columns)
    expected = np.zeros((3, height, width), np.float32)
    seen = np.full_like(expected, np.nan)
    band = RowBand(3, width, (min(rows, height), min(columns, width)), shared=max(rows - 1, 0))
    tops = starts(height, rows, down)
    for top, end in zip(tops, [*tops[1:], height], strict=True):
        bottom = min(top + rows, height)
        band.begin(top, end, bottom)
        for left in [*starts(width, columns, right), width]:
            for part in band.finished(left):
                seen[:, top:end, part.x0 : part.x1] = part.sums
            if left < width:
                window = Window(top, bottom, left, min(left + columns, width))
                scores = rng.random((3, window.height, window.width), np.float32)
                expected[(slice(None), *window.slices)] += scores
                band.add(window, scores)
    np.testing.assert_array_equal(seen, expected)  # to the last bit: they are added in the same order


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
