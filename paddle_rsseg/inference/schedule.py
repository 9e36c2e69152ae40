"""Which unit a free worker does next, and what becomes of one that failed: bookkeeping, without processes or files."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from paddle_rsseg.inference.units import Extent, Unit, cut, unit_size

#: a unit that so many workers died of is given up
TRIES = 3


class Plan(NamedTuple):
    """What a worker says of a scene it has opened.

    Attributes:
        extent: all there is to do.
        finished: bands that an earlier run has left in the scene's journal.
        written: the results, where an earlier run has finished the scene; else None.
    """

    extent: Extent
    finished: frozenset[int] = frozenset()
    written: tuple[Path, ...] | None = None


@dataclass
class Outcome:
    """What became of scenes, by their numbers: ``written`` files of those that are done, ``errors`` of the others."""

    written: dict[int, tuple[Path, ...]] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What a worker is asked for: to ``plan`` a scene, to ``compute`` a unit of it, or to ``assemble`` its results."""

    kind: str
    scene: int
    unit: Unit | None = None

    def __str__(self) -> str:
        return self.kind if self.unit is None else f"bands {self.unit.first} to {self.unit.last - 1}"


@dataclass
class Schedule:
    """Scenes are opened first, all of them, for the size of a unit depends on how much there is; then their units are
    handed out in order, and a scene is assembled as soon as its last band is there.

    Args:
        scenes: how many there are.
        workers: how many share the work.
        tries: of a task, before its scene is given up; the other scenes go on.

    Attributes:
        outcome: of the scenes that are done or have failed.
        done, total: windows computed, and of all; ``total`` is 0 until all scenes have been opened.
    """

    scenes: int
    workers: int
    tries: int = TRIES
    outcome: Outcome = field(default_factory=Outcome)
    done: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        self._plans: dict[int, Plan] = {}
        self._waiting = deque(Task("plan", scene) for scene in range(self.scenes))
        self._missing: Counter[int] = Counter()  # units of a scene that are not done
        self._failures: Counter[Task] = Counter()

    @property
    def over(self) -> bool:
        return len(self.outcome.written) + len(self.outcome.errors) == self.scenes

    def take(self) -> Task | None:
        """The next task, None where there is none now: what others are doing may bring some."""
        while self._waiting:
            task = self._waiting.popleft()
            if task.scene not in self.outcome.errors:
                return task
        return None

    def windows(self, task: Task) -> int:
        """What the task costs, in windows; 1 for a scene that has not been opened."""
        if task.scene not in self._plans:
            return 1
        extent = self._plans[task.scene].extent
        return (task.unit.last - task.unit.first if task.unit else extent.bands) * extent.columns

    def planned(self, task: Task, plan: Plan) -> None:
        """A scene has been opened."""
        self._plans[task.scene] = plan
        if plan.written is not None:
            self.outcome.written[task.scene] = plan.written
        self._cut_if_all_are_open()

    def computed(self, task: Task) -> None:
        """A unit is done."""
        self.done += self.windows(task)
        self._missing[task.scene] -= 1
        if not self._missing[task.scene]:  # before the other scenes: their journals may go then
            self._waiting.appendleft(Task("assemble", task.scene))

    def assembled(self, task: Task, written: tuple[Path, ...]) -> None:
        """A scene is complete."""
        self.outcome.written[task.scene] = written

    def failed(self, task: Task, error: str, final: bool = False) -> None:
        """A worker died of a task, or could not do it.

        Args:
            error: one line, with the scene and the task in it.
            final: another try would end in the same way.
        """
        self._failures[task] += 1
        if not final and self._failures[task] < self.tries:
            self._waiting.appendleft(task)
        elif task.scene not in self.outcome.errors:
            tried = f" ({self._failures[task]} tries)" if self._failures[task] > 1 else ""
            self.outcome.errors[task.scene] = error + tried
            self._cut_if_all_are_open()

    def _cut_if_all_are_open(self) -> None:
        failed = self.outcome.errors.keys()
        if self.total or len(self._plans.keys() | failed) < self.scenes:
            return
        work = {s: plan for s, plan in sorted(self._plans.items()) if plan.written is None and s not in failed}
        size = unit_size([plan.extent for plan in work.values()], self.workers)
        for scene, (extent, finished, _) in work.items():
            units = [Task("compute", scene, unit) for unit in cut(scene, extent.bands, finished, size)]
            self._missing[scene] = len(units)
            self._waiting.extend(units or [Task("assemble", scene)])
            self.done += len(finished) * extent.columns
            self.total += extent.bands * extent.columns
