"""What the pixel-wise losses share."""

from __future__ import annotations

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError


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
            if logits.dtype in (paddle.float16, paddle.bfloat16):
                logits = logits.astype("float32")
            return self.value(logits, label.astype("int64"))

    def value(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        """The loss of float32 or float64 logits and int64 labels."""
        raise NotImplementedError

    def cross_entropy(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        """N×H×W cross entropy, 0 at ignored pixels.

        Raises:
            RssegError: a label outside [0, K) that is not ``ignore_index`` (CPU; CUDA kernels abort on it).
        """
        try:
            return F.cross_entropy(logits, label, axis=1, ignore_index=self.ignore_index, reduction="none")
        except (IndexError, ValueError) as error:
            classes = logits.shape[1]
            seen = paddle.unique(label[label != self.ignore_index]).tolist()
            wrong = [value for value in seen if not 0 <= value < classes]
            if not wrong:
                raise
            raise RssegError(
                "label",
                f"values {wrong[:8]} for a network of {classes} classes",
                f"0 to {classes - 1} or the ignored {self.ignore_index}",
                "'rsseg doctor CONFIG' lists the files",
            ) from error

    def valid_pixels(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        """Number of pixels that count, as a scalar of the logits' type."""
        return (label != self.ignore_index).astype(logits.dtype).sum()


def ratio(numerator: paddle.Tensor, denominator: paddle.Tensor, empty: float) -> paddle.Tensor:
    """``numerator / denominator``, or ``empty`` where the denominator is 0."""
    nothing = denominator == 0
    safe = paddle.where(nothing, paddle.ones_like(denominator), denominator)
    return paddle.where(nothing, paddle.full_like(numerator, empty), numerator / safe)
