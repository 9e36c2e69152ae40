"""What an evaluation found, and what follows from it by arithmetic alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from paddle_rsseg.evaluation.bootstrap import Intervals, bootstrap
from paddle_rsseg.evaluation.boundary import boundary_scores
from paddle_rsseg.evaluation.calibration import Calibration
from paddle_rsseg.evaluation.gallery import Example
from paddle_rsseg.evaluation.measures import Measures
from paddle_rsseg.evaluation.metrics import prior_iou, scores
from paddle_rsseg.evaluation.objects import ObjectCounts, object_scores


@dataclass
class ImageResult:
    """One image's share.

    Attributes:
        index, name: its place in the data set, and what it is called.
        matrix: K×K int64, rows truth.
        scene: what it is a part of; itself where it is no part.
        blocks: confusion matrices of its blocks, n×K×K, if asked for.
        rim: width of the boundary's rim in pixels; boundary: 3×K counts; if asked for.
        objects: by size, if asked for.
    """

    index: int
    name: str
    matrix: np.ndarray
    scene: str = ""
    blocks: np.ndarray | None = None
    rim: int = 0
    boundary: np.ndarray | None = None
    objects: ObjectCounts | None = None

    @property
    def miou(self) -> float:
        """Mean IoU of the classes present; NaN if no pixel counts."""
        return scores(self.matrix)["mIoU_present"]


@dataclass
class SceneResult:
    """The images of one scene together.

    Attributes:
        name, images: what it is called, and how many images it has.
        matrix: sum of theirs.
        scores: of the matrix; boundary: ``mIoU`` of the rims, NaN if not asked for.
    """

    name: str
    images: int
    matrix: np.ndarray
    scores: dict[str, Any]
    boundary: float


@dataclass
class Evaluation:
    """What an evaluation found.

    Attributes:
        matrix: K×K int64, rows truth.
        scores: see :func:`paddle_rsseg.evaluation.metrics.scores`; ``mIoU``, ``Acc``, … in 0..1.
        classes, palette: of the K classes.
        images: one entry an image, in the data set's order.
        best, worst: a few examples with pictures, for the report.
        seconds: wall-clock time of reading, predicting and counting.
        info: how it was done, for the report: protocol, window, weights, …
        measures: what else was asked for.
        calibration: if it was.
        beside: the same model by the other protocols that were asked for.
    """

    matrix: np.ndarray
    scores: dict[str, Any]
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    images: list[ImageResult]
    best: list[Example] = field(default_factory=list)
    worst: list[Example] = field(default_factory=list)
    seconds: float = 0.0
    info: dict[str, Any] = field(default_factory=dict)
    measures: Measures = field(default_factory=Measures)
    calibration: Calibration | None = None
    beside: list[Evaluation] = field(default_factory=list)

    @cached_property
    def scenes(self) -> list[SceneResult]:
        """Scores scene by scene, in the data set's order."""
        groups: dict[str, list[ImageResult]] = {}
        for image in self.images:
            groups.setdefault(image.scene or image.name, []).append(image)
        found = []
        for name, members in groups.items():
            matrix = sum((image.matrix for image in members), np.zeros_like(self.matrix))
            rims = [image.boundary for image in members if image.boundary is not None]
            boundary = boundary_scores(np.sum(rims, axis=0))["mIoU"] if rims else float("nan")
            found.append(SceneResult(name, len(members), matrix, scores(matrix), boundary))
        return found

    @cached_property
    def intervals(self) -> Intervals | None:
        """Bootstrap intervals over scenes, or over blocks where these were asked for; None with fewer than two."""
        side = self.measures.block
        if side is not None:
            blocks = [block for image in self.images if image.blocks is not None for block in image.blocks]
            return bootstrap(blocks, f"blocks of {side}×{side} pixels")
        return bootstrap([scene.matrix for scene in self.scenes], self.unit)

    @property
    def unit(self) -> str:
        """What a scene of this data set is called."""
        return "scenes" if len(self.scenes) < len(self.images) else "images"

    @cached_property
    def boundary(self) -> dict[str, Any] | None:
        """See :func:`paddle_rsseg.evaluation.boundary.boundary_scores`; None if not asked for."""
        counts = [image.boundary for image in self.images if image.boundary is not None]
        return boundary_scores(np.sum(counts, axis=0)) if counts else None

    @property
    def prior_iou(self) -> float | None:
        """IoU weighted with given frequencies, see :func:`paddle_rsseg.evaluation.metrics.prior_iou`."""
        given = self.measures.frequencies
        return None if given is None else prior_iou(self.scores["IoU"], given)

    @property
    def rims(self) -> tuple[int, int]:
        """The narrowest and the widest rim in pixels."""
        widths = [image.rim for image in self.images]
        return min(widths), max(widths)

    @cached_property
    def objects(self) -> dict[str, Any] | None:
        """See :func:`paddle_rsseg.evaluation.objects.object_scores`; None if not asked for."""
        counts = [image.objects for image in self.images if image.objects is not None]
        return object_scores(sum(counts[1:], counts[0])) if counts else None
