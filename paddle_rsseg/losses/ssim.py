"""Structural similarity, and BASNet's hybrid loss of a pixel, a patch and a map."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses.combined import MixedLoss
from paddle_rsseg.losses.cross_entropy import CrossEntropyLoss
from paddle_rsseg.losses.pixel import ACTIVATIONS, PixelLoss, choice, ratio
from paddle_rsseg.losses.region import SoftIoULoss
from paddle_rsseg.registry import LOSSES


def ssim(a: paddle.Tensor, b: paddle.Tensor, window: int = 11, sigma: float = 1.5) -> paddle.Tensor:
    """N×K×H×W similarity of two N×K×H×W maps in [0, 1], channel by channel (Wang et al. 2004).

    With means μ, variances v and the covariance c under a Gaussian window, zeros around the image:
    (2 μ_a μ_b + 0.01²)(2 c + 0.03²) / ((μ_a² + μ_b² + 0.01²)(v_a + v_b + 0.03²)).
    """
    offset = paddle.arange(window, dtype=a.dtype) - window // 2
    kernel = paddle.exp(-(offset**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()

    def blur(x: paddle.Tensor) -> paddle.Tensor:
        y = x.flatten(0, 1).unsqueeze(1)
        y = F.conv2d(y, kernel.reshape([1, 1, 1, -1]), padding=(0, window // 2))
        y = F.conv2d(y, kernel.reshape([1, 1, -1, 1]), padding=(window // 2, 0))
        return y.reshape(x.shape)

    mean_a, mean_b = blur(a), blur(b)
    spread = blur(a * a) + blur(b * b) - mean_a**2 - mean_b**2
    together = blur(a * b) - mean_a * mean_b
    means = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return means * (2 * together + 0.03**2) / (spread + 0.03**2)


@LOSSES.register()
class SSIMLoss(PixelLoss):
    """1 - SSIM of probabilities and targets, mean over classes and pixels that count; ignored pixels are 0 in both.

    Args:
        window: of the Gaussian, in pixels; odd.
        sigma: of the Gaussian.
        activation: ``softmax``, ``sigmoid``, or ``none`` where the network gives probabilities.
        ignore_index: label of the pixels that do not count.
    """

    def __init__(self, window: int = 11, sigma: float = 1.5, activation: str = "softmax", ignore_index: int = 255):
        super().__init__(ignore_index)
        if window < 1 or window % 2 == 0:
            raise RssegError("SSIMLoss.window", str(window), "an odd number of pixels")
        self.window, self.sigma = window, sigma
        self.activation = choice(activation, ACTIVATIONS, "SSIMLoss.activation")

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        target = self.one_hot(logits, label)
        valid = (label != self.ignore_index).astype(logits.dtype).unsqueeze(1)
        similarity = ssim(ACTIVATIONS[self.activation](logits) * valid, target, self.window, self.sigma)
        return ratio(((1 - similarity).mean(1, keepdim=True) * valid).sum(), valid.sum(), empty=0.0)


@LOSSES.register()
class BASNetLoss(MixedLoss):
    """Cross entropy + (1 - SSIM) + (1 - IoU), each with the weight 1, of one output (Qin et al. 2019).

    IoU is that of an image, all classes together. The committed NAIC_AI-RS has only the cross entropy left, its paper
    and its comments have all three. One for each of BASNet's eight outputs: ``coef: [1, 1, 1, 1, 1, 1, 1, 1]``.

    Args:
        ignore_index: label of the pixels that do not count.
    """

    def __init__(self, ignore_index: int = 255):
        terms = [
            CrossEntropyLoss(ignore_index=ignore_index),
            SSIMLoss(ignore_index=ignore_index),
            SoftIoULoss("image", ignore_index=ignore_index),
        ]
        super().__init__(terms, [1.0, 1.0, 1.0], ignore_index)
