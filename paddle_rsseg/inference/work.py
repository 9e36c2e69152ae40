"""Predicting many scenes, alone or with others: the same tasks whoever does them.

A worker plans a scene, computes units of it and assembles its results. One process does that scene by scene; the
processes of ``paddle.distributed.launch`` share the bands of all scenes equally (:func:`predict_scenes`); a cluster
hands units to whoever is free (:mod:`paddle_rsseg.inference.cluster`).
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from paddle_rsseg import ranks
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.fingerprint import versions
from paddle_rsseg.inference.predictor import Predictor
from paddle_rsseg.inference.scene import MAP, Outputs
from paddle_rsseg.inference.schedule import Outcome, Plan
from paddle_rsseg.inference.units import Extent, Unit, extent, shares

Scene = tuple[Path, str]  # where an image is, and what its results are called
Rows = Callable[[int, int], None]
Progress = Callable[[float, float], None]
T = TypeVar("T")


@dataclass
class SceneWorker:
    """Does what is to be done with scenes, all with one open model.

    Attributes:
        predictor: with the model.
        save_dir: for results and journals; all workers see it.
        outputs: what is written.
        overwrite: a plan begins anew what an earlier run has left or finished.
    """

    predictor: Predictor
    save_dir: Path
    outputs: Outputs = MAP
    overwrite: bool = False

    def identity(self) -> dict[str, Any]:
        """What decides about the bytes of a band, apart from the image."""
        spec = json.dumps(self.predictor.spec.to_dict(), sort_keys=True)
        engine = self.predictor.engine
        return {
            **versions(engine.score.backend),
            "processor type": platform.machine(),
            "model": self.predictor.fingerprint,
            "back end": getattr(engine.score.backend, "name", type(engine.score.backend).__name__),
            "batch size": engine.batch_size,
            "description of the model": hashlib.sha256(spec.encode()).hexdigest()[:12],
        }

    def plan(self, path: Path, name: str) -> Plan:
        """Open a scene; what there is to do, and what an earlier run has done.

        Raises:
            RssegError: the image cannot be read, or the directory not be written to.
        """
        with self._scene(path, name, self.overwrite) as scene:
            raster = scene.raster
            whole = extent(self.predictor.spec, raster.height, raster.width, scene.count)
            results = scene.results()
            if results is not None:
                return Plan(whole, written=tuple(results))
            return Plan(whole, frozenset(scene.journal.finished()))

    def compute(self, path: Path, name: str, unit: Unit) -> None:
        """Store the bands of a unit in the scene's journal, but for those that are there."""
        with self._scene(path, name) as scene:
            scene.compute(unit.first, unit.last)

    def assemble(self, path: Path, name: str, progress: Rows | None = None) -> tuple[Path, ...]:
        """Write the results of a scene; bands that are not in its journal are computed."""
        with self._scene(path, name) as scene:
            return tuple(scene.results() or scene.write(progress))

    def _scene(self, path: Path, name: str, overwrite: bool = False) -> Any:
        return self.predictor.scene(path, self.save_dir, name, self.outputs, overwrite)


def open_worker(
    model: Any, save_dir: Path, outputs: Outputs, overwrite: bool, device: str | None = None, **options: Any
) -> SceneWorker:
    """A worker in this process.

    Args:
        device: ``cpu``, ``gpu``, or None: a GPU if there is one.
        options: of :class:`~paddle_rsseg.inference.predictor.Predictor`.

    Raises:
        RssegError: no such model or device, or ``outputs`` want a class that the model does not have.
    """
    ranks.setup(device)
    predictor = Predictor(model, **options)
    classes, wanted = predictor.spec.num_classes, outputs.probability
    if wanted is not None and not 0 <= wanted < classes:
        raise RssegError("--probability", str(wanted), f"a class from 0 to {classes - 1}")
    return SceneWorker(predictor, save_dir, outputs, overwrite)


def predict_scenes(
    worker: SceneWorker,
    scenes: Sequence[Scene],
    tell: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> Outcome:
    """Predict scenes in this process, or in this and the others that have been joined.

    Each process does a consecutive part of all bands. A scene that lies in one part is predicted and written there;
    of others the parts are computed first, and then whoever has the first band writes the results. Nobody waits
    while there is something left to do.

    Args:
        tell: is given the errors of this process' scenes as they come; in the first process those of all.
        progress: ``progress(done, all)`` of this process' part.

    Returns:
        What became of all scenes, the same in all processes.
    """
    rank, size = ranks.joined()
    outcome = Outcome()

    def attempt(scene: int, do: Callable[..., T], *arguments: Any) -> T | None:
        """``do`` it, unless the scene has failed already."""
        if scene in outcome.errors:
            return None
        try:
            return do(*scenes[scene], *arguments)
        except RssegError as error:
            outcome.errors[scene] = str(error)
            tell(f"error: {error}")
            return None

    def write(scene: int, *arguments: Any) -> None:
        written = attempt(scene, worker.assemble, *arguments)
        if written is not None:
            outcome.written[scene] = written

    def learn(others: Sequence[Outcome]) -> None:
        for other in others:
            outcome.written |= other.written
            for scene in other.errors.keys() - outcome.errors.keys():
                outcome.errors[scene] = other.errors[scene]
                if rank == 0:
                    tell(f"error: {other.errors[scene]}")

    plans = {scene: attempt(scene, worker.plan) for scene in range(rank, len(scenes), size)}
    gathered = ranks.gather((plans, outcome))
    learn([others for _, others in gathered])
    known = {scene: plan for plans, _ in gathered for scene, plan in plans.items() if plan is not None}
    outcome.written |= {scene: plan.written for scene, plan in known.items() if plan.written is not None}
    work = [known[s] if s in known and s not in outcome.written else Plan(Extent(0)) for s in range(len(scenes))]
    mine = shares([plan.extent for plan in work], size, [plan.finished for plan in work])[rank]

    total, done = sum(unit.last - unit.first for unit in mine), 0
    for unit in mine:
        bands = unit.last - unit.first
        if bands == work[unit.scene].extent.bands:
            write(unit.scene, _scaled(progress, done, bands, total))
        else:
            attempt(unit.scene, worker.compute, unit)
        done += bands
        if progress:
            progress(done, total)
    learn(ranks.gather(outcome))
    for unit in mine:  # what was parted, and begins here
        if unit.first == 0 and unit.scene not in outcome.written:
            write(unit.scene)
    learn(ranks.gather(outcome))
    return outcome


def _scaled(progress: Progress | None, done: int, bands: int, total: int) -> Rows | None:
    """The rows of a scene told as bands of the whole share."""
    if progress is None:
        return None
    return lambda row, rows: progress(done + bands * row / rows, total)
