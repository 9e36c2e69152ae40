"""Timing and memory of an inference run, printed in the format of Paddle's AutoLog, which no package index carries."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import TextIO

import paddle

STAGES = ("preprocess_time", "inference_time", "postprocess_time")


class AutoLog:
    """For each batch ``start()``, then ``stamp()`` at the end of each of the three stages; at the end ``report()``."""

    def __init__(self) -> None:
        self.totals = dict.fromkeys(STAGES, 0.0)
        self.batches = 0
        self._stage = len(STAGES)
        self._last = 0.0

    def start(self) -> None:
        assert self._stage == len(STAGES), "the batch before is not finished"
        self._stage, self._last = 0, time.perf_counter()

    def stamp(self) -> None:
        now = time.perf_counter()
        self.totals[STAGES[self._stage]] += now - self._last
        self._stage, self._last = self._stage + 1, now
        self.batches += self._stage == len(STAGES)

    def report(
        self,
        conf: Mapping[str, object],
        model: Mapping[str, object],
        data: Mapping[str, object],
        out: TextIO = sys.stdout,
    ) -> None:
        """Print the sections; ``data`` must hold ``data_num``, the number of images."""
        on_gpu = conf["runtime_device"] == "gpu"
        memory, load = _gpu_usage() if on_gpu else (None, None)
        env = {
            "OS_version": platform.platform(),
            "CUDA_version": paddle.version.cuda() if on_gpu else None,
            "CUDNN_version": paddle.version.cudnn() if on_gpu else None,
            "drivier_version": _nvidia_smi("driver_version") if on_gpu else None,  # AutoLog's spelling
        }
        versions = {
            "paddle_version": paddle.__version__,
            "paddle_commit": paddle.version.commit,
            "log_api_version": "1.0",
        }
        perf = [f"cpu_rss(MB): {_peak_memory():.4f}, gpu_rss(MB): {memory}, gpu_util: {load}%"]
        perf += [f"total time spent(s): {sum(self.totals.values()):.4f}"]
        times = (f"{name}(ms): {1e3 * self.totals[name] / max(self.batches, 1):.4f}" for name in STAGES)
        perf += [", ".join(times)]
        sections = {"Env info": env, "Paddle info": versions, "Conf info": conf, "Model info": model, "Data info": data}
        for title, content in sections.items():
            _print_section(title, [f"{key}: {value}" for key, value in content.items()], out)
        _print_section("Perf info", perf, out)


def _print_section(title: str, lines: list[str], out: TextIO) -> None:
    for line in (f"{f' {title} ':-^60}", *lines):
        print(line, file=out)


def _peak_memory() -> float:
    """Most memory the process ever held, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _gpu_usage() -> tuple[str | None, str | None]:
    return _nvidia_smi("memory.used"), _nvidia_smi("utilization.gpu")


def _nvidia_smi(field: str) -> str | None:
    """A field of the first GPU; None where it cannot be asked."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", "-i", "0"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
