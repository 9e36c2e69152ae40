"""Points of a map instead of all its pixels: where to look, what is there, and what a small network makes of it.

Kirillov et al., "PointRend: Image Segmentation as Rendering", CVPR 2020. Points are N×P×2, x before y, in [0, 1] from
one side of the image to the other; their values are N×C×P×1, a map of one column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.layers import conv2d, full_precision, resize, spatial_size


def probabilities(logits: paddle.Tensor) -> paddle.Tensor:
    """N×K×h×w in full precision; one channel, a class or its absence, becomes two."""
    logits = full_precision(logits)
    if logits.shape[1] == 1:
        return F.sigmoid(paddle.concat([-logits, logits], axis=1))
    return F.softmax(logits, axis=1)


def uncertainty(probabilities: paddle.Tensor) -> paddle.Tensor:
    """N×K×h×w → N×h×w: the second largest minus the largest, from -1 (sure) to 0 (undecided)."""
    two = paddle.topk(probabilities, 2, axis=1)[0]
    return two[:, 1] - two[:, 0]


def sample(
    x: paddle.Tensor,
    points: paddle.Tensor,
    align_corners: bool,
    mode: Literal["bilinear", "nearest"] = "bilinear",
    padding: Literal["border", "zeros"] = "border",
) -> paddle.Tensor:
    """What an N×C×h×w map is at N×P×2 points: N×C×P×1 in float32, or float64 where the map is.

    Args:
        align_corners: 0 and 1 are the centres of the outer pixels; False: their outer edges.
        padding: beyond the centres of the outer pixels the map goes on as it is there (as in resizing) or fades to 0.
    """
    with paddle.amp.auto_cast(enable=False):  # a coordinate has more digits than half precision
        x = full_precision(x)
        grid = (2 * points.astype(x.dtype) - 1).unsqueeze(2)
        return F.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=align_corners)


@paddle.no_grad()
def training_points(
    logits: paddle.Tensor,
    count: int,
    oversample: float = 3,
    importance: float = 0.75,
    align_corners: bool = False,
    draw: Callable[[list[int]], paddle.Tensor] = paddle.rand,
) -> paddle.Tensor:
    """N×count×2 random points, most of them where N×K×h×w logits are undecided.

    Of ``oversample · count`` points drawn evenly the ⌊importance · count⌋ most uncertain stay; others are added evenly.

    Args:
        draw: uniform numbers in [0, 1) of the given shape. The default is Paddle's global generator, so the same seed
            gives the same points.
    """
    scores = probabilities(logits)
    candidates = draw([logits.shape[0], int(oversample * count), 2]).astype(scores.dtype)
    kept = int(importance * count)
    doubt = uncertainty(sample(scores, candidates, align_corners)).squeeze(2)
    index = paddle.topk(doubt, kept, axis=1)[1]
    chosen = paddle.take_along_axis(candidates, index.unsqueeze(2), axis=1)
    if kept == count:
        return chosen
    return paddle.concat([chosen, draw([logits.shape[0], count - kept, 2]).astype(scores.dtype)], axis=1)


def uncertain_pixels(logits: paddle.Tensor, count: int) -> paddle.Tensor:
    """N×min(count, h·w) places, row by row, of the most uncertain pixels of N×K×h×w logits."""
    doubt = uncertainty(probabilities(logits)).flatten(1)
    if paddle.in_dynamic_mode():
        wanted: Any = min(count, doubt.shape[1])
    else:
        pixels = paddle.shape(doubt)[1].astype("int64").reshape([1])
        wanted = paddle.minimum(paddle.full([1], count, "int64"), pixels)
    return paddle.topk(doubt, wanted, axis=1)[1]


def pixel_points(index: paddle.Tensor, size: Any, dtype: paddle.dtype, centres: bool) -> paddle.Tensor:
    """N×P places in a map of ``size`` (height, width) → N×P×2 points.

    Args:
        centres: (i + ½) / length, for ``align_corners`` False; else i / (length - 1), for True.
    """

    def point(place: paddle.Tensor, length: Any) -> paddle.Tensor:
        place = place.astype(dtype)
        if paddle.in_dynamic_mode():
            return (place + 0.5) / length if centres else place / max(length - 1, 1)
        length = length.astype(dtype)
        return (place + 0.5) / length if centres else place / (length - 1).clip(min=1)

    height, width = size[0], size[1]
    return paddle.stack([point(index % width, width), point(index // width, height)], axis=2)


def fraction(size: Any, divisor: int) -> Any:
    """⌈size / divisor⌉ for (height, width), numbers or a tensor."""
    if paddle.in_dynamic_mode():
        return [-(-length // divisor) for length in size]
    return (size + (divisor - 1)) // divisor


class PointHead(nn.Layer):
    """A network of 1×1 layers that classifies points by coarse logits and fine features.

    Args:
        in_channels: of all features together.
        channels: of each hidden layer.
        hidden_layers: their number.
        bias: of the hidden layers.
        coarse_each_layer: the coarse logits stand beside the input of every layer, as in detectron2; else of the first.
        points: of an image in training.
        oversample, importance: see :func:`training_points`.
        refined: pixels of an image that a step of the subdivision computes anew.
        align_corners: of sampling and resizing.
        centres: see :func:`pixel_points`. None: as ``align_corners`` asks.
        coarse: the coarse logits at a refined pixel are those of the head (``first``, as in detectron2) or those of the
            step before (``last``).

    Raises:
        RssegError: numbers of points that are none.

    Attributes:
        draw: where random points come from (:func:`training_points`).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 256,
        hidden_layers: int = 3,
        bias: bool = True,
        coarse_each_layer: bool = True,
        points: int = 2048,
        oversample: float = 3,
        importance: float = 0.75,
        refined: int = 8192,
        align_corners: bool = False,
        centres: bool | None = None,
        coarse: Literal["first", "last"] = "first",
    ):
        super().__init__()
        if not 1 <= int(importance * points) <= points:
            raise RssegError("model.importance", f"{importance} of {points} points", "1 to all of them")
        if oversample < 1:
            raise RssegError("model.oversample", str(oversample), "at least 1")
        if refined < 1:
            raise RssegError("model.refined", str(refined), "at least 1", "or the network without PointRend")
        self.coarse_each_layer, self.coarse = coarse_each_layer, coarse
        self.points, self.oversample, self.importance, self.refined = points, oversample, importance, refined
        self.align_corners = align_corners
        self.centres = not align_corners if centres is None else centres
        self.draw: Callable[[list[int]], paddle.Tensor] = paddle.rand
        again = num_classes if coarse_each_layer else 0
        widths = [in_channels + num_classes, *[channels + again] * hidden_layers]
        self.layers = nn.LayerList(
            conv2d(width, channels, 1, init="relu", bias_attr=None if bias else False) for width in widths[:-1]
        )
        self.classifier = conv2d(widths[-1], num_classes, 1)

    def forward(self, coarse: paddle.Tensor, fine: paddle.Tensor) -> paddle.Tensor:
        """N×K×P×1 logits and N×C×P×1 features → N×K×P×1 logits."""
        x = paddle.concat([coarse, fine], axis=1)
        for layer in self.layers:
            x = F.relu(layer(x))
            if self.coarse_each_layer:
                x = paddle.concat([x, coarse.astype(x.dtype)], axis=1)
        return self.classifier(x)

    def at(self, points: paddle.Tensor, coarse: paddle.Tensor, features: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """The head's N×K×P×1 logits at N×P×2 points, from maps of any size."""
        fine = paddle.concat([sample(x, points, self.align_corners) for x in features], axis=1)
        return self(sample(coarse, points, self.align_corners), fine)

    def train_output(
        self, coarse: paddle.Tensor, features: Sequence[paddle.Tensor], size: Sequence[int]
    ) -> paddle.Tensor:
        """N×(K+2)×P×1: logits at random points and behind them the points' x and y, for :class:`.PointLoss`.

        In float32 at least, also inside mixed precision. There 0 and 1 are the edges of the image, whose (height,
        width) is ``size``, whatever ``align_corners`` says of the maps.
        """
        points = training_points(coarse, self.points, self.oversample, self.importance, self.align_corners, self.draw)
        logits = full_precision(self.at(points, coarse, features))
        if self.align_corners:
            extent = paddle.to_tensor([size[1], size[0]], points.dtype)  # x before y
            points = (points * (extent - 1) + 0.5) / extent
        return paddle.concat([logits, points.transpose([0, 2, 1]).unsqueeze(3).astype(logits.dtype)], axis=1)

    def refine(
        self, logits: paddle.Tensor, first: paddle.Tensor, features: Sequence[paddle.Tensor], size: Any
    ) -> paddle.Tensor:
        """One step of the subdivision: logits at ``size``, the most uncertain pixels computed anew.

        Args:
            logits: N×K×h×w of the step before.
            first: N×K×h×w before all steps.
        """
        logits = resize(logits, size, self.align_corners)
        index = uncertain_pixels(logits, self.refined)
        points = pixel_points(index, spatial_size(logits), full_precision(logits).dtype, self.centres)
        values = self.at(points, first if self.coarse == "first" else logits, features).squeeze(3)
        index = index.unsqueeze(1).expand([-1, logits.shape[1], -1])
        flat = paddle.put_along_axis(logits.flatten(2), index, values.astype(logits.dtype), axis=2)
        return flat.reshape([0, logits.shape[1], size[0], size[1]])
