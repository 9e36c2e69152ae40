"""Units of work on a Ray cluster, or on the cores of this machine: workers that die are replaced, their units redone.

The driver hands out tasks of :mod:`paddle_rsseg.inference.schedule`, one at a time to a worker, and gets a word back;
pixels and bands travel through files that all machines see. ``docs/cluster.md`` says what this costs and how far it
goes.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from paddle_rsseg import runtime
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.ray_session import connected, room_for
from paddle_rsseg.inference.schedule import TRIES, Outcome, Plan, Schedule, Task
from paddle_rsseg.inference.units import Unit

#: seconds without a single worker after which the driver says what it is waiting for
SILENCE = 60.0
#: a task that takes so many times as long as the slowest of its kind has taken, and at least so many seconds, is late:
#: its worker may hang, so a worker that has nothing else to do does it too
LATE, PATIENCE = 4.0, 60.0

Scene = tuple[Path, str]


class Worker(Protocol):
    """What computes; made once in each worker process."""

    def identity(self) -> dict[str, Any]:
        """Versions, weights and settings: what decides about the bytes, and so must be the same everywhere."""

    def plan(self, path: Path, name: str) -> Plan: ...

    def compute(self, path: Path, name: str, unit: Unit) -> None: ...

    def assemble(self, path: Path, name: str) -> tuple[Path, ...]: ...


def run_on_ray(
    open_worker: Callable[..., Worker],
    scenes: Sequence[Scene],
    address: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    gpu: bool | None = None,
    tell: Callable[[str], None] = print,
    progress: Callable[[float, float], None] | None = None,
) -> Outcome:
    """Predict scenes with the workers of a cluster.

    Args:
        open_worker: ``open_worker(device="cpu")`` or ``"gpu"`` makes a worker in the worker's process; picklable, of a
            module that all machines have installed.
        scenes: (path, name of the results), with paths that mean the same on all machines.
        address: ``host:port`` of a running cluster, ``auto`` for the one this machine belongs to; None: start Ray on
            this machine, for as long as this takes.
        workers: how many; None: as many as the cluster has room for.
        threads: of each; None: as many as the workers can have, or four where their number is not given.
        gpu: each worker computes on a GPU of its own; None: if the cluster has any, and this Python is made for them.
        tell: is given a line for everything unusual.
        progress: ``progress(windows done, windows)``.

    Returns:
        What was written, and what failed.

    Raises:
        RssegError: no Ray, no such cluster, no room for a worker, or no worker that could begin.
    """
    with connected(address) as ray:
        if gpu is None:
            gpu = runtime.version_of("paddlepaddle-gpu") is not None and ray.cluster_resources().get("GPU", 0) > 0
        workers, threads = room_for(ray, workers, threads, gpu)
        schedule = Schedule(len(scenes), workers)
        paths = os.pathsep.join(filter(None, sys.path)) if address is None else None
        _Driver(ray, open_worker, scenes, schedule, threads, gpu, paths, tell, progress).run()
    return schedule.outcome


# ---------------------------------------------------------------------- a worker's process


class _Actor:
    """A worker in a process of its own; bad input comes back as a value, anything else as Ray's exception."""

    def __init__(self, open_worker: Callable[..., Worker], threads: int, gpu: bool):
        # before Paddle is imported, which would choose one thread; what suits the processor is known only here
        cpuinfo = Path("/proc/cpuinfo")
        known = {k: v for k, v in os.environ.items() if k != "PADDLE_TRAINER_ID"}
        os.environ |= runtime.cpu_environment(known, threads, cpuinfo.read_text() if cpuinfo.exists() else "")
        self.open_worker, self.device = open_worker, "gpu" if gpu else "cpu"

    def start(self) -> tuple[dict[str, Any] | None, str]:
        """(identity of the worker, where it is) or (None, error)."""
        try:
            runtime.quiet_paddle()
            self.worker = self.open_worker(device=self.device)
            return self.worker.identity(), f"{socket.gethostname()}:{os.getpid()}"
        except RssegError as error:
            return None, str(error)

    def do(self, task: Task, scene: Scene) -> tuple[Any, str | None]:
        """(answer, None) or (None, error)."""
        try:
            if task.kind == "plan":
                return self.worker.plan(*scene), None
            if task.kind == "assemble":
                return self.worker.assemble(*scene), None
            assert task.unit is not None
            self.worker.compute(*scene, task.unit)
            return None, None
        except RssegError as error:
            return None, str(error)


# ---------------------------------------------------------------------- the driver


@dataclass
class _Slot:
    """A place for a worker, and who is in it."""

    actor: Any = None
    where: str = "a worker"
    process: int | None = None
    task: Task | None = None  # None while it starts
    since: float = 0.0  # when it got the task
    vain: int = 0  # starts in a row that came to nothing


@dataclass
class _Driver:
    ray: Any
    open_worker: Callable[..., Worker]
    scenes: Sequence[Scene]
    schedule: Schedule
    threads: int
    gpu: bool
    paths: str | None  # where Python finds modules, if that is the same for the workers
    tell: Callable[[str], None]
    progress: Callable[[float, float], None] | None
    busy: dict[Any, _Slot] = field(default_factory=dict)  # a promise of Ray → who works on it
    idle: list[_Slot] = field(default_factory=list)
    identity: dict[str, Any] | None = None
    last_error: str = ""
    slowest: dict[str, float] = field(default_factory=dict)  # kind of a task → most seconds for a window

    def run(self) -> None:
        """Until every scene is done or has failed."""
        environment = {"GLOG_minloglevel": "2", runtime.OPT_OUT: "1", **runtime.heap_environment({})}
        environment |= dict.fromkeys(("OMP_NUM_THREADS", runtime.CORES), str(self.threads))
        if self.paths:
            environment["PYTHONPATH"] = self.paths
        resources = {"num_cpus": self.threads, "num_gpus": int(self.gpu), "runtime_env": {"env_vars": environment}}
        self.make = self.ray.remote(_Actor).options(max_restarts=0, max_task_retries=0, **resources)
        for _ in range(self.schedule.workers):
            self._start(_Slot())
        while not self.schedule.over:
            while self.idle and (task := self.schedule.take() or self._late()):
                self._send(self.idle.pop(), task)
            if not self.busy:
                raise RssegError("--engine ray", f"no worker is left: {self.last_error}", fix="run again to continue")
            ready, _ = self.ray.wait(list(self.busy), num_returns=1, timeout=SILENCE)
            for promise in ready:
                self._receive(promise, self.busy.pop(promise))
            if not ready and self.identity is None:
                room = self.ray.available_resources()
                wanted = f"{self.threads} CPUs{' and a GPU' if self.gpu else ''}"
                free = f"{room.get('CPU', 0):g} CPUs and {room.get('GPU', 0):g} GPUs are free"
                self.tell(f"waiting for the first of {len(self.busy)} workers of {wanted}; {free}")
            if self.progress and self.schedule.total:
                self.progress(self.schedule.done, self.schedule.total)

    def _start(self, slot: _Slot) -> None:
        slot.actor = self.make.remote(self.open_worker, self.threads, self.gpu)
        slot.task, slot.where, slot.process = None, "a worker", None
        self.busy[slot.actor.start.remote()] = slot

    def _send(self, slot: _Slot, task: Task) -> None:
        slot.task, slot.since = task, time.monotonic()
        self.busy[slot.actor.do.remote(task, self.scenes[task.scene])] = slot

    def _receive(self, promise: Any, slot: _Slot) -> None:
        try:
            answer, error = self.ray.get(promise)
        except self.ray.exceptions.RayError as failure:
            self._lost(slot, failure)
            return
        if slot.task is None:
            self._started(slot, answer, error)
            return
        task = slot.task
        pace = (time.monotonic() - slot.since) / self.schedule.windows(task)
        self.slowest[task.kind] = max(pace, self.slowest.get(task.kind, 0.0))
        self.idle.append(slot)
        self._relieve(task)
        if error is not None:
            self.schedule.failed(task, error, final=True)
            self.tell(f"error: {error}")
        elif task.kind == "plan":
            self.schedule.planned(task, answer)
        elif task.kind == "compute":
            self.schedule.computed(task)
        else:
            self.schedule.assembled(task, answer)

    def _started(self, slot: _Slot, identity: dict[str, Any] | None, where: str) -> None:
        """A worker is ready, or cannot be, which another try would not change."""
        if identity is None:
            self._dismiss(slot, where)
            return
        self.identity = self.identity or identity
        other = [key for key in self.identity if identity.get(key) != self.identity[key]]
        if other:
            seen = f"{other[0]} is {identity.get(other[0])}, elsewhere {self.identity[other[0]]}"
            self._dismiss(slot, f"worker {where}: {seen}; its bands would differ")
            return
        slot.where, slot.process, slot.vain = f"worker {where}", int(where.rpartition(":")[2]), 0
        self.idle.append(slot)

    def _late(self) -> Task | None:
        """A task that only one worker is at, and that is late."""
        at_work = Counter(slot.task for slot in self.busy.values())
        for slot in self.busy.values():
            task = slot.task
            if task is None or task.kind not in self.slowest or at_work[task] > 1:
                continue
            taken = time.monotonic() - slot.since
            if taken > max(PATIENCE, LATE * self.slowest[task.kind] * self.schedule.windows(task)):
                name = self.scenes[task.scene][1]
                self.tell(f"{slot.where} has been at {name}, {task}, for {taken:.0f} s; another one does it too")
                return task
        return None

    def _relieve(self, task: Task) -> None:
        """The task is done: whoever is still at it is replaced."""
        for promise in [promise for promise, slot in self.busy.items() if slot.task == task]:
            slot = self.busy.pop(promise)
            self.tell(f"{slot.where} is still at {self.scenes[task.scene][1]}, {task}, which is done; it is replaced")
            self.ray.kill(slot.actor)
            if self.paths and slot.process:  # Ray only asks, and a process that hangs does not hear it; ours is here
                with suppress(ProcessLookupError):
                    os.kill(slot.process, signal.SIGKILL)
            self._start(slot)

    def _dismiss(self, slot: _Slot, error: str) -> None:
        self.ray.kill(slot.actor)
        if error != self.last_error:  # a thousand machines may say the same
            self.tell(error)
        self.last_error = error

    def _lost(self, slot: _Slot, failure: Exception) -> None:
        """A worker died, or did what nobody expects and cannot be trusted further; another one takes its place."""
        self.last_error = f"{slot.where} {_cause(failure)}"
        self.ray.kill(slot.actor)
        if slot.task is not None and slot.task in [other.task for other in self.busy.values()]:
            self.tell(f"{self.last_error}; {slot.task} is another worker's now")
        elif slot.task is not None:
            scene, (path, name) = slot.task.scene, self.scenes[slot.task.scene]
            self.schedule.failed(slot.task, f"{path}: {slot.task}: {self.last_error}")
            given_up = scene in self.schedule.outcome.errors
            self.tell(f"{self.last_error}; {name}, {slot.task}: {'given up' if given_up else 'done again'}")
            if given_up:
                self.tell(f"error: {self.schedule.outcome.errors[scene]}")
        else:
            slot.vain += 1
        if slot.vain < TRIES:
            self._start(slot)
        else:
            self.tell(f"{self.last_error}, {slot.vain} times before it had begun; it is not started again")


def _cause(failure: Exception) -> str:
    """Why a worker was lost, in a line."""
    text = str(failure)
    detail = re.search(r"Worker exit detail: (.*?)(?: Some common causes|\n|$)", text)
    if detail:
        return f"died ({detail[1].strip().rstrip('.')})"
    # an exception arrives with its traceback, at the end of which it stands
    return f"failed ({text.strip().splitlines()[-1].strip() if text.strip() else type(failure).__name__})"
