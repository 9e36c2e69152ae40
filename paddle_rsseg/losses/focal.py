"""The soft-max focal losses of FarSeg and FarSeg++.

With the cross entropy ℓ of a pixel, the probability of its label is exp(-ℓ), so the focal factor is
m = (1 - p)^γ = (-expm1(-ℓ))^γ: no second softmax, and exact where p is near 1. No gradient flows through m or
anything made of it. N is the number of images, n that of the pixels that count.
"""

from __future__ import annotations

import math

import paddle

from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.losses.pixel import PixelLoss, ratio
from paddle_rsseg.registry import LOSSES


def focal_factor(loss: paddle.Tensor, gamma: float) -> paddle.Tensor:
    """m of each pixel; 0 at ignored ones, where ℓ is 0 (1 if γ is 0)."""
    return (-paddle.expm1(-loss)) ** gamma


def normalized_focal_factor(loss: paddle.Tensor, gamma: float) -> paddle.Tensor:
    """s = Z·m with Z = Σℓ / Σℓm, the weights that keep the sum: Σℓs = Σℓ.

    1 - p is divided by its largest value first; that cancels in s, and neither Σℓm nor Z can then leave the range
    of float32, however sure the network is.
    """
    doubt = -paddle.expm1(-loss)
    factor = ratio(doubt, doubt.max(), empty=0.0) ** gamma
    return factor * ratio(loss.sum(), (loss * factor).sum(), empty=1.0)


@LOSSES.register()
class SoftmaxFocalLoss(PixelLoss):
    """Σ ℓ·m / (n + N), or with Z·m in place of m.

    Args:
        gamma: γ.
        normalize: multiply by Z, so that the value is that of the cross entropy.
        ignore_index: label of the pixels that do not count.
    """

    def __init__(self, gamma: float = 2.0, normalize: bool = False, ignore_index: int = 255):
        super().__init__(ignore_index)
        self.gamma, self.normalize = gamma, normalize

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        loss = self.cross_entropy(logits, label)
        with paddle.no_grad():
            factor = (normalized_focal_factor if self.normalize else focal_factor)(loss, self.gamma)
        return (loss * factor).sum() / (self.valid_pixels(logits, label) + logits.shape[0])


#: share of the starting value that is left at the fraction x = t/T of the way; 1 at 0, 0 at 1
ANNEALING = {
    "cosine": lambda x, power: 0.5 * (1 + paddle.cos(math.pi * x)),
    "linear": lambda x, power: 1 - x,
    "poly": lambda x, power: (1 - x) ** power,
}


class AnnealedLoss(PixelLoss):
    """Base of losses that change with the iteration.

    ``step`` counts the training iterations: it advances by one before every loss in train mode, stands still in
    eval mode, and belongs to ``state_dict``, so that a resumed training goes on where it was. Where one iteration is
    several micro-batches, only one of them may see the loss in train mode.
    """

    def __init__(self, T_max: int, annealing: str, power: float, ignore_index: int):
        super().__init__(ignore_index)
        if annealing not in ANNEALING:
            raise RssegError(
                "loss.annealing", repr(annealing), "cosine, linear or poly", did_you_mean(annealing, ANNEALING)
            )
        if T_max < 0:
            raise RssegError("loss.T_max", str(T_max), "a number of iterations")
        self.T_max, self.annealing, self.power = T_max, annealing, power
        self.step: paddle.Tensor
        self.register_buffer("step", paddle.zeros([], "int64"))

    def forward(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        if self.training:
            # in place, on the device: reading the number here would stall a GPU
            paddle.increment(self.step)
        return super().forward(logits, label)

    def share_left(self, dtype: paddle.dtype) -> paddle.Tensor | float:
        """1 at step 0, falling to 0 at step T_max and after."""
        if self.T_max == 0:
            return 0.0
        x = (self.progress().astype(dtype) / self.T_max).clip(max=1.0)
        return ANNEALING[self.annealing](x, self.power)

    def progress(self) -> paddle.Tensor:
        """The iterations that count as done."""
        return self.step


@LOSSES.register()
class AnnealingSoftmaxFocalLoss(AnnealedLoss):
    """FarSeg's loss: Σ ℓ·w / (n + N), where w goes from 1 (cross entropy) to Z·m (focal) in T_max iterations.

    Its *value* is Σℓ / (n + N) at any step; what is annealed is the gradient.

    Args:
        T_max: iterations until the loss is the focal one.
        gamma: γ.
        annealing: ``cosine``, ``linear`` or ``poly``.
        power: of ``poly``.
        ignore_index: label of the pixels that do not count.
    """

    def __init__(
        self,
        T_max: int = 10000,  # PaddleSeg's spelling
        gamma: float = 2.0,
        annealing: str = "cosine",
        power: float = 0.9,
        ignore_index: int = 255,
    ):
        super().__init__(T_max, annealing, power, ignore_index)
        self.gamma = gamma

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        loss = self.cross_entropy(logits, label)
        with paddle.no_grad():
            focal = normalized_focal_factor(loss, self.gamma)
            weight = focal + self.share_left(loss.dtype) * (1 - focal)
        return (loss * weight).sum() / (self.valid_pixels(logits, label) + logits.shape[0])


@LOSSES.register()
class ScaleAnnealingFocalLoss(AnnealedLoss):
    """FarSeg++'s loss: z·Σ ℓ·m / n, where the scale z goes from 1 to Z in T_max iterations.

    Unlike FarSeg's it is focal from the first iteration; only its scale is annealed. The published configuration
    has ``T_max`` 0: the scale is Z throughout. (The original writes n + 1e-7, which in its float32 is n.)

    Args:
        T_max: iterations until z = Z.
        gamma: γ.
        normalize: False: z = 1 throughout.
        annealing, power: as for :class:`AnnealingSoftmaxFocalLoss`; the original has cosine only.
        weight_gradient: let the gradient flow through m and z too (the original's variant for several GPUs).
        ignore_index: label of the pixels that do not count.
    """

    def __init__(
        self,
        T_max: int = 0,
        gamma: float = 2.0,
        normalize: bool = True,
        annealing: str = "cosine",
        power: float = 0.9,
        weight_gradient: bool = False,
        ignore_index: int = 255,
    ):
        super().__init__(T_max, annealing, power, ignore_index)
        self.gamma, self.normalize, self.weight_gradient = gamma, normalize, weight_gradient

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        loss = self.cross_entropy(logits, label)
        with paddle.set_grad_enabled(self.weight_gradient):
            factor = focal_factor(loss, self.gamma)
            if self.normalize:
                full = ratio(loss.sum(), (loss * factor).sum(), empty=1.0)
                factor = factor * (full + self.share_left(loss.dtype) * (1 - full))
        return ratio((loss * factor).sum(), self.valid_pixels(logits, label), empty=0.0)
