"""Cross entropy against soft targets: label smoothing everywhere, or near the borders of the classes only.

p is the softmax, y the label, C the number of classes. A target is q_y at the label and q_o at every other class.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.asking import AskingLoss, Extras
from paddle_rsseg.losses.pixel import PixelLoss, choice, ratio, surprise
from paddle_rsseg.registry import LOSSES

#: (smoothing, classes) → (q_y, q_o)
DEFINITIONS = {
    "torch": lambda s, classes: (1 - s + s / classes, s / classes),
    "naic": lambda s, classes: (1 - s, s / classes),
    "seghz": lambda s, classes: (1 - s, s / (classes - 1)),
}


@LOSSES.register()
class LabelSmoothingLoss(PixelLoss):
    """-Σ_c q_c log p_c, mean over the n pixels that count.

    ============== ============= ============ =====================================================
    ``definition`` q_y           q_o          source
    ============== ============= ============ =====================================================
    torch          1 - s + s/C   s/C          PyTorch's ``label_smoothing``
    naic           1 - s         s/C          NAIC_AI-RS; the targets sum to 1 - s/C only
    seghz          1 - s         s/(C - 1)    SegHZ
    ============== ============= ============ =====================================================

    Args:
        smoothing: s.
        definition: see above.
        weight: one for each class. In ``torch`` that of class c stands before log p_c and the sum is divided by
            Σ w_y, as PyTorch does; in the others w_y stands before a pixel's loss and the sum is divided by n.
        ignore_index: label of the pixels that do not count.
    """

    def __init__(
        self,
        smoothing: float = 0.1,
        definition: str = "torch",
        weight: Sequence[float] | None = None,
        ignore_index: int = 255,
    ):
        super().__init__(ignore_index)
        check_share("LabelSmoothingLoss.smoothing", smoothing)
        self.smoothing, self.weight = smoothing, weight
        self.definition = choice(definition, DEFINITIONS, "LabelSmoothingLoss.definition")

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        at_label, elsewhere = DEFINITIONS[self.definition](self.smoothing, logits.shape[1])
        of_label = self.cross_entropy(logits, label)
        of_each = surprise(logits)
        weight = self.pixel_weights(self.weight, logits, label)
        valid = (label != self.ignore_index).astype(logits.dtype)
        if self.definition == "torch":
            of_class = self.class_weights(self.weight, logits).reshape([1, -1, 1, 1])
            of_all = (of_each * of_class).sum(1) * valid
            loss = (at_label - elsewhere) * of_label * weight + elsewhere * of_all
            return ratio(loss.sum(), weight.sum(), empty=0.0)
        loss = (at_label - elsewhere) * of_label + elsewhere * of_each.sum(1)
        return ratio((loss * weight).sum(), valid.sum(), empty=0.0)


@LOSSES.register()
class EdgeLabelSmoothingLoss(PixelLoss):
    """Label smoothing near the borders of the classes only (NAIC_AI-RS, "online edge label smoothing").

    A pixel is at an edge if the square of 2r + 1 pixels around it holds more than one class. There the target is
    1 - α + α/C at the label and α/C elsewhere; other pixels have their label. The value is the mean of
    -Σ_c q_c log p_c over the pixels that count. (The original finds edges by convolving with random integers, which
    overlooks a few by chance; here the largest and the smallest label of the square are compared.)

    Args:
        radius: r.
        alpha: α.
        ignore_index: label of the pixels that do not count; they make no edges.
    """

    def __init__(self, radius: int = 8, alpha: float = 0.2, ignore_index: int = 255):
        super().__init__(ignore_index)
        check_share("EdgeLabelSmoothingLoss.alpha", alpha)
        self.radius, self.alpha = check_radius("EdgeLabelSmoothingLoss.radius", radius), alpha

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        of_label = self.cross_entropy(logits, label)
        of_all = surprise(logits).mean(1)
        valid = label != self.ignore_index
        softness = self.alpha * edges(label, valid, self.radius).astype(logits.dtype)
        loss = (1 - softness) * of_label + softness * of_all * valid.astype(logits.dtype)
        return ratio(loss.sum(), self.valid_pixels(logits, label), empty=0.0)


def edges(label: paddle.Tensor, valid: paddle.Tensor, radius: int) -> paddle.Tensor:
    """Where N×H×W labels have more than one class within ``radius`` rows and columns; bool.

    The square ends at the border of the image, which is the same as repeating the outermost pixels.
    """
    with paddle.no_grad():
        label = label.astype("float32")  # exact up to 2^24
        far = paddle.full_like(label, -(2.0**24))
        largest = _largest_around(paddle.where(valid, label, far), radius)
        smallest = -_largest_around(paddle.where(valid, -label, far), radius)
        return largest > smallest  # where nothing counts, -2^24 > 2^24 is false


def _largest_around(x: paddle.Tensor, radius: int) -> paddle.Tensor:
    x = x.unsqueeze(1)
    x = F.max_pool2d(x, (1, 2 * radius + 1), stride=1, padding=(0, radius))
    return F.max_pool2d(x, (2 * radius + 1, 1), stride=1, padding=(radius, 0)).squeeze(1)


@LOSSES.register()
class SoftTargetLoss(AskingLoss):
    """-Σ_c t_c log p_c, mean over the pixels that count; t is the samples' ``soft_label``.

    A pixel counts if its label does and its target is not zero in every class (padding is). The data set reads the
    targets from ``soft_dir``; ``rsseg soften`` writes those of NAIC_AI-RS.

    Args:
        ignore_index: label of the pixels that do not count.
    """

    fields = ("soft_label",)

    def value(self, logits: paddle.Tensor, label: paddle.Tensor, extras: Extras) -> paddle.Tensor:  # type: ignore[override]
        target = extras.fields["soft_label"].astype(logits.dtype)
        if target.shape != logits.shape:
            raise RssegError(
                "SoftTargetLoss",
                f"soft labels {target.shape} for logits {logits.shape}",
                "one target a class and pixel",
            )
        valid = (label != self.ignore_index).astype(logits.dtype).unsqueeze(1)
        return soft_cross_entropy(logits, target * valid)


def soft_cross_entropy(logits: paddle.Tensor, target: paddle.Tensor) -> paddle.Tensor:
    """Mean of -Σ_c t_c log p_c over the pixels whose target is not zero in every channel.

    Args:
        logits, target: N×C×H×W; the targets are never negative.
    """
    target = target.astype(logits.dtype)
    loss = (target * surprise(logits)).sum(1)
    return ratio(loss.sum(), (target.sum(1) > 0).astype(logits.dtype).sum(), empty=0.0)


def check_share(where: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise RssegError(where, str(value), "a number from 0 to 1")


def check_radius(where: str, value: int) -> int:
    if value < 1:
        raise RssegError(where, str(value), "a number of pixels, 1 or more")
    return value
