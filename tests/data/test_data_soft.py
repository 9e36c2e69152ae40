"""Soft labels: written from masks, read with the sample, moved in step with the label, batched; and their commands."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_rsseg.cli.main import main
from paddle_rsseg.data import soft
from paddle_rsseg.data import transforms as T
from paddle_rsseg.data.class_weights import FORMULAS, entropy
from paddle_rsseg.data.datasets import FolderDataset
from paddle_rsseg.data.loader import TrainSampler, make_train_loader
from paddle_rsseg.errors import RssegError

CLASSES = 6
#: SegHZ's 1505 images: pixels of its 7 classes
HANGZHOU = (19164394, 35874993, 125703059, 14617333, 321692, 42436325, 27161991)


def one_hot(label):
    return (label[..., None] == np.arange(CLASSES)).astype(np.float16)


def sample(height, width, holes=False):
    rng = np.random.default_rng([height, width])
    label = rng.integers(0, CLASSES, (height, width)).astype(np.uint8)
    valid = rng.random((height, width)) < 0.8 if holes else None
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return {"image": image, "label": label, "valid": valid, "fields": {"soft_label": one_hot(label)}, "name": "a"}


MOVES = st.lists(
    st.sampled_from(
        [
            {"type": "RandomHorizontalFlip", "prob": 1},
            {"type": "RandomVerticalFlip", "prob": 1},
            {"type": "RandomRotate90K"},
            {"type": "RandomPaddingCrop", "crop_size": [5, 8]},
            {"type": "Padding", "target_size": [80, 80]},
            {"type": "PaddingByAspectRatio", "aspect_ratio": 1},
            {"type": "RandomDistort", "hue_prob": 0},
            {"type": "SelectBands", "bands": [1, 2, 3]},
        ]
    ),
    max_size=5,
)


@given(MOVES, st.integers(1, 20), st.integers(1, 20), st.booleans(), st.integers(0, 1 << 30))
@settings(max_examples=100, deadline=None)
def test_targets_move_with_the_label(moves, height, width, holes, seed):
    before = sample(height, width, holes)
    before["fields"]["soft_label"].setflags(write=False)
    after = T.Compose(moves)(before, np.random.default_rng(seed))
    field = after["fields"]["soft_label"]
    assert field.dtype == np.float16
    np.testing.assert_array_equal(field, one_hot(after["label"]))  # padded pixels are of no class


@pytest.mark.parametrize(
    "transform",
    [
        {"type": "Resize", "target_size": [60, 90]},
        {"type": "Resize", "target_size": [60, 90], "interp": "NEAREST"},
        {"type": "ResizeByShort", "short_size": 70},
        {"type": "RandomScaleAspect"},
        {"type": "RandomRotation", "max_rotation": 30},
    ],
)
def test_targets_are_resampled_linearly_and_stay_near_the_label(transform):
    label = np.kron(np.arange(6).reshape(3, 2), np.ones((12, 20))).astype(np.uint8)
    before = {"image": np.zeros((36, 40, 3), np.uint8), "label": label, "valid": None, "name": "a"}
    before["fields"] = {"soft_label": one_hot(label)}
    after = T.Compose([transform])(before, np.random.default_rng(3))
    field, label = after["fields"]["soft_label"].astype(float), after["label"]
    assert field.shape == (*label.shape, CLASSES)
    inside = label != 255
    assert (field.argmax(-1) == label)[inside].mean() > 0.9
    np.testing.assert_allclose(field[inside].sum(-1), 1, atol=2e-3)
    assert not field[~inside].any()
    assert ((field > 0.01) & (field < 0.99)).any()  # between the classes


# --- files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for i in range(4):
        mask = np.kron(rng.integers(0, 3, (3, 4)), np.ones((8, 6))).astype(np.uint8)
        mask[:2] = 255
        cv2.imwrite(str(tmp_path / f"masks/{i}.png"), mask)
        cv2.imwrite(str(tmp_path / f"images/{i}.png"), rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    return tmp_path


def load(folder, mode="train", soft_dir="soft", **options):
    return FolderDataset(
        image_dir=str(folder / "images"), mask_dir=str(folder / "masks"), mode=mode, num_classes=3,
        soft_dir=soft_dir and str(folder / soft_dir), **options,
    )  # fmt: skip


def write(folder, workers=0, **options):
    return soft.write_soft_labels(load(folder, soft_dir=None), folder / "soft", num_workers=workers, **options)


def test_files_are_those_of_the_masks_and_reach_the_batch(folder):
    assert write(folder, workers=2, radius=2) == (4, 0)
    dataset = load(folder, transforms=[{"type": "RandomHorizontalFlip", "prob": 1}, {"type": "Normalize"}])
    assert dataset.fields == ("soft_label",)
    masks = [cv2.imread(str(folder / f"masks/{i}.png"), cv2.IMREAD_UNCHANGED) for i in range(4)]
    expected = np.stack([soft.edge_smooth_targets(mask, 3, radius=2)[..., ::-1] for mask in masks]).astype("float32")
    assert 0.1 < ((expected > 0) & (expected < 1)).any(1).mean() < 0.9
    for workers in (0, 2):
        loader = make_train_loader(dataset, TrainSampler(4, 4, shuffle=False), workers)
        batch = next(loader)
        loader.close()
        targets = batch["fields"]["soft_label"]
        assert str(targets.dtype).endswith("float32")
        np.testing.assert_array_equal(targets.numpy(), expected)
        counted = targets.numpy().sum(1)
        np.testing.assert_allclose(counted, batch["label"].numpy() != 255, atol=1e-3)


def test_only_training_reads_them(folder):
    dataset = load(folder, mode="val")  # there are none yet
    assert dataset.fields == ()
    assert "fields" not in dataset[0]


def test_windows_of_large_images(folder):
    write(folder, radius=1)
    whole = load(folder)[0]["fields"]["soft_label"]
    tiles = load(folder, tile=[16, 10])
    for index in range(6):  # 2 rows, 3 columns
        found, window = tiles[index], tiles.item(index).window
        inside = found["fields"]["soft_label"][: 24 - window.y0, : 24 - window.x0]
        np.testing.assert_array_equal(inside, whole[window.slices])
        assert found["fields"]["soft_label"].shape == (16, 10, 3)
        assert not found["fields"]["soft_label"][found["label"] == 255].any()
    crop = load(folder, train_crop=[7, 9])[0]
    assert crop["fields"]["soft_label"].shape == (7, 9, 3)
    assert ((crop["fields"]["soft_label"].sum(-1) > 0) == (crop["label"] != 255)).all()


def test_pixels_without_data_have_no_target(folder):
    write(folder)
    image = cv2.imread(str(folder / "images/0.png"))
    image[5:9, 3:7] = 0
    cv2.imwrite(str(folder / "images/0.png"), image)
    found = load(folder, nodata=0)[0]
    assert not found["fields"]["soft_label"][5:9, 3:7].any()
    assert found["fields"]["soft_label"][12].any()


def test_what_is_wrong_is_told(folder):
    with pytest.raises(RssegError, match=r"soft: No such file or directory; expected a folder"):
        load(folder)
    write(folder)
    (folder / "soft/2.npy").unlink()
    with pytest.raises(RssegError, match=r"no soft label for 1 of 4 masks, 2\.npy first.*rsseg soften"):
        load(folder)
    np.save(folder / "soft/2.npy", np.zeros((24, 24, 3), np.float16))  # the other way round
    with pytest.raises(RssegError, match=r"2\.npy: float16 of shape 24×24×3; .*3×24×24"):
        load(folder)[2]
    np.save(folder / "soft/2.npy", np.zeros((3, 24, 24), np.uint8))
    with pytest.raises(RssegError, match=r"2\.npy: uint8"):
        load(folder)[2]
    (folder / "soft/2.npy").write_bytes((folder / "soft/1.npy").read_bytes()[:1000])
    with pytest.raises(RssegError, match=r"2\.npy"):
        load(folder)[2]
    with pytest.raises(RssegError, match=r"is named as a/0\.png is"):
        soft.check_soft_files(folder / "soft", ["a/0.png", "b/0.png"])


def test_an_interrupted_run_goes_on_and_another_is_refused(folder, monkeypatch):
    assert write(folder) == (4, 0)
    first = {path.name: path.read_bytes() for path in (folder / "soft").iterdir()}
    for name in ("1.npy", "3.npy"):
        (folder / "soft" / name).unlink()
    assert write(folder) == (2, 2)
    assert {path.name: path.read_bytes() for path in (folder / "soft").iterdir()} == first
    with pytest.raises(RssegError, match=r"holds files made with.*'radius': 5.*'radius': 8"):
        write(folder, radius=8)
    (folder / "soft" / soft.MARKER).unlink()
    with pytest.raises(RssegError, match="unknown origin"):
        write(folder)

    # killed in the middle of a file: nothing of its name, and the temporary one is not taken for it
    (folder / "soft/0.npy").unlink()
    (folder / "soft" / soft.MARKER).write_bytes(first[soft.MARKER])
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(RssegError, match="cannot be written"):
        soft._soften((load(folder, soft_dir=None), folder / "soft", 5, 0.2), load(folder, soft_dir=None).scenes()[0])
    assert not (folder / "soft/0.npy").exists()


@pytest.mark.parametrize("arguments", [{"radius": 0}, {"alpha": 1.5}])
def test_values_out_of_range(folder, arguments):
    with pytest.raises(RssegError, match=next(iter(arguments))):
        write(folder, **arguments)
    assert not (folder / "soft").exists()


# --- commands --------------------------------------------------------------------------------------------------


def config(folder, **loss):
    data = {
        "type": "FolderDataset", "image_dir": str(folder / "images"), "mask_dir": str(folder / "masks"),
        "num_classes": 3, "transforms": [{"type": "Normalize"}],
    }  # fmt: skip
    path = folder / "config.yml"
    settings = {
        "iters": 2, "batch_size": 2, "train_dataset": data, "val_dataset": data,
        "model": {
            "type": "FarSeg", "backbone": "ResNet18", "fpn_out_channels": 8, "fsr_out_channels": 8,
            "decoder_out_channels": 8,
        },
        "loss": {"types": [loss or {"type": "CrossEntropyLoss"}], "coef": [1.0]},
        "optimizer": {"type": "SGD"}, "lr_scheduler": {"type": "Constant", "learning_rate": 0.1},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(settings))
    return str(path)


def test_soften_command(folder, capsys):
    assert main(["soften", config(folder)]) == 2
    assert "train_dataset.soft_dir: not given" in capsys.readouterr().err
    out = str(folder / "soft")
    command = ["soften", config(folder), "--num_workers", "0"]
    assert main([*command, "--out_dir", out, "--radius", "3", "--alpha", "0.1"]) == 0
    assert f"4 soft labels written, 0 were there already\nfor the training: --opts train_dataset.soft_dir={out}" in (
        capsys.readouterr().out
    )
    assert json.loads((folder / "soft/soft.json").read_text()) == {"radius": 3, "alpha": 0.1, "classes": 3}
    # the folder of the configuration, which need not exist before
    assert main([*command, "--opts", f"train_dataset.soft_dir={folder / 'other'}"]) == 0
    assert len(list((folder / "other").glob("*.npy"))) == 4
    assert main([*command, "--out_dir", out]) == 2
    assert "made with" in capsys.readouterr().err


def weights_of(out):
    lines = [line.split("  # ") for line in out.splitlines() if line.startswith("weight: ")]
    return {formula: yaml.safe_load(text)["weight"] for text, formula in lines}


def test_weights_of_the_specification(tmp_path, capsys):
    written = tmp_path / "weights.yml"
    command = ["stats", "--counts", *map(str, HANGZHOU), "--write_weights", str(written)]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "entropy 1.5087" in out
    weights = weights_of(out)
    assert list(weights) == list(FORMULAS)
    np.testing.assert_allclose(weights["enet"], [11.334, 6.930, 2.492, 13.809, 47.640, 6.043, 8.661], atol=6e-4)
    assert np.mean(weights["inverse_frequency"]) == pytest.approx(1, rel=1e-4)
    assert weights["median_frequency"][6] == 1.0
    assert max(weights["log_inverse"]) == 1.0
    assert yaml.safe_load(written.read_text()) == weights
    assert main([*command, "--lift", "0.1", "--below", "0.2"]) == 0
    lifted = weights_of(capsys.readouterr().out)["log_inverse"]
    np.testing.assert_allclose(np.subtract(lifted, weights["log_inverse"]), [0, 0, 0.1, 0, 0, 0, 0], atol=2e-5)


def test_weights_of_a_split_fit_a_loss(folder, capsys):
    masks = np.stack([cv2.imread(str(folder / f"masks/{i}.png"), cv2.IMREAD_UNCHANGED) for i in range(4)])
    counts = np.bincount(masks[masks != 255], minlength=3)
    assert main(["stats", config(folder), "--num_workers", "0"]) == 0
    out = capsys.readouterr().out
    assert f"entropy {entropy(counts):.4f}" in out
    for formula, weight in weights_of(out).items():
        np.testing.assert_allclose(weight, FORMULAS[formula](counts), rtol=1e-4)
    from paddle_rsseg.config import load_config

    load_config(config(folder, type="CrossEntropyLoss", weight=weight))


def test_a_loss_within_a_loss_learns_the_ignored_label(folder):
    from paddle_rsseg.config import load_config
    from paddle_rsseg.losses import build_loss

    opts = ["train_dataset.ignore_index=7", "val_dataset.ignore_index=7"]
    inner = {"type": "CrossEntropyLoss"}
    losses = build_loss(load_config(config(folder, type="MultiViewConsistencyLoss", loss=inner), opts).loss)
    assert {x.ignore_index for x in losses.sublayers() if hasattr(x, "ignore_index")} == {7}
    inner["ignore_index"] = 6
    with pytest.raises(RssegError, match=r"loss\.types\.0\.loss\.ignore_index: 6, but 7 in the data sets"):
        load_config(config(folder, type="MultiViewConsistencyLoss", loss=inner), opts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of them"),
        (["a.yml", "--counts", "1"], "one of them"),
        (["--counts", "1", "2", "--write", "a.yml"], "--write: no images"),
        (["--counts", "0", "0"], "not all 0"),
        (["--counts", "1", "-2"], "a number of pixels"),
    ],
)
def test_stats_refuses(arguments, message, capsys):
    assert main(["stats", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_training_without_the_files_is_refused_before_it_begins(folder):
    from paddle_rsseg.training.run import train

    path = config(folder, type="MixedLoss", losses=[{"type": "SoftTargetLoss"}], coef=[1.0])
    with pytest.raises(RssegError, match=r"loss\.types.*SoftTargetLoss asks for 'soft_label'.*soft_dir"):
        train(path, save_dir=folder / "run", device="cpu")
    write(folder)
    result = train(path, save_dir=folder / "run2", device="cpu", opts=[f"train_dataset.soft_dir={folder / 'soft'}"])
    assert result.iteration == 2
