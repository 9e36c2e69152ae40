"""Windows → network → row bands → label map. ``spec`` and this module import neither Paddle nor OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paddle_rsseg.inference.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # late: the settings import inference.spec, and must not pay for Paddle
    from paddle_rsseg.inference import predictor

    return getattr(predictor, name)
