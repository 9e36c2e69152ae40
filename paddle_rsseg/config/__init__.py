"""YAML files → frozen, typed settings, and what is built from them without a network."""

from paddle_rsseg.config.build import build_dataset, check_paths, inference_spec, pretrained_weights
from paddle_rsseg.config.load import load_config, loads_config, override
from paddle_rsseg.config.schema import Component, Settings

__all__ = [
    "Component",
    "Settings",
    "build_dataset",
    "check_paths",
    "inference_spec",
    "load_config",
    "loads_config",
    "override",
    "pretrained_weights",
]
