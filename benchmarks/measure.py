"""Shared by all benchmarks: run a worker as a whole process, take its JSON line, keep time and peak memory."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SWITCHES = (
    "OMP_NUM_THREADS",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_NUM_THREADS",
    "RSSEG_NO_REEXEC",
    "MALLOC_MMAP_MAX_",
    "MALLOC_TRIM_THRESHOLD_",
)


def cpu() -> str:
    """Name of the processor: ratios differ between vendors, because Paddle's MKL treats them differently."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return f"{names[0] if names else platform.processor()} × {os.cpu_count()}"


def our_switches() -> dict[str, str]:
    """The switches that the project's commands start themselves with on this machine."""
    from paddle_rsseg import runtime

    cpuinfo = Path("/proc/cpuinfo").read_text()
    return runtime.cpu_environment({}, runtime.available_cores(), cpuinfo) | runtime.heap_environment({})


def clean_environment() -> dict[str, str]:
    """This process's environment without the switches; importing Paddle has put OMP_NUM_THREADS=1 there."""
    env = {key: value for key, value in os.environ.items() if key not in SWITCHES}
    env["PYTHONPATH"] = f"{ROOT}:{ROOT / 'benchmarks'}"
    return env


def run(python: str, script: str, *args: object, switches: dict[str, str] | None = None) -> dict:
    """Run ``script`` under ``python`` with exactly ``switches`` of the switches set; its last line is JSON."""
    env = clean_environment() | (switches or {})
    command = [python, str(ROOT / "benchmarks" / script), *map(str, args)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def peak_mb() -> float:
    """Peak resident memory of this process. (``ru_maxrss`` would start from that of the process which forked it.)"""
    return _status_mb("VmHWM")


def resident_mb() -> float:
    """Resident memory of this process at this moment."""
    return _status_mb("VmRSS")


def _status_mb(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) / 1024


def free_gb() -> float:
    """Memory that a new process can have without pushing another out."""
    info = Path("/proc/meminfo").read_text()
    return next(int(line.split()[1]) for line in info.splitlines() if line.startswith("MemAvailable")) / 1024**2


def conditions() -> dict:
    """What a reader of the numbers must know of the machine: its processor, and how busy it was just now."""
    return {"cpu": cpu(), "load": [round(value, 2) for value in os.getloadavg()], "free_gb": round(free_gb(), 1)}


class Timed:
    """A network that adds up the seconds spent in it, by the clock and of this thread."""

    def __init__(self, network: Callable[..., Any]):
        self.network, self.calls = network, 0
        self.seconds = self.own_seconds = 0.0
        self.began = time.perf_counter(), time.thread_time()

    def __call__(self, *args: Any) -> Any:
        clock, own = time.perf_counter(), time.thread_time()
        try:
            return self.network(*args)
        finally:
            self.seconds += time.perf_counter() - clock
            self.own_seconds += time.thread_time() - own
            self.calls += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)


def report(network: Timed, loaded: float, **more: Any) -> None:
    """A worker's JSON line: time since ``network`` was wrapped, and memory, of one map.

    ``outside_cpu_seconds`` is what the thread that asks the network computed itself; other work on the machine, which
    makes every second by the clock longer, hardly changes it.
    """
    clock, own, peak = time.perf_counter() - network.began[0], time.thread_time() - network.began[1], peak_mb()
    spent = {"seconds": clock, "network_seconds": network.seconds, "outside_cpu_seconds": own - network.own_seconds}
    spent["windows"] = network.calls
    print(json.dumps({**spent, "loaded_mb": loaded, "peak_mb": peak, "above_mb": peak - loaded, **more}))


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}–{max(values):.3g})"
