"""How many units a second one driver hands out: workers that do nothing, on the cores of this machine.

    python benchmarks/cluster_driver.py [--workers 2 16] [--scenes 40] [--under_way 100 1000 4000]

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
    parser.add_argument("--under_way", type=int, nargs="+", default=[100, 1000, 4000])
    args = parser.parse_args()
    # on this machine only, and with a token, as Ray's own default is for a head but not for who connects to it
    os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # for the workers
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
            for units in args.under_way:
                wait_among(units)
        finally:
            head.terminate()
            head.wait()


def wait_among(units: int, answers: int = 1500) -> None:
    """The driver's loop with so many units under way, as with so many workers; here two actors have them in queues."""
    import ray

    ray.init(f"127.0.0.1:{PORT}", log_to_driver=False, logging_level="error")

    class Echo:
        def do(self, number: int) -> int:
            return number

    actors = [ray.remote(Echo).options(num_cpus=1).remote() for _ in range(2)]
    busy = {actors[i % 2].do.remote(i): actors[i % 2] for i in range(units)}
    started = time.perf_counter()
    for i in range(answers):
        ready, _ = ray.wait(list(busy), num_returns=1)
        actor = busy.pop(ready[0])
        ray.get(ready[0])
        busy[actor.do.remote(i)] = actor
    print(f"{units} units under way: {answers / (time.perf_counter() - started):.0f} a second")
    ray.shutdown()


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
