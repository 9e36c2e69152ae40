"""The Lovász extension of the Jaccard index (Berman et al. 2018): a surrogate of IoU, for softmax and for margins.

Errors are sorted; each is weighted with what the Jaccard loss grows by when its pixel joins the wrong ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F

from paddle_rsseg.losses.pixel import ACTIVATIONS, PixelLoss, choice, ratio
from paddle_rsseg.registry import LOSSES


def lovasz_extension(errors: paddle.Tensor, foreground: paddle.Tensor, valid: paddle.Tensor) -> paddle.Tensor:
    """Scalar of P errors (those below 0 are none), of P bools "in the class" and P bools "counts"."""
    # ignored pixels come last, so that they change nothing for those before
    errors = paddle.where(valid, errors, paddle.full_like(errors, -float("inf")))
    order = paddle.argsort(errors.detach(), descending=True)
    weight = jaccard_growth((foreground & valid)[order]).astype(errors.dtype)
    return (F.relu(errors[order]) * weight).sum()


def jaccard_growth(foreground: paddle.Tensor) -> paddle.Tensor:
    """What 1 - I/U grows by as pixels are lost from first to last; P float64 of P sorted bools.

    I begins with the pixels of the class and loses one of them at a time, U begins with the same and gains the
    others. So the growth is 1/U for a pixel of the class and I/U(U - 1) for another, without a difference of
    almost equal numbers.
    """
    inside = foreground.astype("int64")
    total = inside.sum()
    left = (total - inside.cumsum()).astype("float64")
    union = (total + (1 - inside).cumsum()).astype("float64")
    # of a class that nothing belongs to, the first lost pixel is everything: 0/0 below, 1 by definition
    outside = paddle.where(union == 1, paddle.ones_like(union), left / (union * (union - 1)).clip(min=1.0))
    return paddle.where(foreground, 1 / union.clip(min=1.0), outside)


class LovaszLoss(PixelLoss):
    """Base: mean over the classes of the batch, or of each image and then over the images.

    Args:
        classes: ``present``: the classes among the labels, ``all``, or a list of classes.
        per_image: an image at a time; images without a pixel that counts are left out.
        ignore_index: label of the pixels that do not count.
    """

    def __init__(self, classes: str | Sequence[int], per_image: bool, ignore_index: int):
        super().__init__(ignore_index)
        if isinstance(classes, str):
            choice(classes, ("present", "all"), f"{type(self).__name__}.classes")
        self.classes, self.per_image = classes, per_image

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        errors, target = self.errors(logits, self.one_hot(logits, label))
        valid = label != self.ignore_index
        if self.per_image:
            values = paddle.stack(
                [self.of_sample(errors[i : i + 1], target[i : i + 1], valid[i]) for i in range(len(label))]
            )
            some = valid.flatten(1).any(1).astype(values.dtype)
        else:
            values = self.of_sample(errors, target, valid).unsqueeze(0)
            some = valid.any().astype(values.dtype).unsqueeze(0)
        return ratio((values * some).sum(), some.sum(), empty=0.0)

    def of_sample(self, errors: paddle.Tensor, target: paddle.Tensor, valid: paddle.Tensor) -> paddle.Tensor:
        valid = valid.flatten()
        chosen = range(errors.shape[1]) if isinstance(self.classes, str) else self.classes
        foreground = [target[:, c].flatten() > 0 for c in chosen]
        values = paddle.stack(
            [
                lovasz_extension(errors[:, c].flatten(), inside, valid)
                for c, inside in zip(chosen, foreground, strict=True)
            ]
        )
        if self.classes != "present":
            return values.mean()
        present = paddle.stack([inside.any() for inside in foreground]).astype(values.dtype)
        return ratio((values * present).sum(), present.sum(), empty=0.0)

    def errors(self, logits: paddle.Tensor, target: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """N×K×H×W errors, and the targets."""
        raise NotImplementedError


@LOSSES.register()
class LovaszSoftmaxLoss(LovaszLoss):
    """Lovász-softmax: the errors are |t - p|. NAIC_AI-RS has ``classes`` all, the others present.

    (System E's version moves the batch axis where the classes should go and mixes pixels; this is the formula.)

    Args:
        classes: ``present``: the classes among the labels, ``all``, or a list of classes.
        per_image: an image at a time; images without a pixel that counts are left out.
        activation: ``softmax``, ``sigmoid``, or ``none`` where the network gives probabilities.
        ignore_index: label of the pixels that do not count.
    """

    def __init__(
        self,
        classes: str | Sequence[int] = "present",
        per_image: bool = False,
        activation: str = "softmax",
        ignore_index: int = 255,
    ):
        super().__init__(classes, per_image, ignore_index)
        self.activation = choice(activation, ACTIVATIONS, "LovaszSoftmaxLoss.activation")

    def errors(self, logits: paddle.Tensor, target: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        return (target - ACTIVATIONS[self.activation](logits)).abs(), target


@LOSSES.register()
class BinaryLovaszLoss(LovaszLoss):
    """Lovász-hinge: the errors are the hinges 1 - x for pixels of the class and 1 + x for others, x the logit.

    For a network of one channel, which is class 1; with more channels each class is one such question, and the value
    their mean.

    Args:
        per_image: an image at a time; images without a pixel that counts are left out.
        ignore_index: label of the pixels that do not count.
    """

    def __init__(self, per_image: bool = False, ignore_index: int = 255):
        super().__init__("all", per_image, ignore_index)

    def errors(self, logits: paddle.Tensor, target: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        return 1 - logits * (2 * target - 1), target
