"""A training that is killed and resumed is, byte for byte, the training that was not."""

import os
import random
import signal
import subprocess
import time

import pytest
import tiny_run
from tiny_run import files, journal, run, train_command

ITERS = 9
#: 2 does not divide 9, nor is it a multiple of the 3 of log_iters: a checkpoint lies in the middle of a log line's mean
OPTIONS = ("--iters", ITERS, "--save_interval", 2, "--log_iters", 3, "--keep_checkpoint_max", 2, "--do_eval")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    tiny_run.make_data(root)
    # with chance in the loss, and a schedule: which rotation, and how far the annealing is, must come back too
    schedule = {"type": "AnnealingSoftmaxFocalLoss", "T_max": 6, "gamma": 2.0}
    loss = {"types": [{"type": "MultiViewConsistencyLoss", "loss": schedule}], "coef": [1]}
    return tiny_run.write_config(root, loss=loss)


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("uninterrupted") / "run"
    finished = run(train_command("--config", data, "--save_dir", save_dir, *OPTIONS))
    assert finished.returncode == 0, finished.stderr
    return save_dir


def kill_when(command, condition):
    """Start a training and send it SIGKILL as soon as ``condition()`` holds; False if it finished before."""
    process = subprocess.Popen(
        command, env=tiny_run.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    while process.poll() is None and not condition():
        time.sleep(0.0005)
    killed = process.poll() is None
    if killed:
        os.killpg(process.pid, signal.SIGKILL)  # with the readers it has started
    _, errors = process.communicate()
    assert killed or process.returncode == 0, errors.decode()
    return killed


def assert_same_run(one, other):
    assert {path.name for path in other.iterdir()} == {path.name for path in one.iterdir()}
    for name in ("iter_8", "iter_9", "best_model"):
        before, after = files(one / name), files(other / name)
        assert before.keys() == after.keys()
        for file in before:
            assert before[file] == after[file], f"{name}/{file} differs"
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()


def test_the_uninterrupted_run_learns_and_says_what_is_left(uninterrupted):
    assert {p.name for p in uninterrupted.iterdir()} == {"iter_8", "iter_9", "best_model", "metrics.jsonl"}
    lines = journal(uninterrupted)
    assert [line["iter"] for line in lines if "loss" in line] == [3, 6, 9]
    assert [line["iter"] for line in lines if "evaluation" in line] == [2, 4, 6, 8, 9]


def test_killed_in_a_step_and_inside_a_checkpoint(data, uninterrupted, tmp_path):
    """Two kills at the worst places, and other readers of the data after each."""
    save_dir = tmp_path / "run"
    command = train_command("--config", data, "--save_dir", save_dir, *OPTIONS, "--resume_model", "auto")
    log = save_dir / "metrics.jsonl"
    # in the steps after iter_2, before iter_4 is complete
    assert kill_when(command, lambda: log.exists() and '"iter": 3' in log.read_text())
    # while iter_4 is being written
    assert kill_when([*command, "--num_workers", "2"], lambda: (save_dir / ".new-iter_4").exists())
    assert (save_dir / ".new-iter_4").exists()
    assert not (save_dir / "iter_4").exists()
    finished = run([*command, "--num_workers", "2"])
    assert finished.returncode == 0, finished.stderr
    assert "resumed from" in finished.stdout
    assert_same_run(uninterrupted, save_dir)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments(data, uninterrupted, tmp_path, seed):
    save_dir = tmp_path / "run"
    command = train_command("--config", data, "--save_dir", save_dir, *OPTIONS, "--resume_model", "auto")
    moments = random.Random(seed)
    kills = 0
    for _ in range(40):
        seconds = moments.uniform(2, 9) if kills < 8 else 1e9  # after some, let it finish
        end = time.monotonic() + seconds
        if not kill_when(command, lambda: time.monotonic() > end):  # noqa: B023 - called in this round
            break
        kills += 1
    assert kills >= 2
    assert_same_run(uninterrupted, save_dir)


def test_a_run_is_never_overwritten_and_a_finished_one_does_nothing_more(data, uninterrupted):
    before = {name: files(uninterrupted / name) for name in ("iter_9", "best_model")}
    command = train_command("--config", data, "--save_dir", uninterrupted, *OPTIONS)
    refused = run(command)
    assert refused.returncode == 2
    assert "already holds a run (iter_9)" in refused.stderr
    assert "--resume_model auto" in refused.stderr
    again = run([*command, "--resume_model", "auto"])
    assert again.returncode == 0, again.stderr
    assert "iteration 9" in again.stdout
    assert before == {name: files(uninterrupted / name) for name in before}
