"""How many units a second one driver hands out: workers that do nothing, on the cores of this machine.

    python benchmarks/cluster_driver.py [--workers 2 16] [--scenes 40]

With more workers than cores these are idle processes that wait for their turn, as on a cluster of that size.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from paddle_rsseg.inference.cluster import run_on_ray
from paddle_rsseg.inference.schedule import Plan
from paddle_rsseg.inference.units import LEAST, Extent, Unit

BANDS = 400
PORT = 6399


class Nothing:
    """A worker that is done at once."""

    def identity(self) -> dict:
        return {}

    def plan(self, path: Path, name: str) -> Plan:
        return Plan(Extent(BANDS))

    def compute(self, path: Path, name: str, unit: Unit) -> None:
        pass

    def assemble(self, path: Path, name: str) -> tuple[Path, ...]:
        return ()


def nothing(device: str) -> Nothing:
    return Nothing()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 16])
    parser.add_argument("--scenes", type=int, default=40)
    args = parser.parse_args()
    # on this machine only, and with a token, as Ray's own default is for a head but not for who connects to it
    os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    with tempfile.TemporaryDirectory(prefix="rsseg-ray-", ignore_cleanup_errors=True) as own:
        start = ["--port", PORT, "--num-cpus", max(args.workers), "--temp-dir", own, "--object-store-memory", 80 << 20]
        start += ["--include-dashboard", "false", "--disable-usage-stats"]
        head = subprocess.Popen(
            [*ray, "start", "--head", "--block", *map(str, start)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for_port()
            for workers in args.workers:
                run(workers, args.scenes)
        finally:
            head.terminate()
            head.wait()


def wait_for_port() -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", PORT), timeout=1).close()
            time.sleep(5)  # the node joins after the head listens
            return
        except OSError:
            time.sleep(1)
    raise SystemExit("Ray does not start here")


def run(workers: int, scenes: int) -> None:
    begun: list[float] = []
    outcome = run_on_ray(
        nothing, [(Path("/scene"), str(i)) for i in range(scenes)], f"127.0.0.1:{PORT}", workers, threads=1, gpu=False,
        progress=lambda done, total: begun.append(time.perf_counter()),
    )  # fmt: skip
    assert len(outcome.written) == scenes
    seconds = begun[-1] - begun[0]
    units = scenes * BANDS // LEAST
    print(f"{workers} workers: {units} units in {seconds:.1f} s, {units / seconds:.0f} a second")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from cluster_driver import main as importable  # so that workers find the class under a name of its own

    importable()
