"""Remote-sensing segmentation on PaddlePaddle.

>>> import paddle_rsseg as rs
>>> settings = rs.load_config("configs/farseg/farseg_r18_synth.yml")     # doctest: +SKIP
>>> rs.train(settings, save_dir="output")                                # doctest: +SKIP
>>> labels = rs.Predictor("output/best_model").predict("scene.tif")      # doctest: +SKIP

================================  ==========================================================
``load_config(path, opts=())``    a YAML file → checked settings
``create_model(name, …)``         a network from a name, a component or settings
``load_weights(model, path)``     read weights of any known layout into it
``train(settings, …)``            train, with checkpoints and resuming
``evaluate(…)``                   scores on a data set
``Predictor(path)``               ``.predict(raster)`` → label map, whatever the size
``export(…)``                     static graph with everything a server needs
================================  ==========================================================

Importing this package imports neither Paddle nor OpenCV: each name is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: public name → module that defines it
_PUBLIC = {
    "Predictor": "paddle_rsseg.inference",
    "create_model": "paddle_rsseg.models",
    "evaluate": "paddle_rsseg.evaluation",
    "export": "paddle_rsseg.export",
    "load_config": "paddle_rsseg.config",
    "load_weights": "paddle_rsseg.weights",
    "train": "paddle_rsseg.training",
}
__all__ = ["Predictor", "__version__", "create_model", "evaluate", "export", "load_config", "load_weights", "train"]

if TYPE_CHECKING:  # what an editor and a type checker see
    from paddle_rsseg.config import load_config
    from paddle_rsseg.evaluation.evaluate import evaluate
    from paddle_rsseg.export import export
    from paddle_rsseg.inference import Predictor
    from paddle_rsseg.models import create_model
    from paddle_rsseg.training import train
    from paddle_rsseg.weights import load_weights


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
