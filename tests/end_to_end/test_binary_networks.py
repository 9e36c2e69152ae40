"""One class against all others: a network of its own, trained, its probability mapped and put into a label map."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tiny_run import NORMALIZE, make_data, write_config

from paddle_rsseg.cli.main import main
from paddle_rsseg.config import build_dataset, load_config
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference import Predictor


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp("binary")
    make_data(root, train=4, val=1)
    data = {
        "type": "Dataset", "dataset_root": str(root), "classes": ["other", "bright"],
        "palette": [[0, 0, 0], [255, 255, 0]], "label_map": {0: 0, 1: 0, 2: 1}, "transforms": [NORMALIZE],
    }  # fmt: skip
    mixed = {"type": "MixedLoss", "losses": [{"type": "DiceLoss"}, {"type": "BinaryLovaszLoss"}], "coef": [0.5, 0.5]}
    return write_config(
        root, iters=12, model={"type": "EncoderUNet", "backbone": "ResNet18", "channels": [16, 16, 8, 8, 8]},
        train_dataset={**data, "mode": "train", "train_path": str(root / "train.txt")},
        val_dataset={**data, "mode": "val", "val_path": str(root / "val.txt")},
        loss={"types": [mixed], "coef": [1]},
    )  # fmt: skip


def test_the_labels_are_this_class_or_not(config):
    dataset = build_dataset(load_config(config), "val")
    original = cv2.imread(str(config.parent / "ann" / "val0.png"), cv2.IMREAD_UNCHANGED)
    expected = np.where(original == 255, 255, original == 2)
    np.testing.assert_array_equal(dataset.label(0).read(), expected)


def test_trained_mapped_and_put_in(config, tmp_path):
    weights = tmp_path / "run"
    assert main(["train", "--config", str(config), "--save_dir", str(weights), "--device", "cpu", "--no-reexec"]) == 0
    model = next(path for path in (weights / "best_model", *sorted(weights.glob("iter_*"))) if path.is_dir())
    image = config.parent / "img" / "val0.png"
    command = ["predict", "--model_path", str(model), "--image_path", str(image), "--backend", "dynamic", "--no-reexec"]
    assert main([*command, "--save_dir", str(tmp_path / "bright"), "--probability", "1"]) == 0
    assert main([*command, "--save_dir", str(tmp_path / "bright"), "--probability", "2"]) == 2
    assert [path.name for path in (tmp_path / "bright").glob("[!.]*")] == ["val0_probability.tif"]
    share = Predictor(model, backend="dynamic").predict(image, probabilities=True).probabilities[1]

    everything = np.ones_like(share, np.uint8)
    cv2.imwrite(str(tmp_path / "val0_label.png"), everything)
    threshold = float(np.median(share))
    arguments = ["--map", f"2={tmp_path / 'bright'}", "--threshold", str(threshold), "--save_dir", str(tmp_path / "x")]
    assert main(["combine", str(tmp_path / "val0_label.png"), *arguments]) == 0
    combined = cv2.imread(str(tmp_path / "x" / "val0_label.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(combined, np.where(share >= threshold, 2, 1))
    assert set(np.unique(combined)) == {1, 2}


def test_a_network_of_one_class_is_refused(config):
    with pytest.raises(RssegError, match=r"model\.num_classes.*1 class.*two: give the data sets label_map"):
        load_config(
            config,
            [
                f"{part}_dataset.{name}"
                for part in ("train", "val")
                for name in ("num_classes=1", "classes=[bright]", "palette=[[0, 0, 0]]")
            ],
        )
