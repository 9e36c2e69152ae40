"""Rendered aerial scenes with exact labels: data for demo, tests and notebooks."""

from __future__ import annotations

from paddle_rsseg.data.synth.legends import ISAID, LANDCOVER, LEGENDS, Legend
from paddle_rsseg.data.synth.preview import write_preview
from paddle_rsseg.data.synth.scene import Scene, SceneStream, render_scene
from paddle_rsseg.data.synth.write import DatasetOptions, write_dataset

__all__ = [
    "ISAID", "LANDCOVER", "LEGENDS", "DatasetOptions", "Legend", "Scene", "SceneStream", "render_scene",
    "write_dataset", "write_preview",
]  # fmt: skip
