"""From a batch of windows to scores of the classes; here the network may see each window several times.

Test-time augmentation: every view and every scale is one more pass of the network, and the mean of all answers, turned
and resized back, counts. What is averaged, logits or probabilities, is what overlapping windows average too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.resizing import upsample_rows
from paddle_rsseg.inference.spec import VIEW_NAMES, InferenceSpec, up
from paddle_rsseg.inference.stitch import softmax_
from paddle_rsseg.views import View

#: a window as it was read: h×w×bands, and h×w bool of what is valid (None: everything)
Cut = tuple[np.ndarray, "np.ndarray | None"]


class Scorer:
    """Windows of an image → N×K×h×w scores of their pixels, in two steps: :meth:`batch`, then the call.

    Args:
        backend: N×C×H×W float32 → logits N×K×H×W float32.
        spec: how the model wants its input; its ``views`` and ``scales`` are the augmentation. A view that it names
            twice counts twice but is computed once.
    """

    def __init__(self, backend: Callable[[np.ndarray], np.ndarray], spec: InferenceSpec):
        self.backend, self.spec = backend, spec
        self.passes = Counter((scale, VIEW_NAMES[name]) for scale in spec.scales for name in spec.views)
        self.plain = set(self.passes) == {(1.0, View())}

    def batch(self, windows: Sequence[Cut], height: int, width: int, whole: bool = False) -> np.ndarray:
        """The network's input N×C×H×W float32: normalised, zeros at the right and bottom.

        Args:
            windows: stored values h×w×bands of ``spec.bands``, all of one size, and what of them is valid.
            whole: they are whole images, which are filled up to a multiple of ``pad_to`` only.
        """
        size = (up(height, self.spec.pad_to), up(width, self.spec.pad_to)) if whole else self.spec.padded(height, width)
        batch = np.zeros((len(windows), self.spec.in_channels, *size), np.float32)
        for out, (pixels, valid) in zip(batch, windows, strict=True):
            out[:, :height, :width] = self.spec.normalize(pixels, valid).transpose(2, 0, 1)
        return batch

    def ranking(self, batch: np.ndarray, height: int, width: int) -> np.ndarray:
        """Scores of which only the order within a pixel is right: the best class needs no softmax."""
        return self.logits(batch)[:, :, :height, :width] if self.plain else self(batch, height, width)

    def __call__(self, batch: np.ndarray, height: int, width: int) -> np.ndarray:
        """What is to be averaged over windows: probabilities or logits, as the spec says.

        Args:
            batch: all of one true size, ``height`` × ``width``, padded at the right and bottom.
        """
        if self.plain:
            return self._as_averaged(self.logits(batch)[:, :, :height, :width])
        pixels, total = batch[:, :, :height, :width], None
        for (scale, view), times in self.passes.items():
            scores = self._as_averaged(self._pass(pixels, scale, view)) * np.float32(times)
            total = scores if total is None else np.add(total, scores, out=total)
        assert total is not None
        total /= sum(self.passes.values())
        return total

    def logits(self, batch: np.ndarray) -> np.ndarray:
        """N×K×H×W of one plain pass.

        Raises:
            RssegError: the back end gives another shape.
        """
        logits = self.backend(batch)
        wanted = (len(batch), self.spec.num_classes, *batch.shape[2:])
        if logits.shape != wanted:
            raise RssegError(
                "model", f"logits of shape {logits.shape}", f"{wanted}", "num_classes and the weights must agree"
            )
        return logits

    def _pass(self, pixels: np.ndarray, scale: float, view: View) -> np.ndarray:
        """Logits of the unpadded pixels, seen in this size and view, at their own size and orientation."""
        size = pixels.shape[2], pixels.shape[3]
        scaled = tuple(max(1, round(side * scale)) for side in size)
        seen = view.apply(resized(pixels, scaled))
        height, width = seen.shape[2:]
        padded = np.zeros((*seen.shape[:2], *self.spec.padded(height, width)), np.float32)
        padded[:, :, :height, :width] = seen
        return resized(np.ascontiguousarray(view.invert(self.logits(padded)[:, :, :height, :width])), size)

    def _as_averaged(self, logits: np.ndarray) -> np.ndarray:
        if self.spec.average == "probs":
            for scores in logits:
                softmax_(scores)
        return logits


def resized(maps: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """N×C×h×w float32 at another size, bilinear between pixel centres."""
    if maps.shape[2:] == size:
        return maps
    return np.stack([upsample_rows(one, 0, size[0], *size) for one in maps])
