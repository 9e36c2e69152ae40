"""``rsseg weights``: the table, a file's content, conversion by name, and hostile files."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from paddle_rsseg.cli.main import main
from paddle_rsseg.weights import read_weights
from paddle_rsseg.weights.table import entries, entry

paddle = pytest.importorskip("paddle")
torch = pytest.importorskip("torch")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The local folder, with a stand-in for FarSeg's release and for an encoder of torchvision."""
    from paddle_rsseg.models import create_model
    from paddle_rsseg.models.backbones import build_backbone
    from paddle_rsseg.weights.load import shapes_of

    here = tmp_path / "folder"
    here.mkdir()
    monkeypatch.setenv("RSSEG_WEIGHTS", str(here))
    random = np.random.default_rng(0)

    def write(network, file, prefix):
        names = {
            n: n.replace("._mean", ".running_mean").replace("._variance", ".running_var") for n in shapes_of(network)
        }
        state = {
            f"{prefix}{names[n]}": torch.from_numpy(random.random(shape, dtype=np.float32))
            for n, shape in shapes_of(network).items()
        }
        torch.save({"model": state} if prefix else state, here / file)

    write(create_model("farseg_r50", num_classes=16), entry("farseg_r50.isaid").file, "module.")
    write(build_backbone("HRNetV2_W18_Small_V2"), entry("hrnet_w18_small_v2.imagenet").file, "")
    return here


def test_list(capsys, folder):
    assert main(["weights", "list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in entries())
    assert "* farseg_r50.isaid " in text
    assert f"* is in {folder}" in text
    assert main(["weights", "list", "--arch", "hrnetOCR"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "HRNetOCR(" in line]
    assert names == [name for name in entries() if name.startswith("hrnet_ocr")]
    assert main(["weights", "list", "--arch", "nothing"]) == 2
    assert "no known weights contain 'nothing'" in capsys.readouterr().err


def test_show_a_row(capsys, folder):
    assert main(["weights", "show", "hrnet_ocr_w48.cityscapes"]) == 0
    text = capsys.readouterr().out
    for fact in ("HRNetOCR(HRNetV2_W48, wiring=official)", "19 classes", "MIT", "https://github.com/hsfzxjy",
                 "not published", "not there", "red, green, blue"):  # fmt: skip
        assert fact in text
    assert main(["weights", "show", "farseg_r50.isaid"]) == 0
    assert "farseg50.pth (there)" in capsys.readouterr().out
    assert main(["weights", "show", "farseg_r50.isad"]) == 2
    assert "did you mean 'farseg_r50.isaid'" in capsys.readouterr().err


def test_show_a_file(capsys, folder):
    assert main(["weights", "show", str(folder / "farseg50.pth")]) == 0
    text = capsys.readouterr().out
    assert "FarSeg, official release" in text
    assert "PyTorch (of linear layers)" in text
    assert "module.cls_pred_conv.weight" in text
    assert "16×128×1×1" in text
    assert main(["weights", "show", "nowhere.pth"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_convert_by_name(capsys, folder, tmp_path):
    assert main(["weights", "convert", "farseg_r50.isaid", str(tmp_path / "a.safetensors"), "--swap_isaid_st_ra"]) == 0
    out = capsys.readouterr().out
    assert "missing     0\n" in out
    assert "rows 2 and 12" in out
    assert main(["weights", "show", str(tmp_path / "a.safetensors")]) == 0
    assert "our own format" in capsys.readouterr().out
    metadata = read_weights(tmp_path / "a.safetensors")[1]
    assert metadata["model"] == {"type": "FarSeg", "backbone": "ResNet50", "num_classes": 16}
    assert metadata["source"]["name"] == "farseg_r50.isaid"
    assert metadata["inference"]["classes"][2] == "storage tank"

    assert (
        main(["convert", "hrnet_w18_small_v2.imagenet", str(tmp_path / "b.safetensors"), "--all"]) == 0
    )  # the old verb
    assert "\n  stage4.0.branches.0.0.conv1.weight\n" in capsys.readouterr().out
    state, metadata = read_weights(tmp_path / "b.safetensors")
    assert metadata["backbone"] == "HRNetV2_W18_Small_V2"
    theirs = torch.load(folder / "hrnetv2_w18_small-b5a04e21.pth")
    np.testing.assert_array_equal(state["bn1._mean"], theirs["bn1.running_mean"])
    assert main(["weights", "convert", str(folder / "farseg50.pth"), str(tmp_path / "c.safetensors")]) == 2
    assert "neither --arch nor --config" in capsys.readouterr().err


class Payload:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("suffix", ["pth", "legacy.pth", "pdparams"])
def test_hostile_files_are_refused_by_every_command_and_run_nothing(tmp_path, suffix, capsys):
    marker, path = tmp_path / "ran", tmp_path / f"a.{suffix}"
    content = {"conv1.weight": np.zeros((64, 3, 7, 7)), "x": Payload(f"touch {marker}")}
    if suffix == "pdparams":
        path.write_bytes(pickle.dumps(content, 4))
    else:
        content["conv1.weight"] = torch.zeros(64, 3, 7, 7)
        torch.save(content, path, _use_new_zipfile_serialization=suffix == "pth")
    with open(path, "rb") as file:
        assert b"system" in file.read()
    for command in (
        ["weights", "show", str(path)],
        ["weights", "convert", str(path), str(tmp_path / "o.safetensors"), "--arch", "ResNet18"],
        ["weights", "verify", str(path), "--arch", "ResNet18"],
    ):
        assert main(command) == 2
        assert "refused: posix.system" in capsys.readouterr().err
    assert not marker.exists()
    assert not (tmp_path / "o.safetensors").exists()
