"""What every network of the project has in common."""

from __future__ import annotations

from typing import NamedTuple

import paddle
import paddle.nn as nn

from paddle_rsseg.models.layers import resize, spatial_size


class Heritage(NamedTuple):
    """How a network starts from the trained weights of a simpler one (``weights.load_pretrained``).

    All are regular expressions on tensor names.

    Attributes:
        marker: a tensor of the simpler network that this one has no place for as it is.
        rename: (name there, replacement by the name here).
        zero: what this network adds without effect.
        anew: what keeps its random start.
    """

    marker: str
    rename: tuple[str, str]
    zero: str
    anew: str


class Segmenter(nn.Layer):
    """Image N×C×H×W of any size → list of N×K×H×W logits, the main one first, auxiliary ones only in training.

    A network implements :meth:`maps`; how its maps come to the size of the input is decided here, once.

    Attributes:
        num_classes: K.
        in_channels: C, bands of the image.
        min_multiple: the network's deepest stride; sizes that are its multiples need no special care inside.
        align_corners: of the last, bilinear up-sampling.
        heritage: the simpler network that this one can start from.
    """

    num_classes: int
    in_channels: int
    min_multiple: int = 32
    align_corners: bool = True
    heritage: Heritage | None = None

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """The heads' N×K×h×w logits at their own resolutions, main first."""
        raise NotImplementedError

    def maps_and_features(self, x: paddle.Tensor) -> tuple[list[paddle.Tensor], list[paddle.Tensor]]:
        """:meth:`maps`, and the encoder's maps that they came from, of one run; for networks with a ``backbone``."""
        seen: list[list[paddle.Tensor]] = []
        hook = self.backbone.register_forward_post_hook(lambda encoder, image, features: seen.append(features))
        try:
            maps = self.maps(x)
        finally:
            hook.remove()
        return maps, seen[0]

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        size = spatial_size(x)
        return [resize(logits, size, self.align_corners) for logits in self.maps(x)]
