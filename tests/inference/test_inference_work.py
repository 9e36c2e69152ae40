"""One process, ranks of a launcher, workers of a cluster: the same files, byte for byte, whoever died on the way."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from cluster_case import contents, make_scenes, open_worker, windows

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.units import Unit
from paddle_rsseg.inference.work import predict_scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("images") / "in")


@pytest.fixture(scope="module")
def alone(scenes, tmp_path_factory):
    """What one process writes, and how many windows that takes."""
    place = tmp_path_factory.mktemp("alone")
    told: list[str] = []
    outcome = predict_scenes(open_worker(place / "out", place / "notes"), scenes, told.append)
    assert sorted(outcome.written) == [0, 2, 3]
    assert list(outcome.errors) == [1]
    assert len(told) == 1
    assert "broken.tif" in told[0]
    return contents(place / "out"), windows(place / "notes")


def test_one_process_writes_every_good_scene(alone):
    assert sorted(alone[0]) == sorted(
        f"part/scene{i}_{kind}" for i in (0, 1, 2) for kind in ("label.tif", "overlay.jpg", "confidence.tif")
    )


def test_what_is_done_is_not_done_again(scenes, alone, tmp_path):
    seen: list[tuple[float, float]] = []
    notes = tmp_path / "notes"
    worker = open_worker(tmp_path / "out", notes)
    worker.plan(*scenes[0])
    worker.compute(*scenes[0], Unit(0, 3, 6))
    worker.compute(*scenes[0], Unit(0, 0, 9))
    plan = worker.plan(*scenes[0])
    assert plan.finished == set(range(9))
    assert plan.written is None
    predict_scenes(worker, scenes, lambda _: None, lambda done, total: seen.append((done, total)))
    assert contents(tmp_path / "out") == alone[0]
    bands = sum(worker.plan(*scenes[i]).extent.bands for i in (0, 2, 3))
    assert seen[-1] == (bands, bands)
    # the rows of windows above bands 3, 6 and 9 twice
    assert windows(notes) == alone[1] + 3 * plan.extent.columns * plan.extent.lead
    again = predict_scenes(worker, scenes, lambda _: None)
    assert sorted(again.written) == [0, 2, 3]
    assert windows(notes) == alone[1] + 3 * plan.extent.columns * plan.extent.lead


RANKS = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from cluster_case import open_worker
from paddle_rsseg import ranks
from paddle_rsseg.inference.work import predict_scenes
ranks.setup("cpu")
scenes = {scenes!r}
worker = open_worker(Path({out!r}), Path({notes!r}), {deadly!r} if ranks.rank() == 1 else None)
outcome = predict_scenes(worker, [(Path(p), n) for p, n in scenes], print)
print("outcome", sorted(outcome.written), sorted(outcome.errors))
"""


def launch(place: Path, scenes, deadly=None) -> tuple[int, list[str]]:
    """Predict on two ranks, of which the second may die; (exit code, what they said)."""
    script = place / "script.py"
    values = {"here": str(Path(__file__).parent), "out": str(place / "out"), "notes": str(place / "notes")}
    script.write_text(RANKS.format(scenes=[(str(p), n) for p, n in scenes], deadly=deadly, **values))
    command = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "--log_dir", str(place / "log"), str(script)],
        capture_output=True, text=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return done.returncode, [(place / "log" / f"workerlog.{i}").read_text() for i in (0, 1)]


def test_two_ranks_write_what_one_process_does(scenes, alone, tmp_path):
    code, logs = launch(tmp_path, scenes)
    assert code == 0, logs
    for log in logs:
        assert "outcome [0, 2, 3] [1]" in log
    assert logs[0].count("\nerror: ") == 1  # the first rank tells what others met
    assert contents(tmp_path / "out") == alone[0]
    shares = [len(path.read_text()) for path in (tmp_path / "notes").iterdir()]
    assert len(shares) == 2
    assert max(shares) - min(shares) <= 10  # two rows of windows of the widest scene


@pytest.mark.slow
def test_ranks_share_one_scene_and_go_on_after_a_death(scenes, alone, tmp_path):
    code, _ = launch(tmp_path, scenes[:1], deadly=17)
    assert code != 0
    before = windows(tmp_path / "notes")
    journal = tmp_path / "out" / ".rsseg" / "part" / "scene0_label"
    kept = {path: path.stat().st_mtime_ns for path in journal.glob("*.npz")}
    assert kept
    assert not contents(tmp_path / "out")
    code, logs = launch(tmp_path, scenes[:1])
    assert code == 0, logs
    assert contents(tmp_path / "out") == {name: data for name, data in alone[0].items() if "scene0" in name}
    assert windows(tmp_path / "notes") - before < 5 * (15 - len(kept) + 3)
    assert not journal.exists()


def ray_on(*arguments, **options):
    if not importlib.util.find_spec("ray"):  # to import it is the command's affair
        pytest.skip("needs the extra cluster")
    from paddle_rsseg.inference.cluster import run_on_ray

    return run_on_ray(*arguments, threads=1, workers=2, **options)


def test_a_worker_of_a_cluster_is_killed_and_nothing_is_lost(scenes, alone, tmp_path):
    told: list[str] = []
    seen: list[tuple[float, float]] = []
    outcome = ray_on(
        partial(open_worker, tmp_path / "out", tmp_path / "notes", 17), scenes,
        tell=told.append, progress=lambda *now: seen.append(now),
    )  # fmt: skip
    assert (tmp_path / "notes" / "dead").exists()
    assert sorted(outcome.written) == [0, 2, 3]
    assert list(outcome.errors) == [1]
    assert "broken.tif" in outcome.errors[1]
    told = [line for line in told if not line.startswith("waiting for the first")]  # on a slow machine
    assert len(told) == 2
    assert re.search(
        r"worker .*:\d+ died \(.*\); part/scene\d, bands \d+ to \d+: done again\nerror: .*broken.tif",
        "\n".join(sorted(told, reverse=True)),
    )
    assert contents(tmp_path / "out") == alone[0]
    assert seen[-1][0] == seen[-1][1] > 0
    assert set((tmp_path / "threads").read_text().splitlines()) == {"1 1"}
    assert not list((tmp_path / "out" / ".rsseg").rglob("*.npz"))  # journals go with the last band
    # the windows of the band in work were lost, and rows of windows are repeated where units begin
    assert windows(tmp_path / "notes") < 1.5 * alone[1]


def test_a_worker_that_hangs_is_not_waited_for(scenes, alone, tmp_path, monkeypatch):
    if importlib.util.find_spec("ray"):
        from paddle_rsseg.inference import cluster

        monkeypatch.setattr(cluster, "PATIENCE", 3.0)
        monkeypatch.setattr(cluster, "SILENCE", 1.0)
    told: list[str] = []
    dead = tmp_path / "notes" / "dead"
    # so that this ends, where it is waited for: as a death, of which other lines are told
    rescue = threading.Timer(90, lambda: os.kill(int(dead.read_text()), signal.SIGKILL))
    rescue.start()
    outcome = ray_on(partial(open_worker, tmp_path / "out", tmp_path / "notes", 17, True), scenes, tell=told.append)
    rescue.cancel()
    assert dead.exists()
    assert sorted(outcome.written) == [0, 2, 3]
    assert contents(tmp_path / "out") == alone[0]
    late = [re.search(r"worker .*:(\d+) has been at (part/scene\d, bands .*), for \d+ s; another", t) for t in told]
    process, task = next(found for found in late if found).groups()
    assert any(re.search(rf"worker .*:{process} is still at {task}, which is done; it is replaced", t) for t in told)
    assert not Path(f"/proc/{process}").exists() or "Z" in Path(f"/proc/{process}/stat").read_text().split()[2]


CLUSTER = """
import os, sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {here!r})
from cluster_case import open_worker
from ray.cluster_utils import Cluster
from paddle_rsseg.inference.cluster import run_on_ray

memory = {{"object_store_memory": 80 << 20}}
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 0, **memory}})
try:
    for _ in range(3):
        cluster.add_node(num_cpus=1, **memory)
    opening = partial(open_worker, Path({out!r}), Path({notes!r}), -17)
    outcome = run_on_ray(opening, {scenes!r}, address=cluster.address, threads=1, gpu=False)
    print("outcome", sorted(outcome.written), sorted(outcome.errors))
finally:
    cluster.shutdown()
"""


@pytest.mark.slow
def test_a_machine_of_three_dies(scenes, alone, tmp_path):
    if not importlib.util.find_spec("ray"):
        pytest.skip("needs the extra cluster")
    script = tmp_path / "script.py"
    here = str(Path(__file__).parent)
    values = {"here": here, "out": str(tmp_path / "out"), "notes": str(tmp_path / "notes")}
    script.write_text("from pathlib import Path, PosixPath\n" + CLUSTER.format(scenes=scenes, **values))
    environment = {**os.environ, "PYTHONPATH": here, "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    # all of these machines are this one, and nobody else is to reach them
    environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "notes" / "dead").exists()
    assert "done again" in done.stdout
    assert "outcome [0, 2, 3] [1]" in done.stdout
    assert contents(tmp_path / "out") == alone[0]


def refuse(notes: Path, device: str):
    raise RssegError("model.safetensors", "not found on this machine")


def crash(notes: Path, device: str):
    with open(notes, "a") as file:
        file.write(".")
    os._exit(3)


@pytest.mark.slow
def test_workers_that_cannot_begin_end_the_run_in_one_line(scenes, tmp_path):
    told: list[str] = []
    with pytest.raises(RssegError, match=r"no worker is left: model\.safetensors: not found on this machine"):
        ray_on(partial(refuse, tmp_path), scenes, tell=told.append)
    assert told == ["model.safetensors: not found on this machine"]
    with pytest.raises(RssegError, match="no worker is left: a worker died"):
        ray_on(partial(crash, tmp_path / "starts"), scenes, tell=told.append)
    assert len((tmp_path / "starts").read_text()) == 2 * 3


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere", "host:x"])
def test_there_is_no_such_cluster(address):
    with pytest.raises(RssegError, match=f"--address {re.escape(address)}: nobody answers"):
        ray_on(refuse, [], address=address)
