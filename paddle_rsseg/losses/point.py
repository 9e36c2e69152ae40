"""The loss of PointRend's points (Kirillov et al., CVPR 2020)."""

from __future__ import annotations

from typing import Literal

import paddle

from paddle_rsseg.losses.pixel import PixelLoss, choice, ratio
from paddle_rsseg.registry import LOSSES


@LOSSES.register()
class PointLoss(PixelLoss):
    """Mean cross entropy over the points that count, Σℓ / n, against the label at each point.

    Takes N×(K+2)×P×1: K logits and behind them the point's x and y, from 0 at one edge of the image to 1 at the other,
    to which no gradient flows; and the N×H×W label of the whole image.

    Args:
        ignore_index: a point with this label does not count.
        sampling: a point has the label of the ``nearest`` pixel (detectron2, NAIC_AI-RS's RendUNet), or of its four
            neighbours the one with the largest ``bilinear`` weight (NAIC_AI-RS's RendDANet), ignored ones among them.
    """

    def __init__(self, ignore_index: int = 255, sampling: Literal["nearest", "bilinear"] = "nearest"):
        super().__init__(ignore_index)
        self.sampling = choice(sampling, ("nearest", "bilinear"), "PointLoss.sampling")

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        logits, points = logits[:, :-2], logits[:, -2:].detach()
        truth = self.labels_at(points.squeeze(3), label).unsqueeze(2)
        loss = self.cross_entropy(logits, truth)
        return ratio(loss.sum(), self.valid_pixels(logits, truth), empty=0.0)

    @paddle.no_grad()
    def labels_at(self, points: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        """N×2×P points and N×H×W labels → N×P labels."""
        height, width = label.shape[1:]
        # from edges to the centres of the outer pixels
        x, y = ((points[:, i] * length - 0.5).clip(0.0, length - 1.0) for i, length in enumerate((width, height)))
        if self.sampling == "nearest":
            return _pick(label, x.round(), y.round())
        left, top = x.floor(), y.floor()
        right, bottom = (left + 1).clip(max=width - 1), (top + 1).clip(max=height - 1)
        x, y = x - left, y - top
        corners = [
            (_pick(label, left, top), (1 - x) * (1 - y)),
            (_pick(label, right, top), x * (1 - y)),
            (_pick(label, left, bottom), (1 - x) * y),
            (_pick(label, right, bottom), x * y),
        ]
        votes = paddle.stack(
            [
                paddle.add_n([weight * (other == label).astype(weight.dtype) for other, weight in corners])
                for label, _ in corners
            ]
        )
        best = votes.argmax(0).unsqueeze(0)
        return paddle.take_along_axis(paddle.stack([label for label, _ in corners]), best, 0).squeeze(0)


def _pick(label: paddle.Tensor, x: paddle.Tensor, y: paddle.Tensor) -> paddle.Tensor:
    """N×H×W labels at N×P whole positions."""
    index = (y * label.shape[2] + x).astype("int64")
    return paddle.take_along_axis(label.flatten(1), index, axis=1)
