"""For each file of an original's numbers: which network and loss of ours are the same.

One module a source system; each registers its originals by the file's ``<system>/<model>`` with :func:`original`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import paddle
import paddle.nn as nn

from paddle_rsseg.errors import RssegError

SYSTEMS = ("farseg", "mmseg", "naic", "seghz")

#: what a golden file says of itself: the mapping in its ``meta``
Meta = Mapping[str, Any]
Outputs = list[paddle.Tensor]


@dataclass
class Original:
    """Our side of a golden file.

    Attributes:
        model: the network's component, ``{"type": …}``; of an encoder alone where ``encoder`` says so.
        loss: ``{"types": [components], "coef": [weights]}`` for the outputs, main first; or a function
            (outputs, label) → {name: scalar}.
        outputs: the file's name of an evaluated output → what it is of ours, given the network's outputs at the
            input's size and the heads' maps, each main first, auxiliary ones too.
        single_loss: part of the original's loss is computed in float32 whatever the run, so 1e-6 is all there is.
        auxiliary: ``outputs`` are given auxiliary ones too. False: what the network gives in evaluation, because in
            training its main output is another.
        prepare: changes our network into what the original's training makes of its own, after it was built.
        followed: updates up to which the file's run can be repeated in float64; None: all of them.
    """

    model: Mapping[str, Any]
    loss: Mapping[str, Any] | Callable[[Outputs, paddle.Tensor], dict[str, paddle.Tensor]]
    outputs: Mapping[str, Callable[[Outputs, Outputs], paddle.Tensor]] = field(
        default_factory=lambda: {"logits": output(0), "prob": probabilities}
    )
    single_loss: bool = False
    prepare: Callable[[nn.Layer], None] | None = None
    encoder: bool = False
    followed: int | None = None
    auxiliary: bool = True


def output(index: int) -> Callable[[Outputs, Outputs], paddle.Tensor]:
    """The ``index``-th output, at the input's size."""
    return lambda outputs, maps: outputs[index]


def own_size(index: int) -> Callable[[Outputs, Outputs], paddle.Tensor]:
    """The ``index``-th head's map, at its own size."""
    return lambda outputs, maps: maps[index]


def probabilities(outputs: Outputs, maps: Outputs) -> paddle.Tensor:
    """Softmax of the main output."""
    return nn.functional.softmax(outputs[0], axis=1)


_ORIGINALS: dict[str, Callable[[Meta], Original]] = {}


def original(*patterns: str) -> Callable[[Callable[[Meta], Original]], Callable[[Meta], Original]]:
    """Register the function that says what equals the files of these patterns, such as ``seghz/hrnet_w*``.

    It is given the file's ``meta`` and takes classes, bands and widths from the shapes in there, so that other files
    of the same program work too. Of several patterns that match, the longest counts.
    """

    def register(function: Callable[[Meta], Original]) -> Callable[[Meta], Original]:
        for pattern in patterns:
            _ORIGINALS[pattern] = function
        return function

    return register


def find(meta: Meta) -> Original:
    """Our side of the file that ``meta`` describes.

    Raises:
        RssegError: nothing of ours is known to equal it.
    """
    for system in SYSTEMS:
        importlib.import_module(f"{__name__}.{system}")
    name = f"{meta['system']}/{meta['model']}"
    matching = [pattern for pattern in _ORIGINALS if fnmatchcase(name, pattern)]
    if not matching:
        raise RssegError(name, "no network of ours is known to equal it", "one of " + ", ".join(sorted(_ORIGINALS)))
    return _ORIGINALS[max(matching, key=len)](meta)


def shapes_of(meta: Meta) -> dict[str, list[int]]:
    """The original's name → shape of every entry of its state dict."""
    return {name: shape for name, shape, *_ in meta["names_shapes"]}
