"""A wiring's name and the options that are given apart."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.wiring import wired


class Pair(NamedTuple):
    width: int
    bias: bool


WIRINGS = {"mapping": {"width": 8, "bias": True}, "tuple": Pair(8, True)}


def test_none_is_as_the_wiring_has_it_and_false_is_not():
    assert wired(WIRINGS, "mapping", width=None, bias=False) == {"width": 8, "bias": False}
    assert wired(WIRINGS, "tuple", width=4, bias=None) == Pair(4, True)


def test_the_wirings_stay_as_they_are():
    wired(WIRINGS, "mapping", width=2).pop("bias")
    assert WIRINGS["mapping"] == {"width": 8, "bias": True}


def test_an_unknown_wiring_is_told_the_others():
    with pytest.raises(RssegError, match=r"model\.wiring.*'tupel'.*mapping, tuple.*did you mean 'tuple'"):
        wired(WIRINGS, "tupel")
