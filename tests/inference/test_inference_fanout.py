"""One stream, several readers: all see everything, and whoever fails takes the others along without a hang."""

from __future__ import annotations

import threading

import pytest

from paddle_rsseg.inference.fanout import fan_out

READERS = [list, lambda items: sum(items), lambda items: [2 * item for item in items]]


def test_every_reader_sees_everything():
    assert fan_out(range(5), READERS) == [[0, 1, 2, 3, 4], 10, [0, 2, 4, 6, 8]]
    assert fan_out([], READERS) == [[], 0, []]
    assert fan_out(range(3), []) == []


@pytest.mark.parametrize("fails_at", [0, 2, 4, 5])
def test_a_reader_that_fails_stops_the_others(fails_at):
    cleaned = []

    def careful(items):
        try:
            return list(items)
        finally:
            cleaned.append(True)

    def failing(items):
        for k, item in enumerate([*items] if fails_at == 5 else items):
            if k == fails_at:
                raise OSError(f"no room for {item}")
        if fails_at == 5:
            raise OSError("no room at the end")

    before = threading.active_count()
    with pytest.raises(OSError, match="no room"):
        fan_out(range(5), [careful, failing, careful])
    assert len(cleaned) == 2
    assert threading.active_count() == before


def test_a_stream_that_breaks_off_leaves_no_reader_behind():
    def broken():
        yield 1
        yield 2
        raise ValueError("the image ends")

    results = []
    before = threading.active_count()
    with pytest.raises(ValueError, match="the image ends"):
        fan_out(broken(), [lambda items: results.append(list(items)), list])
    assert not results  # what is written from half a stream must not look whole
    assert threading.active_count() == before
