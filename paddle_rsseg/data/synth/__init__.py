"""Rendered aerial scenes with exact labels: data for demo, tests and notebooks."""

from __future__ import annotations

from paddle_rsseg.data.synth.legends import ISAID, ISAID_REF_PALETTE, LANDCOVER, LEGENDS, Legend
from paddle_rsseg.data.synth.scene import Scene, SceneStream, render_scene

__all__ = ["ISAID", "ISAID_REF_PALETTE", "LANDCOVER", "LEGENDS", "Legend", "Scene", "SceneStream", "render_scene"]
