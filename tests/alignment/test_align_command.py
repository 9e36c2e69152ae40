"""``rsseg align``: what it lists, what it writes for a reviewer, and how it ends when a step is out of tolerance."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from paddle_rsseg.alignment import STEPS, library, measure, reprod, run
from paddle_rsseg.cli.main import main
from paddle_rsseg.errors import RssegError

OWN = Path(__file__).parents[1] / "golden"
MAIN = OWN / "farseg" / "farseg50.npz"


@pytest.fixture(scope="module")
def measured():
    return measure(MAIN, steps=0)


@pytest.fixture
def quick(monkeypatch):
    """Without updates of the network, which take most of the time."""
    monkeypatch.setattr(run, "measure", partial(run.measure, steps=0))


def changed(directory: Path, **arrays) -> Path:
    """A folder of golden files with one file, a copy with other numbers."""
    path = directory / "farseg" / "farseg50.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, **{**np.load(MAIN), **arrays})
    return directory


def test_every_step_has_numbers_of_both_sides(measured):
    assert measured.ok
    assert measured.network["type"] == "FarSeg"
    order = [STEPS.index(deviation.step) for deviation in measured.deviations]
    assert order == sorted(order)
    assert {step for step, pairs in measured.pairs.items() if pairs} == {"forward", "metric", "loss", "backward"}
    for pairs in measured.pairs.values():
        for pair in pairs.values():
            assert pair.theirs.shape == pair.ours.shape
            assert np.abs(pair.theirs - pair.ours).max() <= pair.allowed
    assert 0 < measured.pairs["metric"]["mIoU"].ours < 0.2  # random weights


def test_reprod_log_files(measured, tmp_path):
    pytest.importorskip("reprod_log")
    checked = reprod.write(measured, tmp_path / "log_reprod")
    assert all(check.passed for check in checked.values())
    for step, names in reprod.FILES.items():
        assert all((tmp_path / "log_reprod" / name).is_file() == (step in checked) for name in names)
    ours, theirs = (
        np.load(tmp_path / "log_reprod" / name, allow_pickle=True).item() for name in reprod.FILES["forward"][:2]
    )
    assert list(ours) == list(theirs) == ["logits", "prob"]
    assert theirs["logits"].shape == (2, 16, 43, 43)
    logs = [(tmp_path / "log_reprod" / names[2]) for step, names in reprod.FILES.items() if step in checked]
    for log in logs:  # each holds its own step and no other's
        assert log.read_text().count("diff check") == 1

    pairs = {**measured.pairs, "loss": {"loss": run.Pair(np.array(1.0), np.array(1.1), 1e-6)}}
    wrong = run.Measured(measured.case, measured.network, measured.dtype, measured.deviations, pairs)
    assert not reprod.write(wrong, tmp_path / "wrong")["loss"].passed


def test_the_command_writes_the_report(tmp_path, capsys, monkeypatch, measured):
    pytest.importorskip("reprod_log")
    monkeypatch.setattr(run, "measure", lambda path, dtype: measured)
    assert main(["align", "farseg", "--golden", str(OWN), "--save_dir", str(tmp_path)]) == 0
    assert "1 of 1 originals aligned" in capsys.readouterr().out
    page = (tmp_path / "farseg" / "report.md").read_text()
    assert "| farseg/farseg50 | pass | pass | pass | pass | – |" in page
    assert "github Z-Zheng/FarSeg 35ba29fc (module/farseg.py" in page
    headings = [line for line in page.splitlines() if line.startswith("###")]
    assert [heading.split(".")[0] for heading in headings] == ["### 1", "### 2", "### 3", "### 4"]
    assert (tmp_path / "farseg" / "farseg-farseg50" / "log_reprod" / "bp_align_diff.log").is_file()
    (result,) = json.loads((tmp_path / "farseg" / "results.json").read_text())
    assert (result["original"], result["network"]["type"], result["ok"]) == ("farseg/farseg50", "FarSeg", True)
    assert 0 < result["outputs"] < 1e-6
    assert 0 < result["gradients"] < 1e-6
    assert len(result["losses"]) == 1


def test_both_types_of_numbers_in_one_report(tmp_path, capsys, monkeypatch, measured):
    monkeypatch.setattr(run, "measure", lambda path, dtype: replace(measured, dtype=dtype))
    words = ["align", "farseg", "--golden", str(OWN), "--save_dir", str(tmp_path), "--no_reprod_log"]
    assert main([*words, "--dtype", "float64", "float32"]) == 0
    assert "1 of 1 originals aligned" in capsys.readouterr().out
    page = (tmp_path / "farseg" / "report.md").read_text()
    for title, dtype in (("farseg/farseg50", "float64"), ("farseg/farseg50 in float32", "float32")):
        assert f"| {title} | pass | pass | pass | pass | – |" in page
        assert f"computed in {dtype}" in page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    results = json.loads((tmp_path / "farseg" / "results.json").read_text())
    assert [(one["original"], one["dtype"]) for one in results] == [
        ("farseg/farseg50", "float64"), ("farseg/farseg50", "float32"),
    ]  # fmt: skip


def test_a_step_out_of_tolerance(tmp_path, capsys, quick):
    losses = np.load(MAIN)["losses"] * (1 + 1e-8)
    golden = changed(tmp_path / "golden", losses=losses)
    words = ["align", "farseg/*", "--golden", str(golden), "--save_dir", str(tmp_path / "out"), "--no_reprod_log"]
    assert main(words) == 1
    out = capsys.readouterr().out
    assert "✗ loss after 0 steps, relative" in out
    assert "0 of 1 originals aligned" in out
    page = (tmp_path / "out" / "farseg-all" / "report.md").read_text()
    assert "| farseg/farseg50 | pass | pass | **FAIL** | pass | – |" in page
    assert not list((tmp_path / "out").rglob("*.npy"))


def test_another_network_is_no_traceback(tmp_path, capsys, quick):
    meta = json.loads(str(np.load(MAIN)["meta"]))
    meta["names_shapes"].append(["cls_pred_conv.gamma", [16], "float32"])
    golden = changed(tmp_path / "golden", meta=json.dumps(meta))
    assert main(["align", "FarSeg", "--golden", str(golden), "--save_dir", str(tmp_path / "out")]) == 1
    assert "cannot be compared" in capsys.readouterr().out
    page = (tmp_path / "out" / "FarSeg" / "report.md").read_text()
    assert "| farseg/farseg50 | **FAIL** | – | – | – | – |" in page
    assert "cls_pred_conv.gamma" in page


def test_the_list(tmp_path, capsys):
    assert main(["align", "--list", "--golden", str(OWN)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:3] == ["FarSeg", "ResNet50", "farseg/farseg50"] and "35ba29fc" in line for line in lines)
    assert not any("functions" in line for line in lines)


def test_bad_input_is_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad" / "x").mkdir(parents=True)
    (tmp_path / "bad" / "x" / "y.npz").write_bytes(b"no numbers")
    cases = {
        ("--golden", "nowhere", "FarSeg"): "no such directory",
        ("--golden", str(OWN)): "no ARCH",
        ("--golden", str(OWN), "FarSegg"): "did you mean",
        ("--golden", str(tmp_path / "empty"), "FarSeg"): "no numbers of an original of it here",
        ("--golden", str(tmp_path / "bad"), "FarSeg"): "cannot be read",
    }
    for words, message in cases.items():
        assert main(["align", *words]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1
    monkeypatch.setenv("RSSEG_GOLDEN", str(tmp_path / "empty"))
    assert library.golden_directory() == tmp_path / "empty"
    monkeypatch.delenv("RSSEG_GOLDEN")
    assert library.golden_directory() == OWN
    monkeypatch.setitem(__import__("sys").modules, "reprod_log", None)
    with pytest.raises(RssegError, match=r"pip install 'paddle-rsseg\[align\]'"):
        reprod.write(None, tmp_path / "out")
