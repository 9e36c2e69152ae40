"""What the pixel-wise losses share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError, did_you_mean


class PixelLoss(nn.Layer):
    """Base of losses of N×K×H×W logits against N×H×W integer labels; the value is a scalar.

    The arithmetic is at least float32, also inside automatic mixed precision, and the label tensor is never
    written to. A batch in which every pixel is ignored has the value 0 and the gradient 0.

    Args:
        ignore_index: label of the pixels that do not count.
    """

    def __init__(self, ignore_index: int = 255):
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        with paddle.amp.auto_cast(enable=False):
            return self.value(in_full(logits), label.astype("int64"))

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        """The loss of float32 or float64 logits and int64 labels."""
        raise NotImplementedError

    def cross_entropy(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        """N×H×W cross entropy, 0 at ignored pixels.

        Raises:
            RssegError: a label outside [0, K) that is not ``ignore_index`` (CPU; CUDA kernels abort on it).
        """
        try:
            loss = F.cross_entropy(logits, label, axis=1, ignore_index=self.ignore_index, reduction="none")
        except (IndexError, ValueError) as error:
            self._explain(label, logits.shape[1], error)
            raise
        # Paddle's CPU kernel takes no logit for less than the largest minus 64; its gradient is right all the same
        if loss.place.is_cpu_place() and loss.size and loss.max().item() >= CLIPPED:
            loss = loss + self._clipped_off(logits, label)
        return loss

    def _clipped_off(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        with paddle.no_grad():
            valid = label != self.ignore_index
            index = paddle.where(valid, label, paddle.zeros_like(label)).unsqueeze(1)
            behind = logits.max(1) - paddle.take_along_axis(logits, index, 1).squeeze(1)
            return F.relu(behind - CLIPPED) * valid.astype(logits.dtype)

    def one_hot(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        """N×K×H×W targets of the logits' type, all zero at ignored pixels.

        One channel is that of class 1 of two: its target is 1 where the label is 1.

        Raises:
            RssegError: as :meth:`cross_entropy`.
        """
        classes = max(logits.shape[1], 2)
        valid = label != self.ignore_index
        try:
            target = F.one_hot(paddle.where(valid, label, paddle.zeros_like(label)), classes)
        except (IndexError, ValueError) as error:
            self._explain(label, classes, error)
            raise
        target = (target.astype(logits.dtype) * valid.unsqueeze(-1).astype(logits.dtype)).transpose([0, 3, 1, 2])
        return target[:, 1:] if logits.shape[1] == 1 else target

    def class_weights(self, weight: Sequence[float] | None, logits: paddle.Tensor) -> paddle.Tensor:
        """``weight`` as a tensor of K numbers, ones if there is none.

        Raises:
            RssegError: not one a class.
        """
        classes = logits.shape[1]
        if weight is None:
            return paddle.ones([classes], logits.dtype)
        if len(weight) != classes:
            raise RssegError(
                f"{type(self).__name__}.weight", f"{len(weight)} weights for {classes} classes", "one a class"
            )
        return paddle.to_tensor([float(w) for w in weight], logits.dtype)

    def pixel_weights(
        self, weight: Sequence[float] | None, logits: paddle.Tensor, label: paddle.Tensor
    ) -> paddle.Tensor:
        """N×H×W weight of each pixel's class, 0 at ignored pixels."""
        valid = label != self.ignore_index
        of_class = self.class_weights(weight, logits)
        return of_class[paddle.where(valid, label, paddle.zeros_like(label))] * valid.astype(logits.dtype)

    def valid_pixels(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        """Number of pixels that count, as a scalar of the logits' type."""
        return (label != self.ignore_index).astype(logits.dtype).sum()

    def _explain(self, label: paddle.Tensor, classes: int, error: Exception) -> None:
        """Raise in plain words if a label outside the classes is what went wrong."""
        seen = paddle.unique(label[label != self.ignore_index]).tolist()
        wrong = [value for value in seen if not 0 <= value < classes]
        if wrong:
            raise RssegError(
                "label",
                f"values {wrong[:8]} for a network of {classes} classes",
                f"0 to {classes - 1} or the ignored {self.ignore_index}",
                "'rsseg doctor CONFIG' lists the files",
            ) from error


CLIPPED = 64.0


def in_full(logits: paddle.Tensor) -> paddle.Tensor:
    """``logits``, or their float32 copy if they are in half precision."""
    return logits.astype("float32") if logits.dtype in (paddle.float16, paddle.bfloat16) else logits


def surprise(logits: paddle.Tensor) -> paddle.Tensor:
    """N×K×H×W: -log of the softmax. (Paddle's own log_softmax ends at 64 on a CPU.)"""
    return paddle.logsumexp(logits, axis=1, keepdim=True) - logits


#: what makes probabilities of a network's output; "none" where the output already is one
ACTIVATIONS: dict[str, Callable[[paddle.Tensor], paddle.Tensor]] = {
    "softmax": lambda logits: F.softmax(logits, axis=1),
    "sigmoid": F.sigmoid,
    "none": lambda probabilities: probabilities,
}


def choice(name: str, known: Iterable[str], where: str) -> str:
    """``name`` itself.

    Raises:
        RssegError: it is none of ``known``.
    """
    known = list(known)
    if name not in known:
        raise RssegError(where, repr(name), " or ".join(known), did_you_mean(name, known))
    return name


def ratio(numerator: paddle.Tensor, denominator: paddle.Tensor, empty: float) -> paddle.Tensor:
    """``numerator / denominator``, or ``empty`` where the denominator is 0."""
    nothing = denominator == 0
    safe = paddle.where(nothing, paddle.ones_like(denominator), denominator)
    return paddle.where(nothing, paddle.full_like(numerator, empty), numerator / safe)
