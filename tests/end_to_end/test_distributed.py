"""Two processes on CPUs: one training, equal weights, one writer, decisions taken together."""

import shutil
import sys

import cv2
import numpy as np
import pytest
import tiny_run
from safetensors.numpy import load_file
from tiny_run import ROOT, files, journal, run

#: a training in which every rank then says what it holds, in a file of its own
SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from paddle_rsseg.training import distributed, hooks, loop, train

class Dump(loop.Hook):
    def after_train(self, trainer):
        import numpy as np
        arrays = {{name: tensor.numpy() for name, tensor in trainer.model.state_dict().items()}}
        np.savez(Path({out!r}) / f"rank{{distributed.rank()}}.npz", last_iteration=trainer.iteration, **arrays)

keep = hooks.MetricLogger.after_train
hooks.MetricLogger.after_train = lambda self, trainer: (Dump().after_train(trainer), keep(self, trainer))
result = train(*{arguments!r}, **{options!r})
if result.stopped:
    print(f"rank {{distributed.rank()}} {{result.stopped}}")
"""


def launch(script_or_tool, logs, *arguments):
    return run([
        sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", str(logs),
        str(script_or_tool), *map(str, arguments),
    ])  # fmt: skip


def train_on_two(tmp_path, config, **options):
    script = tmp_path / "script.py"
    options = {"device": "cpu", "save_dir": str(tmp_path / "run"), "log_iters": 1, **options}
    script.write_text(SCRIPT.format(root=str(ROOT), out=str(tmp_path), arguments=[str(config)], options=options))
    done = launch(script, tmp_path / "logs")
    return done.returncode, [(tmp_path / "logs" / f"workerlog.{rank}").read_text() for rank in (0, 1)]


def ranks(tmp_path):
    return [dict(np.load(tmp_path / f"rank{rank}.npz")) for rank in (0, 1)]


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    tiny_run.make_data(root, train=8, val=3)
    return tiny_run.write_config(root, batch_size=1, iters=3)


@pytest.mark.slow
def test_the_command_trains_evaluates_and_resumes(data, tmp_path):
    save_dir = tmp_path / "run"
    options = (
        "--config",
        data,
        "--save_dir",
        save_dir,
        "--save_interval",
        2,
        "--log_iters",
        1,
        "--device",
        "cpu",
        "--do_eval",
    )
    done = launch(ROOT / "tools" / "train.py", tmp_path / "logs", *options)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in save_dir.iterdir()} == {"iter_2", "iter_3", "best_model", "metrics.jsonl"}
    assert [line["iter"] for line in journal(save_dir)] == [1, 2, 2, 3, 3]  # nothing twice: one rank writes
    # neither log lines nor Paddle's flags and addresses
    assert [x for x in (tmp_path / "logs" / "workerlog.1").read_text().splitlines() if "ccache" not in x] == []
    # killed after iter_2, so to say
    before = files(save_dir / "iter_3")
    shutil.rmtree(save_dir / "iter_3")
    done = launch(ROOT / "tools" / "train.py", tmp_path / "logs", *options, "--resume_model", "auto")
    assert done.returncode == 0, done.stderr
    assert files(save_dir / "iter_3") == before


def test_ranks_end_with_equal_weights(data, tmp_path):
    code, logs = train_on_two(tmp_path, data)
    assert code == 0, logs
    first, second = ranks(tmp_path)
    for name in first:  # batch norm's running statistics too
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert first["last_iteration"] == 3
    saved = load_file(tmp_path / "run" / "iter_3" / "model.safetensors")
    for name in saved:
        np.testing.assert_array_equal(first[name], saved[name], err_msg=name)
    assert [line["iter"] for line in journal(tmp_path / "run")] == [1, 2, 3]


@pytest.mark.slow
def test_early_stop_ends_both_ranks(data, tmp_path):
    config = tiny_run.write_config(data.parent, batch_size=1, iters=50, early_stop_intervals=1,
                                   lr_scheduler={"type": "Constant", "learning_rate": 1e-12})  # fmt: skip
    code, logs = train_on_two(tmp_path, config, do_eval=True, save_interval=1)
    assert code == 0, logs
    for rank, log in enumerate(logs):
        assert f"rank {rank} early stop" in log
    first, second = ranks(tmp_path)
    assert first["last_iteration"] == second["last_iteration"] < 50


def test_a_loss_that_is_not_finite_on_one_rank_ends_both(data, tmp_path):
    # one image whose normalised pixels overflow; one rank of two meets it
    root = data.parent
    worst = np.full((tiny_run.SIZE, tiny_run.SIZE, 3), 3e38, np.float32)
    cv2.imwrite(str(root / "img" / "bad.tif"), worst)
    lines = (root / "train.txt").read_text().splitlines()
    lines[0] = "img/bad.tif " + lines[0].split()[1]
    (root / "train.txt").write_text("\n".join(lines) + "\n")
    config = tiny_run.write_config(root, batch_size=1, iters=20)
    code, logs = train_on_two(tmp_path, config, save_interval=1)
    assert code != 0
    for log in logs:  # the rank that never saw the image names it too
        assert "RssegError: iteration" in log
        assert "bad.tif" in log
    first, second = ranks(tmp_path)
    assert first["last_iteration"] == second["last_iteration"]
    assert all(np.isfinite(value).all() for value in first.values())
