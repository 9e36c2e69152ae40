"""Losses of overlaps: Dice, generalised Dice, soft IoU, Tversky.

p are probabilities, t the 0/1 targets, S×K×P: samples, classes, pixels. A sample is an image, or the whole batch taken
for one. I = Σpt, A = Σp, B = Σt. The value of a batch is the mean over the samples that have a pixel that counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import paddle

from paddle_rsseg.losses.pixel import ACTIVATIONS, PixelLoss, choice, ratio
from paddle_rsseg.registry import LOSSES


class RegionLoss(PixelLoss):
    """Base: brings logits and labels into the form above, and averages over the samples.

    Args:
        activation: ``softmax``, ``sigmoid``, or ``none`` where the network gives probabilities.
        per_image: a sample is an image; else the batch.
        ignored_as_background: the ignored pixels count, as pixels of no class at all (SegHZ).
        ignore_index: label of the pixels that do not count.
    """

    def __init__(self, activation: str, per_image: bool, ignored_as_background: bool, ignore_index: int):
        super().__init__(ignore_index)
        self.activation = choice(activation, ACTIVATIONS, f"{type(self).__name__}.activation")
        self.per_image, self.ignored_as_background = per_image, ignored_as_background

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        t = self.one_hot(logits, label)
        p = ACTIVATIONS[self.activation](logits)
        valid = (label != self.ignore_index).astype(logits.dtype).unsqueeze(1)
        if not self.ignored_as_background:
            p = p * valid
        samples = [
            x.flatten(2) if self.per_image else x.transpose([1, 0, 2, 3]).flatten(1).unsqueeze(0) for x in (p, t)
        ]
        some = valid.flatten(1).sum(1) if self.per_image else valid.sum().unsqueeze(0)
        some = (some > 0).astype(logits.dtype)
        return ratio((self.of_samples(*samples) * some).sum(), some.sum(), empty=0.0)

    def of_samples(self, p: paddle.Tensor, t: paddle.Tensor) -> paddle.Tensor:
        """S values of S×K×P probabilities and targets; finite also where all of both are 0."""
        raise NotImplementedError


def overlap(p: paddle.Tensor, t: paddle.Tensor, joint: bool = False) -> tuple[paddle.Tensor, ...]:
    """I, A and B, S×K each; ``joint``: S×1, all classes together."""
    axes = [1, 2] if joint else [2]
    sums = [x.sum(axes) for x in (p * t, p, t)]
    return tuple(x.unsqueeze(1) for x in sums) if joint else tuple(sums)


def mean_of_present(values: paddle.Tensor, present: paddle.Tensor) -> paddle.Tensor:
    """S means of S×K values over the classes that are present (bool, S×K); 0 if none is."""
    weight = present.astype(values.dtype)
    return ratio((values * weight).sum(1), weight.sum(1), empty=0.0)


@dataclass(frozen=True)
class DiceDefinition:
    """D = (2I + above) / max(A + B + below, floor), with Σp² and Σt² for A and B if ``square``.

    ``joint``: one D of all classes together, not the mean of one a class. ``absent_free``: a class that is absent has
    no loss, but still counts in the mean.
    """

    activation: str
    per_image: bool
    joint: bool = False
    square: bool = False
    above: float = 0.0
    below: float = 0.0
    floor: float = 0.0
    absent_free: bool = False


DICE = {
    "paddleseg": DiceDefinition("softmax", per_image=True, above=1.0, below=1.0),
    "image": DiceDefinition("softmax", per_image=True, joint=True, above=1.0, below=1.0),
    "naic": DiceDefinition("softmax", per_image=True, joint=True, above=2.0, below=1.0),
    "seghz": DiceDefinition("sigmoid", per_image=False, square=True, floor=1e-5),
    "seghz_binary": DiceDefinition("sigmoid", per_image=False, joint=True, below=1e-5),
    "smp": DiceDefinition("softmax", per_image=False, floor=1e-7, absent_free=True),
    "mmseg": DiceDefinition("softmax", per_image=True, square=True, above=1.0, below=1.0),
}


@LOSSES.register()
class DiceLoss(RegionLoss):
    """1 - D, mean over classes and samples.

    ============== =========================================== ========= ========= =========================
    ``definition`` D                                           a sample  classes   source
    ============== =========================================== ========= ========= =========================
    paddleseg      (2I + 1) / (A + B + 1)                      an image  each      PaddleSeg
    image          (2I + 1) / (A + B + 1)                      an image  together  NAIC_AI-RS, as meant
    naic           2(I + 1) / (A + B + 1)                      an image  together  NAIC_AI-RS, as it is: the
                                                                                   smoothing is doubled, a
                                                                                   good map goes below 0
    seghz          2I / max(Σp² + Σt², 1e-5), sigmoid          the batch each      SegHZ
    seghz_binary   2I / (A + B + 1e-5), sigmoid                the batch together  SegHZ's binary toy
    smp            2I / max(A + B, 1e-7), absent classes: no   the batch each      segmentation_models.pytorch
                   loss, but they count in the mean                                0.1.3
    mmseg          (2I + 1) / (Σp² + Σt² + 1)                  an image  each      mmsegmentation
    ============== =========================================== ========= ========= =========================

    Args:
        definition: see above.
        activation: instead of the definition's.
        ignored_as_background, ignore_index: see :class:`RegionLoss`.
    """

    def __init__(
        self,
        definition: str = "paddleseg",
        activation: str | None = None,
        ignored_as_background: bool = False,
        ignore_index: int = 255,
    ):
        chosen = DICE[choice(definition, DICE, "DiceLoss.definition")]
        super().__init__(activation or chosen.activation, chosen.per_image, ignored_as_background, ignore_index)
        self.definition = chosen

    def of_samples(self, p: paddle.Tensor, t: paddle.Tensor) -> paddle.Tensor:
        d = self.definition
        both, a, b = overlap(p, t, d.joint)
        if d.square:
            _, a, b = overlap(p * p, t, d.joint)  # t is 0 or 1
        below = a + b + d.below
        if d.floor:
            below = below.clip(min=d.floor)
        loss = 1 - (2 * both + d.above) / below
        if d.absent_free:
            loss = loss * (b > 0).astype(loss.dtype)
        return loss.mean(1)


@LOSSES.register()
class GeneralizedDiceLoss(RegionLoss):
    """1 - 2 Σ_c w_c I_c / Σ_c w_c (A_c + B_c) with w_c = 1 / max(B_c², 1e-5), over the batch.

    Sudre et al. 2017; SegHZ.

    Args:
        classes: ``present``: a class that the batch does not have is left out; ``all``: it has the weight 1e5, which
            drowns every other (SegHZ).
        eps: added to the denominator (SegHZ's binary toy has 1e-5, which is not little beside Σ w(A + B)).
        activation: SegHZ has ``softmax`` and ``sigmoid``.
        ignored_as_background, ignore_index: see :class:`RegionLoss`.
    """

    def __init__(
        self,
        classes: str = "present",
        eps: float = 0.0,
        activation: str = "softmax",
        ignored_as_background: bool = False,
        ignore_index: int = 255,
    ):
        super().__init__(activation, False, ignored_as_background, ignore_index)
        self.classes = choice(classes, ("present", "all"), "GeneralizedDiceLoss.classes")
        self.eps = eps

    def of_samples(self, p: paddle.Tensor, t: paddle.Tensor) -> paddle.Tensor:
        both, a, b = overlap(p, t)
        weight = 1 / (b * b).clip(min=1e-5)
        if self.classes == "present":
            weight = weight * (b > 0).astype(weight.dtype)
        return 1 - ratio(2 * (weight * both).sum(1), (weight * (a + b)).sum(1) + self.eps, empty=1.0)


IOU_ACTIVATION = {"class": "softmax", "image": "softmax", "seghz": "sigmoid", "seghz_binary": "sigmoid"}


@LOSSES.register()
class SoftIoULoss(RegionLoss):
    """1 - IoU of probabilities.

    ============== ======================================================= ===================================
    ``definition`` IoU                                                     source
    ============== ======================================================= ===================================
    class          I / (A + B - I), mean over the classes that are there   Rahman & Wang 2016
    image          I / (A + B - I) of all classes together, mean over the  BASNet, as in NAIC_AI-RS
                   images
    seghz          I / max(A + B, 1e-5), mean over all classes, sigmoid:   SegHZ: the intersection is not
                   half of Dice                                            taken off the union
    seghz_binary   I / (A + B - I + 1e-5), sigmoid, classes together       SegHZ's binary toy
    ============== ======================================================= ===================================

    Args:
        definition: see above.
        activation: instead of the definition's.
        ignored_as_background, ignore_index: see :class:`RegionLoss`.
    """

    def __init__(
        self,
        definition: str = "class",
        activation: str | None = None,
        ignored_as_background: bool = False,
        ignore_index: int = 255,
    ):
        chosen = choice(definition, IOU_ACTIVATION, "SoftIoULoss.definition")
        activation = activation or IOU_ACTIVATION[chosen]
        super().__init__(activation, chosen == "image", ignored_as_background, ignore_index)
        self.definition = chosen

    def of_samples(self, p: paddle.Tensor, t: paddle.Tensor) -> paddle.Tensor:
        both, a, b = overlap(p, t, joint=self.definition in ("image", "seghz_binary"))
        if self.definition == "seghz":
            return (1 - both / (a + b).clip(min=1e-5)).mean(1)
        union = a + b - both
        if self.definition == "seghz_binary":
            return (1 - both / (union + 1e-5)).mean(1)
        return mean_of_present(1 - ratio(both, union, empty=1.0), b > 0)


@LOSSES.register()
class TverskyLoss(RegionLoss):
    """1 - (I + s) / (I + α·FP + β·FN + s), FP = A - I, FN = B - I; mean over the classes (Salehi et al. 2017).

    α = β = 0.5 is Dice, 1 and 1 IoU, 0 and 1 sensitivity. SegHZ has α 0.75 and β 0.25, and 1e-5 in the denominator
    alone.

    Args:
        alpha: price of a false positive.
        beta: price of a false negative.
        smooth: s.
        eps: added to the denominator alone.
        activation, per_image, ignored_as_background, ignore_index: see :class:`RegionLoss`.
    """

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        smooth: float = 1.0,
        eps: float = 0.0,
        activation: str = "softmax",
        per_image: bool = False,
        ignored_as_background: bool = False,
        ignore_index: int = 255,
    ):
        super().__init__(activation, per_image, ignored_as_background, ignore_index)
        self.alpha, self.beta, self.smooth, self.eps = alpha, beta, smooth, eps

    def of_samples(self, p: paddle.Tensor, t: paddle.Tensor) -> paddle.Tensor:
        both, a, b = overlap(p, t)
        below = both + self.alpha * (a - both) + self.beta * (b - both) + self.smooth + self.eps
        return (1 - ratio(both + self.smooth, below, empty=1.0)).mean(1)
