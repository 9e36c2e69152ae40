"""Every shipped configuration is built and takes a step, as it stands: only smaller.

A configuration names its data relative to the working directory. So each is run in an empty directory where a few
tiny images lie at the very paths it names; what is overridden is size alone, and weights that would have to be fetched.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from tiny_run import ROOT

from paddle_rsseg import training
from paddle_rsseg.config import inference_spec, load_config
from paddle_rsseg.data.datasets import NAIC2Dataset

CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yml") if path.parent.name != "_base_")
SIZE = 64


def write_image(path, bands):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, bands))
    if bands == 3:  # OpenCV writes a TIFF too
        cv2.imwrite(str(path), pixels.astype(np.uint8))
    else:
        profile = {"driver": "GTiff", "height": SIZE, "width": SIZE, "count": bands, "dtype": "uint16"}
        with rasterio.open(path, "w", **profile) as file:
            file.write(pixels.transpose(2, 0, 1).astype(np.uint16) * 200)


def write_label(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), ids if ids.ndim == 2 else ids[..., ::-1])  # OpenCV writes BGR


def write_miniature(data, spec):
    """Three images where the data set ``data`` (a component of the settings) looks for them."""
    ids = (np.arange(SIZE * SIZE).reshape(SIZE, SIZE) // 7 % spec.num_classes).astype(np.uint8)
    if data.type == "DubaiDataset":
        for tile in data.args["tiles"]:
            for part in (1, 2):
                folder = Path(data.args["dataset_root"]) / f"Tile {tile}"
                write_image(folder / "images" / f"image_part_00{part}.jpg", 3)
                write_label(folder / "masks" / f"image_part_00{part}.png", np.asarray(spec.palette, np.uint8)[ids])
        return
    if data.type == "NAIC2Dataset":
        for i in range(5):
            write_image(Path(data.args["dataset_root"]) / f"train/image/{i}.tif", spec.in_channels)
            values = np.asarray(NAIC2Dataset.VALUES, np.uint8)
            write_label(Path(data.args["dataset_root"]) / f"train/label/{i}.png", values[ids])
        return
    assert data.type == "Dataset", f"teach this test how to make a {data.type}"
    root = Path(data.args["dataset_root"])
    lines = []
    for i in range(3):
        image, label = (
            f"{data.args['mode']}{i}.{'png' if spec.in_channels == 3 else 'tif'}",
            f"{data.args['mode']}{i}_label.png",
        )
        write_image(root / image, spec.in_channels)
        write_label(root / label, ids)
        lines.append(f"{image} {label}")
    Path(data.args[f"{data.args['mode']}_path"]).write_text("\n".join(lines) + "\n")


def smaller(settings):
    """Overrides that shrink crops and leave out weights to be fetched."""
    opts = ["batch_size=2"]
    for i, transform in enumerate(settings.train_dataset.args["transforms"]):
        if "crop_size" in transform:
            opts.append(f"train_dataset.transforms.{i}.crop_size=[{SIZE // 2}, {SIZE // 2}]")
    if settings.train_dataset.type == "NAIC2Dataset":
        opts += ["train_dataset.val_images=2", "val_dataset.val_images=2"]
    if settings.model.args.get("pretrained"):
        opts.append("model.pretrained=null")
    if isinstance(settings.model.args.get("backbone"), dict) and settings.model.args["backbone"].get("pretrained"):
        opts.append("model.backbone.pretrained=null")
    return opts


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_configuration_trains(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load_config(config)
    spec = inference_spec(settings)
    for data in (settings.train_dataset, settings.val_dataset):
        write_miniature(data, spec)
    report = training.dry_run(
        training.resolve(config, smaller(settings)),
        training.RunOptions(device="cpu", do_eval=True),
        say=lambda text: None,
    )
    assert np.isfinite(report.loss)
    # untrained, a K-class network is about as unsure as log K, and so is each auxiliary output
    unsure = np.log(spec.num_classes)
    assert unsure - 1.5 < report.loss < (unsure + 1.5) * sum(settings.loss.coef)
    assert not (tmp_path / "output").exists()


def test_there_are_configurations():
    assert len(CONFIGS) >= 5
