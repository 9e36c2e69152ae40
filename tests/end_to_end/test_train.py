"""rs.train and the train command on a tiny data set."""

import builtins
import logging
import re

import numpy as np
import pytest
import rasterio
import tiny_run
from safetensors.numpy import load_file
from tiny_run import files, journal

from paddle_rsseg import training
from paddle_rsseg.cli.main import main
from paddle_rsseg.config import load_config
from paddle_rsseg.errors import RssegError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    tiny_run.make_data(root)
    return tiny_run.write_config(root, iters=3)


def train(config, save_dir, **overrides):
    return training.train(config, save_dir=save_dir, device="cpu", **{"log_iters": 1, **overrides})


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    """A run without evaluation: (result, its directory)."""
    save_dir = tmp_path_factory.mktemp("plain") / "run"
    return train(data, save_dir), save_dir


def test_the_result_says_where_things_are(plain):
    result, save_dir = plain
    assert result.iteration == 3
    assert result.checkpoint == save_dir / "iter_3"
    assert result.best_checkpoint is None
    assert [line["iter"] for line in journal(save_dir)] == [1, 2, 3]
    assert journal(save_dir)[1]["lr"] == pytest.approx(0.01 * (2 / 3) ** 0.9, rel=1e-12)


def test_a_checkpoint_is_enough_to_build_load_and_resume(plain):
    from paddle_rsseg.inference.spec import InferenceSpec
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import load_weights, read_weights

    _, save_dir = plain
    folder = save_dir / "iter_3"
    assert set(files(folder)) == {
        "model.safetensors", "optimizer.safetensors", "loss.safetensors", "state.json", "config.yml",
    }  # fmt: skip
    _, metadata = read_weights(folder)
    assert metadata["iter"] == 3
    assert InferenceSpec.from_dict(metadata["inference"]).num_classes == 3
    assert load_weights(create_model(metadata["model"]), folder).complete
    assert load_config(folder / "config.yml").iters == 3


def test_evaluating_pictures_and_curves_do_not_change_the_training(data, plain, tmp_path):
    pytest.importorskip("visualdl")
    from visualdl import LogReader

    result = train(data, tmp_path, do_eval=True, use_vdl=True, save_interval=1)
    assert files(tmp_path / "iter_3")["model.safetensors"] == files(plain[1] / "iter_3")["model.safetensors"]
    assert files(tmp_path / "iter_3")["optimizer.safetensors"] == files(plain[1] / "iter_3")["optimizer.safetensors"]
    assert 0 <= result.best_miou <= 1
    assert result.best_checkpoint == tmp_path / "best_model"
    assert result.metrics["iter"] == 3
    reader = LogReader(file_path=str(next((tmp_path / "vdl").glob("*.log"))))
    assert {"Train/loss", "Train/lr", "Evaluate/mIoU", "Evaluate/Acc"} <= set(reader.get_tags()["scalar"])
    losses = [record.value for record in reader.get_data("scalar", "Train/loss")]
    assert losses == pytest.approx([line["loss"] for line in journal(tmp_path) if "loss" in line], rel=1e-6)
    picture = reader.get_data("image", "Evaluate/sample_0")
    assert len(picture) == 3


def test_readers_in_other_processes_give_the_same_training(data, plain, tmp_path):
    train(data, tmp_path, num_workers=2)
    assert files(tmp_path / "iter_3") == files(plain[1] / "iter_3")


def test_best_model_holds_the_weights_of_the_best_evaluation(data, tmp_path):
    train(data, tmp_path, do_eval=True, save_interval=1, learning_rate=0.05)
    scores = {line["iter"]: line["evaluation"]["mIoU"] for line in journal(tmp_path) if "evaluation" in line}
    best = min(k for k, score in scores.items() if score == max(scores.values()))
    kept, named = (load_file(tmp_path / name / "model.safetensors") for name in ("best_model", f"iter_{best}"))
    for name in named:
        np.testing.assert_array_equal(kept[name], named[name])


def test_evaluations_by_the_settings_and_not_by_the_checkpoints(data, tmp_path):
    train(data, tmp_path, do_eval=True, save_interval=6, iters=6, opts=["eval_intervals=[[0, 3], [0.5, 1]]"])
    assert [line["iter"] for line in journal(tmp_path) if "evaluation" in line] == [3, 4, 5, 6]


def test_early_stop_and_its_resumption(data, tmp_path):
    overrides = {"do_eval": True, "save_interval": 1, "learning_rate": 1e-12, "iters": 20, "early_stop_intervals": 2}
    result = train(data, tmp_path, **overrides)
    assert result.stopped.startswith("early stop")
    assert result.iteration < 20
    again = train(data, tmp_path, resume_model="auto", **overrides)
    assert (again.iteration, again.stopped) == (result.iteration, result.stopped)
    with pytest.raises(RssegError, match="--do_eval"):
        train(data, tmp_path / "other", early_stop_intervals=2)


def test_old_checkpoints_go_and_settings_objects_work(data, tmp_path):
    settings = load_config(data)
    result = train(settings, tmp_path, save_interval=1, keep_checkpoint_max=2, iters=4, opts=["accumulate=2"])
    assert {p.name for p in tmp_path.glob("iter_*")} == {"iter_3", "iter_4"}
    assert result.iteration == 4
    assert load_config(result.checkpoint / "config.yml").accumulate == 2
    assert settings.iters == 3


def test_resuming_with_other_facts_is_said(data, tmp_path, capsys):
    train(data, tmp_path, iters=1)
    train(data, tmp_path, iters=2, resume_model="auto", batch_size=3)
    assert "images was 2, is 3" in capsys.readouterr().out


def test_resuming_with_other_settings_is_said(data, tmp_path, capsys):
    train(data, tmp_path, iters=1, seed=3)
    capsys.readouterr()
    train(data, tmp_path, iters=2, seed=3, resume_model="auto", learning_rate=0.5, opts=["loss.types.0.gamma=1"])
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    changed = ["iters was 1, is 2", "loss.types.0.gamma was 2.0, is 1.0", "lr_scheduler.learning_rate was 0.01, is 0.5"]
    assert sorted(note[6:].partition(": not what")[0] for note in notes) == changed


def test_a_refused_resume_leaves_no_directory(data, tmp_path):
    with pytest.raises(RssegError, match="--resume_model nowhere"):
        train(data, tmp_path / "new", resume_model="nowhere")
    assert not (tmp_path / "new").exists()


def test_a_full_disk_is_one_line_and_leaves_the_checkpoints_that_are_whole(data, tmp_path):
    words = tiny_run.train_command("--config", data, "--iters", 2, "--save_interval", 1, "--save_dir", tmp_path / "run")
    # a file may have 1 MB: no room for the optimiser's state, as on a full disk
    limited = ["bash", "-c", 'ulimit -f 1024; exec "$@"', "bash", *words]
    ended = tiny_run.run(limited)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert re.match(r"error: .*model\.safetensors: cannot be written \(File too large\)", line)
    assert [path.name for path in (tmp_path / "run").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"itres": 3}, "did you mean 'iters'"),
        ({"save_interval": 0}, "--save_interval: 0; expected 1 or more"),
        ({"resume_model": "nowhere"}, "--resume_model nowhere: not a checkpoint directory"),
        ({"device": "gpu"}, "--device gpu: .* use --device cpu"),
        ({"batch_size": 11}, "10 images for batches of 11"),
        ({"opts": ["train_dataset.train_path=nowhere.txt"]}, r"nowhere\.txt"),
    ],
)
def test_mistakes_are_told_in_one_line(data, tmp_path, overrides, message):
    with pytest.raises(RssegError, match=message):
        training.train(data, **{"save_dir": tmp_path, "device": "cpu", **overrides})


def test_images_of_other_bands_than_the_model_are_named(data, tmp_path):
    tiny_run.make_data(tmp_path / "data")
    for path in (tmp_path / "data" / "img").glob("train*.png"):
        profile = {"driver": "PNG", "height": tiny_run.SIZE, "width": tiny_run.SIZE, "count": 1, "dtype": "uint8"}
        with rasterio.open(path, "w", **profile) as file:
            file.write(np.zeros((1, tiny_run.SIZE, tiny_run.SIZE), np.uint8))
    with pytest.raises(RssegError, match=r"train_dataset: images of 1 bands for a model of 3.*bands:"):
        train(tiny_run.write_config(tmp_path / "data"), tmp_path / "run")


def test_without_visualdl_the_flag_says_how_to_get_it(data, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "visualdl":
            raise ImportError("No module named 'visualdl'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RssegError, match=r"pip install 'paddle-rsseg\[vdl\]'"):
        train(data, tmp_path, use_vdl=True)


def test_the_command_with_every_flag(data, tmp_path, capsys):
    save_dir = tmp_path / "run"
    code = main([
        "train", "--config", str(data), "--iters", "2", "--batch_size", "3", "--learning_rate", "0.5", "--seed", "7",
        "--save_dir", str(save_dir), "--save_interval", "2", "--keep_checkpoint_max", "1", "--log_iters", "1",
        "--num_workers", "1", "--do_eval", "--early_stop_intervals", "9", "--precision", "bf16", "--amp_level", "O2",
        "--device", "cpu", "--no_progress", "--resume_model", "auto", "--opts", "loss.types.0.gamma=1", "accumulate=1",
    ])  # fmt: skip
    assert code == 0
    out = capsys.readouterr().out
    assert "bf16 has no effect on a CPU" in out
    assert "[TRAIN] epoch: 1, iter: 2/2, loss: " in out
    for part in (
        "lr: ",
        "batch_cost: ",
        "reader_cost: ",
        "ips: ",
        "| ETA ",
        "[EVAL] iter: 2, mIoU: ",
        "last checkpoint: ",
    ):
        assert part in out
    settings = load_config(save_dir / "iter_2" / "config.yml")
    assert (settings.iters, settings.batch_size, settings.seed, settings.precision) == (2, 3, 7, "bf16")
    assert settings.lr_scheduler.learning_rate == 0.5
    assert settings.loss.types[0].args["gamma"] == 1


def test_dry_run_tells_the_cost_and_saves_nothing(data, tmp_path, monkeypatch, capsys):
    from paddle_rsseg.models import cost, create_model

    monkeypatch.chdir(tmp_path)
    assert main(["train", "--config", str(data), "--dry_run", "--device", "cpu", "--do_eval"]) == 0
    out = capsys.readouterr().out
    parameters, _ = cost.count(create_model(load_config(data)), 48, 48)
    assert f"{parameters:,}" in out
    for part in ("multiply-adds", "peak memory", "s an iteration", "dry run: nothing was saved"):
        assert part in out
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_flag_costs_one_line(data, caplog, capsys):
    with caplog.at_level(logging.CRITICAL), pytest.raises(SystemExit) as stop:
        main(["train", "--config", str(data), "--batchsize", "2"])
    assert stop.value.code == 2
    assert "did you mean '--batch_size'?" in capsys.readouterr().err
