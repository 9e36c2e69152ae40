"""YAML files → frozen, typed settings."""

from paddle_rsseg.config.load import load_config, loads_config
from paddle_rsseg.config.schema import Component, Settings

__all__ = ["Component", "Settings", "load_config", "loads_config"]
