"""Engines that wait in processes of their own and run one after the other when told to.

A busy machine that changes its pace then changes it for all of them, and loading and compiling is paid once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import ROOT, clean_environment, peak_mb


def serve(forward: Callable[[np.ndarray], np.ndarray], work: str, name: str) -> None:
    """Worker: warm up on ``work``/image.npy, store the logits, then one timed run for each line of stdin."""
    image = np.load(f"{work}/image.npy")
    started = time.perf_counter()
    np.save(f"{work}/logits_{name}.npy", forward(image))
    first = time.perf_counter() - started
    forward(image)
    print(json.dumps({"first_seconds": first}), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        forward(image)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"seconds": wall, "cpu_seconds": cpu, "peak_mb": peak_mb()}), flush=True)


class Engine:
    """Coordinator's end of a worker: ``script`` of this folder under ``python``, ready once constructed."""

    def __init__(self, python: str, script: str, *args: object, switches: dict[str, str] | None = None):
        self.command = [python, str(ROOT / "benchmarks" / script), *map(str, args)]
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (open as long as the process)
        self.process = subprocess.Popen(
            self.command,
            env=clean_environment() | (switches or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.ready = self._answer()

    def run(self) -> dict:
        assert self.process.stdin is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)
        self.errors.close()

    def _answer(self) -> dict:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):  # libraries print, too
                return json.loads(line)
        self.process.wait(60)
        self.errors.seek(0)
        sys.exit(f"error: {' '.join(self.command)} failed:\n{self.errors.read()[-3000:]}")


def python_of(path: str) -> str:
    """An interpreter that is there, or the end."""
    if not Path(path).exists():
        sys.exit(f"error: {path}: no such interpreter")
    return path
