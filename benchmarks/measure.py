"""Shared by all benchmarks: run a worker as a whole process, take its JSON line, keep time and peak memory."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

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
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}–{max(values):.3g})"
