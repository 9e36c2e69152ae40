"""TIPC as a user runs it: data, training, export and inference from one parameter file, and failures that show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MODE = "lite_train_lite_infer"


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """What the chain needs of the project, without the data and results of other runs."""
    target = tmp_path_factory.mktemp("clone")
    for name in ("paddle_rsseg", "deploy", "tools", "test_tipc"):
        ignored = shutil.ignore_patterns("__pycache__", *(["output", "data"] if name == "test_tipc" else []))
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    return target


def run(clone: Path, script: str, parameters: Path, mode: str = MODE) -> subprocess.CompletedProcess[str]:
    """A script of test_tipc; ``python`` is the interpreter of this test. Run from elsewhere on purpose."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    command = ["bash", str(clone / "test_tipc" / script), str(parameters), mode]
    return subprocess.run(command, cwd=clone.parent, env=environment, capture_output=True, text=True, check=False)


def parameter_file(clone: Path, model: str, **changes: str) -> Path:
    """A copy of the model's parameter file with other values for some keys."""
    path = clone / f"test_tipc/configs/seg/{model}/train_infer_python.txt"
    lines = path.read_text().splitlines()
    for key, value in changes.items():
        found = [i for i, line in enumerate(lines) if line.partition(":")[0].lstrip("-") == key]
        assert found, key
        for i in found:
            lines[i] = f"{lines[i].partition(':')[0]}:{value}"
    copy = path.with_name("changed.txt")
    copy.write_text("\n".join(lines) + "\n")
    return copy


def status_lines(clone: Path, model: str, mode: str = MODE) -> tuple[list[str], list[str]]:
    """(successes, failures) of ``results_python.log``, which are yellow."""
    log = (clone / f"test_tipc/output/seg/{model}/{mode}/results_python.log").read_text()
    found = [
        re.findall(rf"\x1b\[33mRun {how} with command - {model} - (.*)!", log) for how in ("successfully", "failed")
    ]
    return found[0], found[1]


QUICK = {"num_epochs": "1", "fixed_input_shape": "[-1,3,64,64]", "cpu_threads": "2"}


@pytest.fixture(scope="module")
def quick(clone) -> tuple[Path, Path]:
    """(clone, its output directory) after a whole chain on 64×64 images with 3 bands."""
    parameters = parameter_file(clone, "farseg_3band", **QUICK)
    made = run(clone, "prepare.sh", parameters)
    assert made.returncode == 0, made.stdout + made.stderr
    done = run(clone, "test_train_inference_python.sh", parameters)
    assert done.returncode == 0, done.stdout + done.stderr
    return clone, clone / f"test_tipc/output/seg/farseg_3band/{MODE}"


def test_three_steps_succeed(quick):
    clone, output = quick
    successes, failures = status_lines(clone, "farseg_3band")
    assert failures == []
    steps = ("test_tipc/run_task.py train seg", "deploy/export/export_model.py", "test_tipc/infer.py --device=cpu")
    assert len(successes) == len(steps)
    for line, step in zip(successes, steps, strict=True):
        assert step in line
    assert "--num_epochs=1" in successes[0]
    assert "--fixed_input_shape=[-1,3,64,64]" in successes[1]

    static = output / "norm_gpus_-1_autocast_null/static"
    assert (static / "deploy.yaml").is_file()
    assert (static / "model.pdiparams").is_file()
    assert (output / "norm_gpus_-1_autocast_null/best_model/model.safetensors").is_file()


def test_timing_in_autologs_format(quick):
    report = (quick[1] / "python_infer_cpu_usemkldnn_True_threads_2_precision_fp32_batchsize_1.log").read_text()
    titles = re.findall(r"^-+ (.*) -+$", report, re.M)
    assert titles == ["Env info", "Paddle info", "Conf info", "Model info", "Data info", "Perf info"]
    values = dict(re.findall(r"([\w()]+): ([^,\n]*)", report))
    assert values["model_name"] == "farseg_3band"
    assert (values["data_num"], values["batch_size"], values["input_shape"]) == ("3", "1", "3x64x64")
    assert float(values["inference_time(ms)"]) > 0
    assert float(values["cpu_rss(MB)"]) > 50


def test_labels_are_those_of_deployment(quick, monkeypatch):
    """The timed road, one piece an image, and the windowed one of deployment give one label map."""
    from paddle_rsseg.inference.backends import PaddleInferenceBackend
    from paddle_rsseg.inference.engine import WindowPredictor
    from paddle_rsseg.inference.load import read_deploy
    from paddle_rsseg.inference.stitch import argmax

    clone, output = quick
    monkeypatch.syspath_prepend(str(clone / "test_tipc"))
    from infer import load

    static = output / "norm_gpus_-1_autocast_null/static"
    spec, backend = read_deploy(static), PaddleInferenceBackend(static)
    data = clone / "test_tipc/data/rsseg_3band"
    images = [str(data / line.split()[0]) for line in (data / "val.txt").read_text().splitlines()]
    batch, sizes = load(images, spec)
    for path, scores, (height, width) in zip(images, backend(batch), sizes, strict=True):
        np.testing.assert_array_equal(argmax(scores[:, :height, :width]), WindowPredictor(backend, spec).predict(path))


def test_data_are_made_once_and_only_in_their_place(quick):
    clone, _ = quick
    parameters = parameter_file(clone, "farseg_3band", **QUICK)
    again = run(clone, "prepare.sh", parameters)
    assert again.returncode == 0
    assert "already made" in again.stdout
    data = clone / "test_tipc/data/rsseg_3band"
    marker = (data / ".made_by").read_text()
    try:
        (data / ".made_by").unlink()
        refused = run(clone, "prepare.sh", parameters)
        assert refused.returncode == 1
        assert "was not made by this script" in refused.stderr
        assert (data / "train.txt").is_file()
    finally:
        (data / ".made_by").write_text(marker)


def test_a_failing_training_is_told_and_stops_its_chain(quick):
    clone, _ = quick
    parameters = parameter_file(clone, "farseg_3band", **QUICK, train_batch_size="400", model_name="seg:broken")
    done = run(clone, "test_train_inference_python.sh", parameters)
    assert done.returncode == 1
    successes, failures = status_lines(clone, "broken")
    assert successes == []
    assert len(failures) == 1
    assert "exit code 2" in done.stdout
    assert "error: ./test_tipc/configs/seg/farseg_3band/farseg_rsseg.yaml: 9 training images" in done.stdout


def test_whole_infer_takes_a_trained_model_and_a_failing_variant_is_told(quick):
    clone, output = quick
    static = output.relative_to(clone) / "norm_gpus_-1_autocast_null/static"
    changes = {**QUICK, "infer_model": str(static), "precision": "fp32|fp16", "enable_mkldnn": "False"}
    changes |= {"batch_size": "2"}
    done = run(clone, "test_train_inference_python.sh", parameter_file(clone, "farseg_3band", **changes), "whole_infer")
    assert done.returncode == 1
    successes, failures = status_lines(clone, "farseg_3band", "whole_infer")
    assert len(successes) == len(failures) == 1
    assert "--precision=fp32" in successes[0]
    assert "--precision=fp16" in failures[0]
    assert "error: --precision: fp16; expected fp32" in done.stdout


@pytest.mark.parametrize(
    ("changes", "mode", "message"),
    [
        ({}, "lite", "unknown mode 'lite'"),
        ({}, "whole_infer", "needs infer_model"),
        ({"gpu_list": "0,1,2,3,4,5,6,7,8"}, MODE, "nothing was run"),
        ({"python": "no_such_python"}, MODE, "no_such_python cannot import paddle"),
        ({"trainer": "distill_me"}, MODE, "no line distill_me_train"),
        ({"num_epochs": "whole_train_whole_infer=3"}, MODE, "no value for mode"),
    ],
)
def test_wrong_parameters_end_with_a_message(clone, changes, mode, message):
    done = run(clone, "test_train_inference_python.sh", parameter_file(clone, "farseg_3band", **changes), mode)
    assert done.returncode == 1
    assert message in done.stderr
    assert "successfully" not in done.stdout


@pytest.mark.parametrize("model", ["farseg", "farseg_3band"])
def test_line_positions(model):
    """The positions that TIPC's scripts rely on, counted from 0."""
    lines = (ROOT / f"test_tipc/configs/seg/{model}/train_infer_python.txt").read_text().splitlines()
    assert len(lines) == 53
    keys = {
        1: "model_name", 2: "python", 3: "gpu_list", 4: "use_gpu", 5: "--precision", 6: "--num_epochs", 7: "--save_dir",
        8: "--train_batch_size", 9: "--model_path", 10: "--config", 11: "train_model_name", 14: "trainer",
        15: "norm_train", 23: "eval", 27: "--save_dir", 28: "--model_dir", 29: "--fixed_input_shape", 30: "norm_export",
        37: "infer_model", 38: "infer_export", 39: "infer_quant", 40: "inference", 41: "--device",
        42: "--enable_mkldnn", 43: "--cpu_threads", 44: "--batch_size", 45: "--use_trt", 46: "--precision",
        47: "--model_dir", 48: "--config", 49: "--save_log_path", 50: "--benchmark", 51: "--model_name", 52: "null",
    }  # fmt: skip
    assert {i: lines[i].partition(":")[0] for i in keys} == keys
    assert [i for i, line in enumerate(lines) if line == "##"] == [13, 21, 25]
    assert lines[36].startswith("=====")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["farseg", "farseg_3band"])
def test_the_files_as_they_are(clone, model):
    parameters = clone / f"test_tipc/configs/seg/{model}/train_infer_python.txt"
    made = run(clone, "prepare.sh", parameters)
    assert made.returncode == 0, made.stdout + made.stderr
    done = run(clone, "test_train_inference_python.sh", parameters)
    assert done.returncode == 0, done.stdout + done.stderr
    successes, failures = status_lines(clone, model)
    assert (len(successes) >= 3, failures) == (True, [])
