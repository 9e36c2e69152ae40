"""Every command of the README is executed, on a small copy of what it talks about, in the order a reader meets it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paddle_rsseg.models import create_model

ROOT = Path(__file__).parents[2]
QUICK = "--batch_size 2 --log_iters 1 --no_progress"
SMALL = "model.backbone=ResNet18"
#: what is appended (or, with a leading "s/", replaced) so that a command takes seconds instead of hours
SHRINK = {
    "tools/synth.py data/synth": "s/--scenes 16 --size 768 768/--scenes 8 --size 288 288/",
    "tools/train.py --config configs/farseg/farseg_r18_synth.yml": f"--iters 4 --save_interval 2 {QUICK}",
    "tools/train.py --config configs/farseg/farseg_r50": f"--iters 2 {QUICK} --opts {SMALL} model.pretrained=null",
    "tools/val.py --config configs/farseg/farseg_r50": f"--opts {SMALL}",
    "tools/convert_weights.py": "s/farseg_r50/farseg_r18/",
}
#: run elsewhere: `make` by CI itself, installation by make, TIPC by its own test, verify where PyTorch's packages are
ELSEWHERE = ("make ", "pip install", "bash test_tipc/", "python tools/weights.py verify")


def commands(readme: str) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip() and not line.startswith("#")]


def shrink(command: str) -> str:
    for start, change in SHRINK.items():
        if start in command:
            if change.startswith("s/"):
                old, new = change[2:-1].split("/")
                return command.replace(old, new)
            return f"{command} {change}"
    return command


def run(command: str, cwd: Path) -> None:
    words = [sys.executable if word == "python" else word for word in shlex.split(command)]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A working copy with the files a reader has, and the two downloads he would have made."""
    where = tmp_path_factory.mktemp("readme") / "paddle_rsseg"
    shutil.copytree(
        ROOT,
        where,
        ignore=shutil.ignore_patterns(".git", ".venv*", "output", ".*_cache", "__pycache__", "build", "*.egg-info"),
    )
    return where


def test_both_languages_show_the_same_commands():
    assert commands("README.md") == commands("README_CN.md")


@pytest.mark.slow
def test_every_command_of_the_readme(clone):
    torch = pytest.importorskip("torch")
    run("python tools/synth.py iSAID_zip --format zips --scenes 3 --size 400 600", clone)
    state = create_model("farseg_r18", num_classes=16).state_dict()
    renamed = {k.replace("._mean", ".running_mean").replace("._variance", ".running_var"): v for k, v in state.items()}
    release = {f"module.{k}": torch.from_numpy(v.numpy()) for k, v in renamed.items()}
    torch.save({"model": release}, clone / "farseg50.pth")
    for command in commands("README.md"):
        if command.startswith(ELSEWHERE):
            continue
        small = shrink(command)
        if "iter_60000" in small:  # the shrunk training stops at its own last iteration
            small = small.replace("iter_60000", "iter_2")
        run(small, clone)
    code = re.findall(r"```python\n(.*?)```", (clone / "README.md").read_text(encoding="utf-8"), re.S)
    for block in code:
        done = subprocess.run([sys.executable, "-c", block], cwd=clone, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
def test_every_command_of_the_page_on_weights(clone, tmp_path, monkeypatch):
    from paddle_rsseg.weights.table import entry

    torch = pytest.importorskip("torch")
    state = create_model("farseg_r50", num_classes=16).state_dict()
    renamed = {k.replace("._mean", ".running_mean").replace("._variance", ".running_var"): v for k, v in state.items()}
    release = {f"module.{k}": torch.from_numpy(v.numpy()) for k, v in renamed.items()}
    torch.save({"model": release}, tmp_path / entry("farseg_r50.isaid").file)
    monkeypatch.setenv("RSSEG_WEIGHTS", str(tmp_path))
    run_here = [command for command in commands("docs/weights.md") if not command.startswith(ELSEWHERE)]
    assert len(run_here) == 5
    for command in run_here:
        run(command, clone)
    assert (clone / "farseg_r50.safetensors").exists()


def test_the_yaml_of_the_page_on_weights_is_understood():
    import yaml

    from paddle_rsseg.config.pretrained import read_pretrained
    from paddle_rsseg.weights.table import entry

    block = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/weights.md").read_text(encoding="utf-8"), re.S)[0]
    model = yaml.safe_load(block)["model"]
    assert create_model({**model, "num_classes": 2}).in_channels == 5
    assert entry(read_pretrained(model["pretrained"], "model.pretrained").weights).backbone == model["backbone"]
