"""Ray itself: a cluster to connect to, or one of our own on this machine, and how many workers it has room for."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from paddle_rsseg import runtime
from paddle_rsseg.errors import RssegError

#: threads of a worker where nobody says: more of them gain less each, fewer need more memory for more networks
THREADS = 4
#: bytes of Ray's shared memory on this machine, the least it takes: no pixel goes through it
OBJECT_STORE = 80 << 20


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected; one of our own goes with the block."""
    if address is None:  # listen on this machine only; read when Ray is imported
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise RssegError("--engine ray", "Ray is not installed", fix="pip install 'paddle-rsseg[cluster]'") from error
    if address is not None:
        _reach(address)
    # deaths are told by us in a line; Ray would print a paragraph on stdout
    ray._private.worker._worker_logs_enabled = False
    start: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "error"}
    with tempfile.TemporaryDirectory(prefix="rsseg-ray-", ignore_cleanup_errors=True) as own:
        try:
            if address is None:
                start |= {"address": "local", "num_cpus": runtime.available_cores(), "include_dashboard": False}
                start |= {"object_store_memory": OBJECT_STORE, "_temp_dir": own}
            ray.init(**start)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            fix = "look into Ray's logs, or leave --engine out"
            if address is not None:
                fix = "where the cluster asks for a token, set RAY_AUTH_MODE=token here too (docs/cluster.md)"
            where = f"--address {address}" if address else "--engine ray"
            raise RssegError(where, _line(error), "a Ray cluster", fix) from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _reach(address: str) -> None:
    """Is anybody there? Ray itself would try for minutes."""
    if address == "auto" or "://" in address:
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as error:
        fix = "'ray start --head' there, or leave --address out to compute on this machine"
        raise RssegError(f"--address {address}", f"nobody answers ({_line(error)})", "a Ray cluster", fix) from error


def room_for(ray: Any, workers: int | None, threads: int | None, gpu: bool) -> tuple[int, int]:
    """(workers, threads of each) that the cluster has room for."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = [int(machine.get("CPU", 0)) for machine in machines]
    gpus = [int(machine.get("GPU", 0)) for machine in machines]
    if threads is None:
        threads = max(1, sum(cpus) // workers) if workers else THREADS
        # no more than all machines have that compute at all; beside a GPU the threads only read and write
        threads = min([threads, *(c for c in cpus if c)])
        if gpu:
            threads = min([threads, *(max(1, c // g) for c, g in zip(cpus, gpus, strict=True) if g)])
    room = sum(min(c // threads, g) if gpu else c // threads for c, g in zip(cpus, gpus, strict=True))
    if not room:
        seen = f"{sum(cpus)} CPUs and {sum(gpus)} GPUs on {len(cpus)} machines"
        raise RssegError("--engine ray", seen, f"{threads} CPUs{' and a GPU' if gpu else ''} for a worker")
    return workers or room, threads


def _line(error: BaseException) -> str:
    """What an exception says first."""
    return " ".join((str(error).strip() or type(error).__name__).split("\n")[0].split())
