"""The pre- and post-processing a model was trained with: one description from training to server.

It is built once from the settings, travels inside the weights file and inside ``deploy.yaml``, and is the
only thing that evaluation, prediction, the exported model and a server read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.views import View
from paddle_rsseg.windows import WEIGHTS, Span, expanded, roomiest, sliding

#: full scale of the integer types; a band is divided by it unless ``scale`` says otherwise
FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "int16": 32767.0, "uint32": 4294967295.0, "int32": 2147483647.0}

#: views of test-time augmentation; ``lrtb`` is ``rot180``, and ``diag2`` the mirror image about the other diagonal
VIEW_NAMES = {
    "identity": View(),
    "lr": View(mirrored=True),
    "tb": View(upside_down=True),
    "lrtb": View(upside_down=True, mirrored=True),
    "diag": View(transposed=True),
    "diag2": View(transposed=True, upside_down=True, mirrored=True),
    "rot90": View.rotation(1),
    "rot180": View.rotation(2),
    "rot270": View.rotation(3),
}

#: how windows lie, and the sides of the tiles among which ``adaptive`` chooses, the largest first
POLICIES = ("sliding", "expanded", "adaptive")
TILES = tuple(range(1024, 511, -64))


def normalize(
    image: np.ndarray,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    scale: float | None,
    valid: np.ndarray | None = None,
) -> np.ndarray:
    """``(image / scale - mean) / std`` per band, float32, H×W×C in and out.

    Args:
        scale: what the stored numbers are divided by first. None: the full scale of the *type* (255 for uint8,
            65535 for uint16, 1 for floats). It never depends on the pixels, so two tiles of one scene agree.
        valid: H×W bool; pixels without data become 0, the mean of the data set.
    """
    if scale is None:
        scale = FULL_SCALE.get(image.dtype.name, 1.0)
    # one multiply-add per pixel instead of three passes: x * (1 / (scale * std)) - mean / std
    gain = (1.0 / (scale * np.asarray(std, np.float64))).astype(np.float32)
    offset = (np.asarray(mean, np.float64) / np.asarray(std, np.float64)).astype(np.float32)
    out = image.astype(np.float32)
    out *= gain
    out -= offset
    if valid is not None:
        out[~valid] = 0.0
    return out


@dataclass(frozen=True)
class InferenceSpec:
    """How pixels become a network's input, and its output a label map.

    Attributes:
        num_classes: channels of the logits.
        bands: 1-based bands of the raster that the network sees, in its order; None takes all, in file order.
        in_channels: number of those bands.
        mean, std: per band, in units of ``value / scale``.
        scale: see :func:`normalize`.
        nodata: value that marks a pixel without data where the raster itself states none; None: only what it states.
        alpha_is_data: a band that a file calls alpha is one like the others (near infrared often is tagged so), not a
            mask of where there is data.
        window: (height, width) of the sliding window in pixels.
        stride: (vertical, horizontal) step of it.
        policy: how windows lie. ``sliding``: inside the image, one ``stride`` apart, blended where they overlap.
            ``expanded``: the image is tiled by ``window``, and each tile is seen with ``margin`` pixels around it,
            black beyond the image; only the tile counts. ``adaptive``: likewise, by tiles of 512 to 1024 pixels a
            side in steps of 64, those that leave most of the image to the last one; an image of no more than 1024 and
            two margins is seen whole. (The last two are NAIC_AI-RS's.)
        margin: of ``expanded`` and ``adaptive``, in pixels.
        pad: a window smaller than the network wants is zero-padded at the right and bottom *after* normalising:
            ``"multiple"`` to a multiple of ``pad_to`` (FarSeg), ``"window"`` to the full window (PaddleSeg port).
        pad_to: the multiple, 32 for an encoder of output stride 32.
        average: what overlapping windows average, ``"probs"`` (softmax first) or ``"logits"``.
        blend: window weights of :func:`paddle_rsseg.windows.blend_weights`.
        temperature: T of probabilities that are written or calibrated, p^(1/T) made to sum to 1 again, which is
            softmax(logits / T) of one window (Guo et al., "On Calibration of Modern Neural Networks", 2017). It never
            changes a label.
        views: names of :data:`VIEW_NAMES` in which the network sees each window; the scores are averaged, so a name
            given twice counts twice.
        scales: sizes, as factors, at which it sees each window.
        resize: (height, width) to which a whole image is resized before the network, None: never.
        classes: one name a class.
        palette: one (R, G, B) a class, 0-255.
        ignore_index: label value of pixels that count nowhere; also written where the raster has no data.
    """

    num_classes: int
    in_channels: int = 3
    bands: tuple[int, ...] | None = None
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    scale: float | None = None
    nodata: float | None = None
    alpha_is_data: bool = False
    window: tuple[int, int] = (896, 896)
    stride: tuple[int, int] = (512, 512)
    policy: str = "sliding"
    margin: int = 128
    pad: Literal["multiple", "window"] = "multiple"
    pad_to: int = 32
    average: Literal["probs", "logits"] = "probs"
    blend: str = "uniform"
    temperature: float = 1.0
    views: tuple[str, ...] = ("identity",)
    scales: tuple[float, ...] = (1.0,)
    resize: tuple[int, int] | None = None
    classes: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    ignore_index: int = 255

    def __post_init__(self) -> None:
        self._check_numbers()
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.in_channels:
                raise RssegError(
                    f"inference.{name}",
                    f"{len(getattr(self, name))} values for {self.in_channels} bands",
                    "one value a band",
                    "give Normalize one mean and one std per band ('rsseg stats CONFIG' computes them)",
                )
        if self.bands is not None and len(self.bands) != self.in_channels:
            raise RssegError(
                "inference.bands", f"{len(self.bands)} bands for in_channels {self.in_channels}", "the same number"
            )
        if any(s > w for s, w in zip(self.stride, self.window, strict=True)):
            raise RssegError(
                "test_config.stride",
                "{1}×{0} (width × height) is larger than the window {3}×{2}".format(*self.stride, *self.window),
                "stride ≤ crop_size",
                "a larger stride leaves gaps between the windows",
            )

        if self.blend not in WEIGHTS:
            raise RssegError("inference.blend", repr(self.blend), ", ".join(WEIGHTS))
        if self.policy not in POLICIES:
            raise RssegError("inference.policy", repr(self.policy), ", ".join(POLICIES))
        if not isinstance(self.margin, Integral) or self.margin < 0:
            raise RssegError("inference.margin", repr(self.margin), "a whole number of at least 0")
        if not self.views or not self.scales:
            raise RssegError("inference.views", f"{self.views} at scales {self.scales}", "at least one of each")
        for name in self.views:
            if name not in VIEW_NAMES:
                raise RssegError(
                    "inference.views", repr(name), ", ".join(VIEW_NAMES), did_you_mean(str(name), VIEW_NAMES)
                )

    def spans(self, height: int, width: int) -> tuple[list[Span], list[Span]]:
        """Where the windows of an image lie, along its rows and along its columns."""
        if self.policy == "sliding":
            return sliding(height, self.window[0], self.stride[0]), sliding(width, self.window[1], self.stride[1])
        centre = self.window
        if self.policy == "adaptive":
            if max(height, width) <= max(TILES) + 2 * self.margin:
                return [Span(0, height, 0, height)], [Span(0, width, 0, width)]
            centre = roomiest(height, TILES), roomiest(width, TILES)
        return expanded(height, centre[0], self.margin), expanded(width, centre[1], self.margin)

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """The size to which a window of this one is padded."""
        if self.pad == "window" and self.resize is None and height <= self.window[0] and width <= self.window[1]:
            return self.window
        return up(height, self.pad_to), up(width, self.pad_to)

    def _check_numbers(self) -> None:
        """The types and ranges of a description that may come from a file somebody has edited."""
        whole, pairs = ("num_classes", "in_channels", "pad_to", "bands"), ("window", "stride", "resize")
        for name in (*whole, *pairs, "mean", "std", "scale", "scales", "temperature"):
            given = getattr(self, name)
            values = given if isinstance(given, (tuple, list)) else () if given is None else (given,)
            if name in (*whole, *pairs):
                right = all(isinstance(v, Integral) and int(v) >= 1 for v in values)
                wanted = f"{'two ' if name in pairs else ''}whole numbers of at least 1"
            else:
                right = all(isinstance(v, Real) and isfinite(v) and (float(v) > 0 or name == "mean") for v in values)
                wanted = "numbers" if name == "mean" else "numbers above 0"
            if not right or (name in pairs and given is not None and len(values) != 2):
                raise RssegError(f"inference.{name}", repr(given), wanted)
        for name in ("classes", "palette"):
            given = getattr(self, name)
            if given and len(given) != self.num_classes:
                raise RssegError(f"inference.{name}", f"{len(given)} for {self.num_classes} classes", "one a class")

    def normalize(self, image: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
        """H×W×C pixels of the chosen bands → float32 H×W×C network input."""
        return normalize(image, self.mean, self.std, self.scale, valid)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and strings, for YAML and JSON."""

        def plain(value: Any) -> Any:
            return [plain(v) for v in value] if isinstance(value, (tuple, list)) else value

        return {key: plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "inference") -> InferenceSpec:
        """The inverse of :meth:`to_dict`; RssegError for an unknown key."""
        known = [f.name for f in fields(cls)]

        def frozen(value: Any) -> Any:
            return tuple(frozen(v) for v in value) if isinstance(value, (tuple, list)) else value

        for key in values:
            if key not in known:
                raise RssegError(f"{where}.{key}", "unknown key", fix=did_you_mean(key, known))
        return cls(**{key: frozen(value) for key, value in values.items()})


def up(length: int, multiple: int) -> int:
    """The next multiple of ``multiple``."""
    return -(-length // multiple) * multiple
