"""``val`` from the command line: protocols, flags, results on disk, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
import rasterio
import yaml

from paddle_rsseg.cli.main import main
from paddle_rsseg.models import create_model
from paddle_rsseg.weights import save_weights

NORMALIZE = {"type": "Normalize", "mean": [0.5], "std": [0.5]}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with two images, a configuration, and weights that are not trained."""
    root = tmp_path_factory.mktemp("val")
    rng = np.random.default_rng(0)
    lines = []
    for i, (height, width) in enumerate([(100, 130), (40, 50)]):
        cv2.imwrite(str(root / f"{i}.jpg"), rng.integers(0, 256, (height, width, 3), np.uint8))
        cv2.imwrite(str(root / f"{i}.png"), rng.choice(np.array([0, 1, 2, 255], np.uint8), (height, width)))
        lines.append(f"{i}.jpg {i}.png")
    (root / "val.txt").write_text("\n".join(lines))
    data = {
        "type": "Dataset", "dataset_root": str(root), "num_classes": 3,
        "train_path": str(root / "val.txt"), "val_path": str(root / "val.txt"), "transforms": [NORMALIZE],
    }  # fmt: skip
    config = {
        "iters": 1,
        "train_dataset": {**data, "mode": "train"},
        "val_dataset": {**data, "mode": "val"},
        "model": {"type": "FarSeg", "backbone": "ResNet18"},
        "optimizer": {"type": "SGD"},
        "lr_scheduler": {"type": "Constant", "learning_rate": 0.1},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]},
    }
    (root / "config.yml").write_text(yaml.safe_dump(config))
    paddle.seed(0)
    network = create_model({"type": "FarSeg", "backbone": "ResNet18", "num_classes": 3, "in_channels": 3})
    network.eval()
    with paddle.no_grad():  # no class wins everywhere
        logits = network(paddle.to_tensor(rng.uniform(-1, 1, (1, 3, 96, 128)).astype(np.float32)))[0]
        network.cls_pred_conv.bias.set_value(network.cls_pred_conv.bias - logits.mean([0, 2, 3]))
    save_weights(root / "model.safetensors", network.state_dict())
    return root


def val(place: Path, *flags: str, out: str = "score") -> dict:
    command = ["val", "--config", str(place / "config.yml"), "--model_path", str(place / "model.safetensors")]
    assert main([*command, "--save_dir", str(place / out), "--backend", "dynamic", *flags]) == 0
    return json.loads((place / out / "metrics.json").read_text())


def test_whole_images_and_both_sliding_protocols(place, capsys):
    whole = val(place)
    assert whole["info"]["protocol"] == "patch"
    farseg = val(place, "--is_slide", "--crop_size", "96", "64", "--stride", "64", "32", "--batch_size", "2")
    info = farseg["info"]
    assert info["window (w × h)"] == [96, 64]  # PaddleSeg's order
    assert info["stride (w × h)"] == [64, 32]
    assert (info["average"], info["padding"], info["batch size"]) == ("probs", "multiple of 32", 2)
    port = val(place, "--is_slide", "--crop_size", "96", "64", "--average", "logits", "--pad", "window")
    assert (port["info"]["average"], port["info"]["padding"]) == ("logits", "full window")
    assert port["info"]["stride (w × h)"] == [54, 36]
    augmented = val(place, "--aug_eval", "--scales", "1", "0.5", "--flip_horizontal", "--flip_vertical")["info"]
    assert (augmented["views"], augmented["scales"]) == ("identity lr tb lrtb", [1.0, 0.5])
    tiles = ["--policy", "expanded", "--margin", "16", "--crop_size", "64", "64", "--stride", "64", "64"]
    expanded = val(place, "--is_slide", *tiles)["info"]
    assert (expanded["policy"], expanded["margin"]) == ("expanded", 16)
    assert whole["pixels"] == farseg["pixels"] == port["pixels"]
    assert len({tuple(c["predicted"] for c in found["classes"]) for found in (whole, farseg, port)}) == 3
    assert {p.name for p in (place / "score").iterdir()} == {
        "metrics.json", "confusion.csv", "classes.csv", "scenes.csv", "report.html"
    }  # fmt: skip
    assert "mIoU" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--stride", "8", "8"], "--stride: without --is_slide"),
        (["--is_slide", "--crop_size", "0", "64"], "--crop_size: 0 64"),
        (["--is_slide", "--crop_size", "32", "32", "--stride", "40", "8"], "larger than the window"),
        (["--policy", "adaptive"], "--policy: without --is_slide"),
        (["--is_slide", "--margin", "-1"], "inference.margin: -1"),
        (["--views", "lr", "rot45"], "inference.views: 'rot45'"),
        (["--flip_vertical"], "--flip_vertical: without --aug_eval"),
        (["--views", "lr", "--aug_eval"], "--views: beside --aug_eval"),
        (["--views", "lr", "--flip_vertical"], "--views: beside --flip_vertical"),
        (["--model_path", "nowhere.safetensors"], "nowhere.safetensors: no such file"),
        (["--device", "gpu"], "use --device cpu"),
        (["--boundary", "1.5"], "boundary: 1.5; expected whole pixels"),
        (["--sizes", "100", "10"], "sizes: 100 10"),
        (["--size_unit", "m2"], "give --sizes in m²"),
        (["--sizes", "10", "--size_unit", "m2"], "has no place on the ground"),
        (["--blocks", "0"], "blocks: 0"),
        (["--calibrate", "--precision", "1.5"], "precision: 1.5"),
        (["--temperature", "-1"], "--temperature: temperature -1.0"),
        (["--temperature", "nowhere.yml"], "--temperature nowhere.yml: No such file"),
        (["--protocols", "patch", "patch"], "protocol: patch patch"),
        (["--protocols", "patch", "--is_slide"], "--is_slide: beside --protocols patch"),
        (["--class_frequencies", "0.5", "0.5"], "class frequencies: 2"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(place, capsys, flags, message):
    command = ["val", "--config", str(place / "config.yml"), "--model_path", str(place / "model.safetensors")]
    assert main([*command, "--save_dir", str(place / "bad"), "--backend", "dynamic", *flags]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not (place / "bad").exists()


def test_where_the_report_cannot_go_nothing_is_scored(place, capsys):
    (place / "file").write_text("")
    command = ["val", "--config", str(place / "config.yml"), "--model_path", str(place / "model.safetensors")]
    assert main([*command, "--save_dir", str(place / "file" / "x"), "--backend", "dynamic"]) == 2
    said = capsys.readouterr()
    assert f"--save_dir {place}/file/x: {place}/file is a file" in said.err
    assert "mIoU" not in said.out


def test_windows_of_a_virtual_data_set_are_images_of_their_own(place):
    opts = ["val_dataset.tile=[64,64]", "val_dataset.tile_stride=[64,64]"]
    found = val(place, "--examples", "3", "--opts", *opts, out="tiles")
    assert len({image["name"] for image in found["images"]}) == len(found["images"]) == 2 * 3 + 1
    assert (place / "tiles" / "report.html").read_text().count("<figure>") == 4 * 6
    # the last row and column of windows are pulled back: what they share with others counts once for each
    assert found["pixels"] > val(place)["pixels"]


def test_protocols_side_by_side_and_everything_measured(place, capsys):
    opts = ["val_dataset.tile=[64,64]", "val_dataset.tile_stride=[32,32]"]
    frequencies = ["--class_frequencies", "0.2", "0.3", "0.5"]
    flags = ["--protocols", "stitched", "patch", "--crop_size", "64", "64", "--stride", "32", "32", "--full"]
    found = val(place, *flags, *frequencies, "--opts", *opts, out="full")
    assert [found["info"]["protocol"], found["beside"][0]["info"]["protocol"]] == ["stitched", "patch"]
    assert len(found["scenes"]) == len(found["images"]) == 2
    assert found["beside"][0]["images"] == 3 * 4 + 1  # of 100×130 and 40×50 pixels
    assert found["pixels"] < found["beside"][0]["pixels"]
    assert found["fwIoU_given"] == pytest.approx(
        sum(f * c["IoU"] for f, c in zip((0.2, 0.3, 0.5), found["classes"], strict=True))
    )
    assert found["boundary"]["rim_pixels"] == [1, 2]
    said = capsys.readouterr().out
    assert f"temperature {found['calibration']['temperature']:.3f}" in said
    assert "protocol patch: mIoU" in said
    fitted = yaml.safe_load((place / "full" / "temperature.yml").read_text())
    assert fitted["temperature"] == found["calibration"]["temperature"]
    assert fitted["fitted on"]["protocol"] == "stitched"
    with pytest.raises(SystemExit):
        val(place, "--protocols", "whole")


def test_a_temperature_needs_a_place(place, capsys):
    command = ["val", "--config", str(place / "config.yml"), "--model_path", str(place / "model.safetensors")]
    assert main([*command, "--calibrate"]) == 2
    assert "--calibrate: no place for the temperature" in capsys.readouterr().err


def test_prediction_and_export_take_the_temperature(place):
    (place / "t.yml").write_text("temperature: 2.5\n")
    model = ["--config", str(place / "config.yml"), "--model_path", str(place / "model.safetensors")]
    shares = []
    for flags in ([], ["--temperature", str(place / "t.yml")]):
        out = place / f"map{len(flags)}"
        products = ["--products", "probabilities", "--product_type", "float32", "--no_overlay"]
        where = ["--image_path", str(place / "1.jpg"), "--save_dir", str(out), "--crop_size", "64", "64"]
        assert main(["predict", *model, *where, "--backend", "dynamic", *products, *flags]) == 0
        with rasterio.open(next(out.glob("*probabilities*"))) as file:
            shares.append(file.read())
    warmer = shares[0] ** (1 / 2.5)
    np.testing.assert_allclose(shares[1], warmer / warmer.sum(0), rtol=1e-4)
    assert main(["export", *model, "--save_dir", str(place / "export"), "--temperature", "2.5"]) == 0
    assert yaml.safe_load((place / "export" / "deploy.yaml").read_text())["inference"]["temperature"] == 2.5
