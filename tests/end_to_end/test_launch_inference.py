"""tools/val.py and tools/predict.py on two processes, and on a Ray of this machine: the files of one process."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import cv2
import numpy as np
import paddle
import pytest
import tiny_run
from tiny_run import ROOT, environment

from paddle_rsseg.config import load_config
from paddle_rsseg.models import create_model, model_spec
from paddle_rsseg.weights import save_weights

pytestmark = pytest.mark.slow


def run(command, cwd):
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, cwd=cwd)


def launch(place, *arguments):
    command = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", "logs"]
    return run([*command, *map(str, arguments)], place)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data set, a configuration, weights that are not trained, and a directory with two images and a broken one."""
    place = tmp_path_factory.mktemp("launch")
    tiny_run.make_data(place / "data", val=5)
    config = tiny_run.write_config(place / "data")
    spec = model_spec(load_config(config))
    paddle.seed(3)
    save_weights(place / "model.safetensors", create_model(spec).state_dict(), {"model": spec})
    (place / "in").mkdir()
    rng = np.random.default_rng(1)
    for i, (height, width) in enumerate([(210, 80), (60, 75)]):
        cv2.imwrite(str(place / "in" / f"{i}.png"), rng.integers(0, 256, (height, width, 3), np.uint8))
    (place / "in" / "broken.png").write_bytes(b"no image")
    return place


def test_evaluation(place):
    arguments = [
        ROOT / "tools" / "val.py", "--config", place / "data" / "config.yml", "--model_path", "model.safetensors",
        "--is_slide", "--crop_size", "32", "32", "--stride", "16", "16", "--device", "cpu",
    ]  # fmt: skip
    alone = run([sys.executable, *map(str, arguments), "--save_dir", "val1"], place)
    assert alone.returncode == 0, alone.stderr
    both = launch(place, *arguments, "--save_dir", "val2")
    assert both.returncode == 0, both.stdout
    assert (place / "val1" / "confusion.csv").read_bytes() == (place / "val2" / "confusion.csv").read_bytes()


def test_prediction(place):
    arguments = [
        ROOT / "tools" / "predict.py", "--config", place / "data" / "config.yml", "--model_path", "model.safetensors",
        "--image_path", "in", "--crop_size", "32", "32", "--products", "margin", "--device", "cpu",
    ]  # fmt: skip
    alone = run([sys.executable, *map(str, arguments), "--save_dir", "map1"], place)
    assert alone.returncode == 2, alone.stderr
    expected = files_of(place / "map1")
    assert len(expected) == 2 * 3
    both = launch(place, *arguments, "--save_dir", "map2")
    assert both.returncode != 0, both.stdout
    assert "2 of 3 images mapped" in (place / "logs" / "workerlog.0").read_text()
    assert files_of(place / "map2") == expected
    if not importlib.util.find_spec("ray"):
        pytest.skip("the rest needs the extra cluster")
    ray = [sys.executable, *map(str, arguments), "--save_dir", "map3", "--engine", "ray", "--threads", "1"]
    done = run(ray, place)
    assert done.returncode == 2, done.stderr
    assert "2 of 3 images mapped" in done.stdout
    assert done.stderr.count("error: ") == 1
    assert files_of(place / "map3") == expected


def files_of(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()}


def test_options_without_their_engine(place):
    for options, said in (
        (["--workers", "2"], "--workers: without --engine ray"),
        (["--engine", "ray", "--workers", "0"], "--workers: 0"),
    ):
        command = [sys.executable, ROOT / "tools" / "predict.py", "--model_path", "model.safetensors"]
        done = run([*map(str, command), "--image_path", "in", "--device", "cpu", *options], place)
        assert done.returncode == 2
        assert said in done.stderr
