"""The data sets of systems H (Hangzhou), C (land cover) and E (ecology), on miniatures in their files' forms."""

import cv2
import numpy as np
import pytest
import rasterio

from paddle_rsseg.data.datasets import EcologyDataset, HangzhouDataset, LandCover9Dataset
from paddle_rsseg.data.datasets.hangzhou import MERGINGS, merged
from paddle_rsseg.data.doctor import diagnose
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import DATASETS

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
NORMALIZE = {"type": "Normalize", "mean": [0.5], "std": [0.29]}


def rgb(path, seed=0, size=(16, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


# --- Hangzhou ------------------------------------------------------------------------------------------------------


def hangzhou(root, labels, names=("train", "val", "test"), **options):
    """One tile a list with the label ``labels``, an array that is saved as .npy."""
    for i, name in enumerate(names):
        rgb(root / f"images/{name}.png", i, labels.shape)
        (root / "labels").mkdir(exist_ok=True)
        np.save(root / f"labels/{name}.npy", labels)
        (root / f"{name}.txt").write_text(f"images/{name}.png labels/{name}.npy\n")
    lists = {f"{name}_path": str(root / f"{name}.txt") for name in names}
    return {"dataset_root": str(root), **lists, **options}


#: what each id 0 … 22 becomes, 1-based, 0: ignored; by hand from the rules
WORKED = {
    20: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 0, 0],
    14: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9, 9, 10, 11, 12, 13, 14, 0, 0],
    11: [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 8, 8, 8, 8, 8, 8, 9, 10, 5, 11, 0, 0],
    10: [0, 1, 0, 0, 2, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 9, 3, 10, 0, 0],
    7: [0, 1, 0, 0, 2, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 3, 7, 0, 0],
}


@pytest.mark.parametrize("merging", MERGINGS)
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_every_id_of_every_merging(tmp_path, merging, dtype):
    ids = np.arange(23).astype(dtype)[None]
    sample = HangzhouDataset(**hangzhou(tmp_path, ids), mode="train", merging=merging).sample(0)
    expected = [255 if k == 0 else k - 1 for k in WORKED[merging]]
    assert sample["label"].tolist() == [expected]


@pytest.mark.parametrize("merging", MERGINGS)
def test_hangzhou_names_and_colours_follow_the_merging(tmp_path, merging):
    dataset = HangzhouDataset(**hangzhou(tmp_path, np.ones((4, 4), np.uint8)), mode="val", merging=merging)
    assert dataset.num_classes == merging == len(dataset.classes) == len(set(dataset.palette))
    assert len(set(dataset.classes)) == merging
    assert dataset.classes[0] == "water"
    assert dataset.classes[-1] == "road"
    assert (dataset.palette[0], dataset.palette[-1]) == ((53, 60, 172), (248, 250, 13))


def test_hangzhous_seven_classes():
    assert merged(7) == [(1,), (4, 5), (6, 19), (7,), (8,), tuple(range(9, 19)), (20,)]
    assert HangzhouDataset.known("classes", {}) == (
        "water", "open area", "green land", "forest", "reflective glass", "buildings", "road",
    )  # fmt: skip
    assert HangzhouDataset.known("palette", {}) == (
        (53, 60, 172), (16, 120, 218), (12, 147, 209), (6, 160, 204), (220, 220, 220), (254, 195, 55), (248, 250, 13),
    )  # fmt: skip


def test_hangzhou_with_labels_merged_already_or_of_another_scheme(tmp_path):
    ids = np.arange(9, dtype=np.uint8)[None]
    options = hangzhou(tmp_path, ids)
    stored = HangzhouDataset(**options, mode="train", stored=7).sample(0)["label"]
    assert stored.tolist() == [[255, 0, 1, 2, 3, 4, 5, 6, 255]]
    bdci = np.array([[1, 2, 3, 4]], np.uint8)
    options = hangzhou(tmp_path / "bdci", bdci)
    given = HangzhouDataset(**options, mode="train", label_map={1: 2, 2: 6, 3: 5, 4: 0}).sample(0)["label"]
    assert given.tolist() == [[2, 6, 5, 0]]  # 1-based: 3 green, 7 road, 6 buildings, 1 water


def test_hangzhous_coarse_labels_are_stretched(tmp_path):
    label = np.array([[1, 6], [8, 20]], np.uint8)
    options = hangzhou(tmp_path, label)
    rgb(tmp_path / "images/train.png", 0, (6, 4))
    with pytest.raises(RssegError, match=r"train\.npy: 2×2 pixels.*6×4"):
        HangzhouDataset(**options, mode="train").sample(0)
    options["stretch_labels"] = True
    dataset = HangzhouDataset(**options, mode="train")
    expected = np.repeat(np.repeat([[0, 2], [4, 6]], 3, axis=0), 2, axis=1)
    assert np.array_equal(dataset.sample(0)["label"], expected)
    tiled = HangzhouDataset(**options, mode="train", tile=[4, 4])
    assert [tiled.sample(i)["label"].tolist() for i in range(2)] == [expected[:4].tolist(), expected[2:].tolist()]
    wide = HangzhouDataset(**options, mode="train", tile=[8, 8]).sample(0)["label"]
    assert np.array_equal(wide[:6, :4], expected)
    assert (wide[6:] == 255).all()


def test_hangzhou_says_what_is_wrong(tmp_path):
    options = hangzhou(tmp_path, np.array([[1, -2, 300, 300]], np.int32))
    with pytest.raises(RssegError, match=r"train\.npy: label value -2 \(1 pixels\)"):
        HangzhouDataset(**options, mode="train").sample(0)
    with pytest.raises(RssegError, match="merging: 8; expected one of 20, 14, 11, 10, 7"):
        HangzhouDataset(**options, mode="train", merging=8)
    with pytest.raises(RssegError, match="stored: 11 for merging: 7; expected 20, or 7"):
        HangzhouDataset(**options, mode="train", stored=11)


# --- ecology -------------------------------------------------------------------------------------------------------


def ecology(root, tiles=13, alpha=True):
    """Tiles of four bands and labels 1 … 10 in one folder; near infrared is 0 on the left half."""
    rng = np.random.default_rng(0)
    (root / "train").mkdir(parents=True)
    for i in range(tiles):
        pixels = rng.integers(1, 256, (4, 10, 10), dtype=np.uint8)
        pixels[3, :, :5] = 0
        profile = {"driver": "GTiff", "height": 10, "width": 10, "count": 4, "dtype": "uint8", "photometric": "RGB"}
        with rasterio.open(root / f"train/{i:06}.tif", "w", **profile, alpha="yes" if alpha else "no") as file:
            file.write(pixels)
        label = np.resize(np.arange(1, 11, dtype=np.uint8), (10, 10))
        cv2.imwrite(str(root / f"train/{i:06}.png"), label)
    return {"dataset_root": str(root)}


def stems(dataset):
    return [int(path[-10:-4]) for path, _ in dataset.pairs()]


def test_ecology_splits_the_sorted_names(tmp_path):
    options = ecology(tmp_path)
    train, val = (EcologyDataset(**options, mode=mode) for mode in ("train", "val"))
    assert stems(val) == [0, 6, 12]
    assert stems(train) == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert stems(EcologyDataset(**options, mode="train", train_on_val=True)) == list(range(13))
    assert stems(EcologyDataset(**options, mode="val", train_on_val=True)) == [0, 6, 12]
    assert stems(EcologyDataset(**options, mode="val", val_every=5)) == [0, 5, 10]
    assert EcologyDataset(**options, mode="test").paths(3)[1] is None
    with pytest.raises(RssegError, match="val_every: 1; expected 2 or more"):
        EcologyDataset(**options, mode="val", val_every=1)


@pytest.mark.parametrize("alpha", [True, False])
def test_ecologys_near_infrared_is_no_mask(tmp_path, alpha):
    options = ecology(tmp_path, 2, alpha)
    for bands, count in ((None, 4), ([1, 2, 3, 4], 4), ([1, 2, 3], 3), ([4, 1], 2)):
        chosen = {} if bands is None else {"bands": bands}
        dataset = EcologyDataset(**options, mode="train", **chosen)
        sample = dataset.sample(0)
        assert dataset.in_channels == sample["image"].shape[2] == count
        assert sample["valid"] is None
        assert np.array_equal(sample["label"], np.resize(np.arange(10), (10, 10)))
    assert (sample["image"][:, :5, 0] == 0).all()
    assert (sample["image"][..., 1] > 0).all()


def test_ecologys_labels_begin_at_one(tmp_path):
    options = ecology(tmp_path, 2)
    cv2.imwrite(str(tmp_path / "train/000001.png"), np.zeros((10, 10), np.uint8))
    with pytest.raises(RssegError, match=r"000001\.png: label value 0 \(100 pixels\)"):
        EcologyDataset(**options, mode="train").sample(0)


# --- land cover ----------------------------------------------------------------------------------------------------


def landcover(root, numbers=(9, 10, 700, 7000, 7001, 34999)):
    for i, number in enumerate(numbers):
        rgb(root / f"images/{number}.tif", i)
        (root / "labels").mkdir(exist_ok=True)
        cv2.imwrite(str(root / f"labels/{number}.png"), np.resize(np.arange(9, dtype=np.uint8), (16, 16)))
    return {"dataset_root": str(root)}


def test_landcover_splits_by_number(tmp_path):
    options = landcover(tmp_path)

    def numbers(**more):
        return [int(path.rpartition("/")[2][:-4]) for path, _ in LandCover9Dataset(**options, **more).pairs()]

    assert numbers(mode="val") == [9, 10, 700, 7000]
    assert numbers(mode="train") == [7001, 34999]
    assert numbers(mode="train", train_on_val=True) == numbers(mode="test") == [9, 10, 700, 7000, 7001, 34999]
    assert numbers(mode="train", last_val=10) == [700, 7000, 7001, 34999]
    assert LandCover9Dataset(**options, mode="val").sample(0)["label"].max() == 8
    with pytest.raises(RssegError, match="no images for mode 'val'"):
        LandCover9Dataset(**options, mode="val", last_val=1)
    rgb(tmp_path / "images/a1.tif")
    cv2.imwrite(str(tmp_path / "labels/a1.png"), np.zeros((16, 16), np.uint8))
    with pytest.raises(RssegError, match=r"a1\.tif: the name 'a1'; expected a number"):
        LandCover9Dataset(**options, mode="val")


# --- all of them ---------------------------------------------------------------------------------------------------


def made(name, root):
    if name == "HangzhouDataset":
        return hangzhou(root, np.resize(np.arange(21, dtype=np.uint8), (16, 16)))
    return (ecology if name == "EcologyDataset" else landcover)(root)


@pytest.mark.parametrize("name", ["HangzhouDataset", "EcologyDataset", "LandCover9Dataset"])
def test_the_doctor_finds_them_healthy(tmp_path, name):
    spec = {"type": name, **made(name, tmp_path), "transforms": [NORMALIZE]}
    parts = {mode: DATASETS.build({**spec, "mode": mode}) for mode in ("train", "val")}
    diagnosis = diagnose(parts, num_workers=1)
    assert diagnosis.healthy, diagnosis.findings
    assert min(diagnosis.classes["train"]) > 0
    if name == "HangzhouDataset":  # 0, 2 and 3 of 0 … 20
        assert diagnosis.ignored["train"] == pytest.approx(256 * 3 / 21, abs=3)
    else:
        assert diagnosis.findings == []
    assert parts["train"][(3, 0)]["image"].dtype == np.float32


@pytest.mark.parametrize("known", [HangzhouDataset, EcologyDataset, LandCover9Dataset])
def test_they_tell_their_facts(known):
    assert len(known.known("classes", {})) == len(known.known("palette", {}))
    assert known.LICENCE
    assert known.CITATION
    assert known.URL
