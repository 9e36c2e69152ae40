"""Every shipped configuration is built and takes a step, as it stands: only smaller.

A configuration names its data relative to the working directory. So each is run in an empty directory where a few
tiny images lie at the very paths it names; what is overridden is size alone, and weights that would have to be fetched.
"""

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from tiny_run import ROOT

from paddle_rsseg import training
from paddle_rsseg.config import build_dataset, check_paths, inference_spec, load_config
from paddle_rsseg.registry import DATASETS
from paddle_rsseg.training import distributed
from paddle_rsseg.training.run import Parts

NO_TRAINING = ("_base_", "ensembles")
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yml") if path.parent.name not in NO_TRAINING)
SIZE = 64


def write_image(path, bands, dtype=np.uint16):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, bands))
    if bands == 3:  # OpenCV writes a TIFF too
        cv2.imwrite(str(path), pixels.astype(np.uint8))
    else:
        profile = {"driver": "GTiff", "height": SIZE, "width": SIZE, "count": bands, "dtype": np.dtype(dtype).name}
        with rasterio.open(path, "w", **profile) as file:
            file.write((pixels * (np.iinfo(dtype).max // 255)).transpose(2, 0, 1).astype(dtype))


def write_label(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, ids)
    else:
        cv2.imwrite(str(path), ids if ids.ndim == 2 else ids[..., ::-1])  # OpenCV writes BGR


def write_listed(data, ids, bands, label_suffix=".png"):
    """``Dataset`` and its kind: the list of the mode, and the files that it names."""
    root, mode = Path(data.args["dataset_root"]), data.args["mode"]
    lines = []
    for i in range(3):
        image, label = f"{mode}{i}.{'png' if bands == 3 else 'tif'}", f"{mode}{i}_label{label_suffix}"
        write_image(root / image, bands)
        write_label(root / label, ids)
        lines.append(f"{image} {label}")
    Path(data.args[f"{mode}_path"]).write_text("\n".join(lines) + "\n")


def write_dubai(data, ids, palette):
    for tile in data.args["tiles"]:
        for part in (1, 2):
            folder = Path(data.args["dataset_root"]) / f"Tile {tile}"
            write_image(folder / "images" / f"image_part_00{part}.jpg", 3)
            write_label(folder / "masks" / f"image_part_00{part}.png", np.asarray(palette, np.uint8)[ids])


def write_folders(data, names, labels, bands, image_dir, mask_dir):
    """Tiles ``image_dir/NAME.tif`` and ``mask_dir/NAME.png`` below the data set's root."""
    root = Path(data.args["dataset_root"])
    for name in names:
        write_image(root / data.args.get("image_dir", image_dir) / f"{name}.tif", bands, np.uint8)
        write_label(root / data.args.get("mask_dir", mask_dir) / f"{name}.png", labels)


def write_miniature(data, spec):
    """A few images where the data set ``data`` (a component of the settings) looks for them."""
    ids = (np.arange(SIZE * SIZE).reshape(SIZE, SIZE) // 7 % spec.num_classes).astype(np.uint8)
    match data.type:
        case "DubaiDataset":
            write_dubai(data, ids, spec.palette)
        case "NAIC1Dataset" | "NAIC2Dataset":
            values = np.asarray(DATASETS.get(data.type).VALUES)
            values = values.astype(np.uint16 if values.max() > 255 else np.uint8)
            write_folders(data, range(5), values[ids], spec.in_channels, "train/image", "train/label")
        case "HangzhouDataset":  # the files hold 0 … C, 0 for unlabelled
            stored = data.args.get("stored", 20)
            write_listed(data, np.resize(np.arange(stored + 1), (SIZE, SIZE)), spec.in_channels, ".npy")
        case "EcologyDataset":
            write_folders(data, range(12), ids + 1, 4, "train", "train")
        case "LandCover9Dataset":
            numbers = [*range(3), *range(34000, 34003)]
            write_folders(data, numbers, ids, spec.in_channels, "images", "labels")
        case "Dataset":
            write_listed(data, ids, spec.in_channels)
        case _:
            pytest.fail(f"teach this test how to make a {data.type}")


def smaller(settings):
    """Overrides that shrink sizes and leave out weights to be fetched."""
    opts = ["batch_size=2", f"accumulate={min(settings.accumulate, 2)}"]
    for i, transform in enumerate(settings.train_dataset.args["transforms"]):
        for key, side in (("crop_size", SIZE // 2), ("target_size", SIZE)):
            if key in transform:
                size = side if isinstance(transform[key], int) else [side, side]
                opts.append(f"train_dataset.transforms.{i}.{key}={size}")
        if transform.get("side") == "short":
            opts += [f"train_dataset.transforms.{i}.{key}={SIZE}" for key in ("min_value", "max_value")]
    if settings.train_dataset.type in ("NAIC1Dataset", "NAIC2Dataset"):
        opts += ["train_dataset.val_images=2", "val_dataset.val_images=2"]
    if settings.model.args.get("pretrained"):
        opts.append("model.pretrained=null")
        if settings.model.args.get("freeze"):  # what is frozen is what is left out
            opts.append("model.freeze=False")
    if isinstance(settings.model.args.get("backbone"), dict) and settings.model.args["backbone"].get("pretrained"):
        opts.append("model.backbone.pretrained=null")
    return opts


def first_loss(settings) -> float:
    """Build everything that ``rsseg train --do_eval`` does, and take one step of it."""
    check_paths(settings, "train+val")
    parts = Parts.build(settings, distributed.setup("cpu"), load=True, say=lambda text: None)
    build_dataset(settings, "val")
    trainer = parts.trainer(settings, num_workers=0)
    trainer.iteration = 1
    with closing(trainer.batches):
        trainer.run_step()
    return trainer.losses["loss"]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_configuration_trains(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load_config(config)
    spec = inference_spec(settings)
    for data in (settings.train_dataset, settings.val_dataset):
        write_miniature(data, spec)
    loss = first_loss(training.resolve(config, smaller(settings)))
    # untrained, a K-class network is about as unsure as log K, and so is each auxiliary output, and each further view
    unsure = np.log(spec.num_classes)
    views = 2 if any("loss" in loss.args for loss in settings.loss.types) else 1
    assert unsure - 1.5 < loss < (unsure + 1.5) * sum(settings.loss.coef) * views
    assert not (tmp_path / "output").exists()


def test_there_are_configurations():
    assert len(CONFIGS) >= 5
