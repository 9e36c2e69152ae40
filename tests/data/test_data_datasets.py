"""Data sets: pairing, label decoding, bands, nodata, windows; the real sets where they are present."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio

from paddle_rsseg.data.datasets import Dataset, DubaiDataset, FolderDataset, ISAIDDataset, NAIC1Dataset, NAIC2Dataset
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import DATASETS
from paddle_rsseg.windows import Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real images are not here")


def write(path, array, **profile):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = array.shape
    profile = {"driver": "GTiff", "photometric": "minisblack", **profile}
    with rasterio.open(path, "w", height=height, width=width, count=count, dtype=array.dtype, **profile) as file:
        file.write(array.transpose(2, 0, 1))
    return str(path)


def random_image(seed=0, size=(40, 50), bands=3, dtype="uint8"):
    return np.random.default_rng(seed).integers(0, 200, (*size, bands)).astype(dtype)


def one(tmp_path, image, label, name="a", **options):
    """A data set of one pair; options beginning with 'image_' or 'label_file_' go to the files."""
    write(tmp_path / f"i/{name}.tif", image, **options.pop("image_file", {}))
    write(tmp_path / f"m/{name}.tif", label if label.ndim == 3 else label[..., None], **options.pop("label_file", {}))
    options = {"mode": "train", "num_classes": 3, **options}
    return FolderDataset(image_dir=str(tmp_path / "i"), mask_dir=str(tmp_path / "m"), **options)


def test_list_files_as_paddleseg_writes_them(tmp_path):
    image, label = random_image(), random_image(1)[..., 0] % 3
    write(tmp_path / "root/images/a b.tif", image)
    write(tmp_path / "root/labels/a.tif", label[..., None])
    (tmp_path / "train.txt").write_text("images/a b.tif,labels/a.tif\n\n", encoding="utf-8-sig")
    (tmp_path / "test.txt").write_text("images/a b.tif\n")
    spec = {
        "type": "Dataset", "dataset_root": str(tmp_path / "root"), "num_classes": 3, "separator": ",",
        "train_path": str(tmp_path / "train.txt"), "test_path": str(tmp_path / "test.txt"), "img_channels": 3,
    }  # fmt: skip
    dataset = DATASETS.build({**spec, "mode": "train", "transforms": [{"type": "Normalize"}]}, seed=1)
    assert len(dataset) == 1
    sample = dataset.sample(0)
    assert np.array_equal(sample["image"], image)
    assert np.array_equal(sample["label"], label)
    assert sample["valid"] is None
    assert sample["name"] == dataset.paths(0)[0]
    assert dataset[0]["image"].dtype == np.float32
    test = DATASETS.build({**spec, "mode": "test"})
    assert test.paths(0)[1] is None
    assert "label" not in test.sample(0)
    with pytest.raises(RssegError, match="val_path: missing"):
        DATASETS.build({**spec, "mode": "val"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png\n", r"list\.txt:1: 'a\.png'; expected image label"),
        ("\n \n", r"list\.txt: empty; expected a line 'image label'"),
        ("x.png y.png\na b.png c.png\n", r"list\.txt:2: .*separator"),
    ],
)
def test_bad_lines_are_named(tmp_path, text, message):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(RssegError, match=message):
        Dataset(dataset_root=str(tmp_path), train_path=str(tmp_path / "list.txt"), num_classes=2, mode="train")


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(RssegError, match="no such directory"):
        Dataset(dataset_root=str(tmp_path / "x"), train_path="t", num_classes=2, mode="train")
    with pytest.raises(RssegError, match=r"gone\.txt: No such file"):
        Dataset(dataset_root=str(tmp_path), train_path=str(tmp_path / "gone.txt"), num_classes=2, mode="train")
    image, label = random_image(), np.zeros((40, 50), np.uint8)
    for options, message in (
        ({"num_classes": None}, "num_classes"),
        ({"classes": ["a", "b"]}, "2 names"),
        ({"palette": [[0, 0, 0]]}, "1 colours"),
        ({"palette": [[0, 0, 0], [1, 1, 1], [2, 2, 256]]}, "each 0 to 255"),
        ({"label_colors": [[0, 0, 0], [1, 1, 1], [1, 1, 1]]}, "occurs twice"),
        ({"label_map": {1: 3}}, "class 3"),
        ({"tile": [3]}, "height, width"),
        ({"mode": "training"}, "train, val or test"),
        ({"bands": [1, 2], "img_channels": 3}, "beside 2 bands"),
        ({"bands": []}, "bands: .*numbers from 1"),
        ({"bands": [0, 1]}, "bands: .*numbers from 1"),
    ):
        with pytest.raises(RssegError, match=message):
            one(tmp_path, image, label, **options)


def test_folders_with_suffixes_in_one_place(tmp_path):
    for name in ("b", "a"):
        write(tmp_path / f"{name}_sat.tif", random_image())
        write(tmp_path / f"{name}_mask.tif", np.zeros((40, 50, 1), np.uint8))
    options = {"mode": "train", "num_classes": 2, "image_dir": str(tmp_path), "mask_dir": str(tmp_path)}
    dataset = FolderDataset(**options, image_suffix="_sat.tif", mask_suffix="_mask.tif")
    assert [Path(dataset.paths(i)[0]).name for i in range(2)] == ["a_sat.tif", "b_sat.tif"]
    assert dataset.paths(0)[1].endswith("a_mask.tif")
    by_mask = FolderDataset(**{**options, "image_dir": str(tmp_path)}, image_suffix="_sat.tif", mask_suffix="_mask.tif")
    assert len(by_mask) == 2
    (tmp_path / "a_mask.tif").unlink()
    with pytest.raises(RssegError, match="no mask for 1 of 2 images, 'a' first"):
        FolderDataset(**options, image_suffix="_sat.tif", mask_suffix="_mask.tif")


def test_label_values_are_checked_and_renamed(tmp_path):
    raw = np.array([[0, 1, 2], [5, 255, 0]], np.uint8)
    image = random_image(size=(2, 3))
    with pytest.raises(RssegError, match=r"a\.tif: label value 5 \(1 pixels\)"):
        one(tmp_path, image, raw).sample(0)
    renamed = one(tmp_path, image, raw, label_map={1: 0, 2: 1, 5: 2}, label_nodata=0).sample(0)["label"]
    assert renamed.tolist() == [[255, 0, 1], [2, 255, 255]]
    wide = np.array([[0, 1000, -9999]], np.int16)
    options = {"label_map": {0: 1, 1000: 2}, "label_nodata": -9999}
    assert one(tmp_path, random_image(size=(1, 3)), wide, **options).sample(0)["label"].tolist() == [[1, 2, 255]]
    other = one(tmp_path, image, np.array([[0, 1, 2], [0, 0, 0]], np.uint8), num_classes=3, ignore_index=0)
    assert other.sample(0)["label"].tolist() == [[0, 1, 2], [0, 0, 0]]


COLOURS = [[10, 0, 0], [0, 20, 0], [0, 0, 30]]


def test_colour_masks_by_exact_match(tmp_path):
    label = np.random.default_rng(0).integers(0, 3, (40, 50))
    mask = np.array(COLOURS, np.uint8)[label]
    mask[0, :4], mask[1, 0] = (9, 0, 0), (1, 2, 3)
    options = {"label_colors": COLOURS, "ignore_colors": [[1, 2, 3]]}
    dataset = one(tmp_path, random_image(), mask, **options)
    with pytest.warns(UserWarning, match=r"4 pixels of 1 unknown colours \(#090000: 4\)"):
        seen = dataset.sample(0)["label"]
    assert (seen[0, :4] == 255).all()
    assert seen[1, 0] == 255
    assert np.array_equal(seen[2:], label[2:])
    assert dataset.label(0).decode()[1] == {"#090000": 4}
    # a palette given for pictures also decodes three-band masks
    with pytest.warns(UserWarning, match="unknown colours"):
        assert np.array_equal(one(tmp_path, random_image(), mask, palette=COLOURS).sample(0)["label"][2:], label[2:])
    with pytest.raises(RssegError, match="label_colors"):
        one(tmp_path, random_image(), mask).sample(0)


def test_palette_files_by_colour_or_by_number(tmp_path):
    order = np.array([2, 0, 1], np.uint8)  # the file's numbers are not the class numbers
    label = np.random.default_rng(0).integers(0, 3, (40, 50))
    write(tmp_path / "i/a.tif", random_image())
    (tmp_path / "m").mkdir()
    with rasterio.open(tmp_path / "m/a.tif", "w", driver="GTiff", height=40, width=50, count=1, dtype="uint8") as file:
        file.write(order[label], 1)
        file.write_colormap(1, {int(order[k]): tuple(COLOURS[k]) for k in range(3)})
    options = {"image_dir": str(tmp_path / "i"), "mask_dir": str(tmp_path / "m"), "num_classes": 3, "mode": "train"}
    assert np.array_equal(FolderDataset(**options, label_colors=COLOURS).sample(0)["label"], label)
    assert np.array_equal(FolderDataset(**options).sample(0)["label"], order[label])


def test_bands_nodata_and_grey_pictures(tmp_path):
    image = random_image(bands=6, dtype="int16")
    image[:5] = -9999
    image[5, :, 1] = -9999
    dataset = one(tmp_path, image, np.ones((40, 50), np.uint8), bands=[5, 2], nodata=-9999)
    sample = dataset.sample(0)
    assert dataset.in_channels == 2
    assert np.array_equal(sample["image"], image[..., [4, 1]])
    assert not sample["valid"][:5].any()
    assert sample["valid"][5:].all()
    assert (sample["label"][:5] == 255).all()
    assert (sample["label"][5:] == 1).all()
    grey = one(tmp_path / "g", random_image(bands=1), np.ones((40, 50), np.uint8), img_channels=3)
    assert np.array_equal(grey.sample(0)["image"], np.repeat(random_image(bands=1), 3, axis=2))
    with pytest.raises(RssegError, match=r"4 bands.*bands: \[\.\.\.\]"):
        one(tmp_path / "f", random_image(bands=4), np.ones((40, 50), np.uint8), img_channels=3).sample(0)


def test_sizes_must_agree(tmp_path):
    with pytest.raises(RssegError, match=r"a\.tif: 40×49 pixels.*40×50"):
        one(tmp_path, random_image(), np.ones((40, 49), np.uint8)).sample(0)


def test_tiles_cover_and_pad(tmp_path):
    image, label = random_image(), np.random.default_rng(2).integers(0, 3, (40, 50), dtype=np.uint8)
    dataset = one(tmp_path, image, label, tile=[64, 32], tile_stride=[64, 16])
    padded = np.zeros((64, 50, 3), np.uint8)
    padded[:40] = image
    labels = np.full((64, 50), 255, np.uint8)
    labels[:40] = label
    starts = [0, 16, 18]
    assert len(dataset) == len(starts)
    for i, x in enumerate(starts):
        sample = dataset.sample(i)
        assert np.array_equal(sample["image"], padded[:, x : x + 32])
        assert np.array_equal(sample["label"], labels[:, x : x + 32])
        view = dataset.image(i)
        part = Window(30, 60, 3, 20)
        assert np.array_equal(view.read(part, [2]), padded[part.y0 : part.y1, x + 3 : x + 20, 1:2])
        assert (dataset.label(i).read(Window(40, 64, 0, 32)) == 255).all()
    assert len(dataset.scenes()) == 1


def test_training_crops_are_read_by_window(tmp_path):
    image = random_image(size=(300, 200), bands=4, dtype="uint16")
    label = np.random.default_rng(2).integers(0, 3, (300, 200), dtype=np.uint8)
    dataset = one(tmp_path, image, label, train_crop=[64, 48], repeat=5, seed=3)
    assert len(dataset) == 5
    corners = set()
    for i in range(5):
        sample = dataset[(0, i)]
        assert sample["image"].shape == (64, 48, 4)
        at = np.argwhere((image == sample["image"][0, 0]).all(axis=2))
        found = [(y, x) for y, x in at if np.array_equal(image[y : y + 64, x : x + 48], sample["image"])]
        assert len(found) == 1
        y, x = found[0]
        assert np.array_equal(sample["label"], label[y : y + 64, x : x + 48])
        corners.add((int(y), int(x)))
        assert np.array_equal(dataset[(0, i)]["image"], sample["image"])
    assert len(corners) == 5
    assert dataset.sample(0)["image"].shape == (300, 200, 4)
    with pytest.raises(IndexError):
        dataset.sample(5)


def test_data_sets_travel_to_workers(tmp_path):
    dataset = one(tmp_path, random_image(), np.ones((40, 50), np.uint8), tile=[20, 20])
    before = dataset.sample(1)
    assert np.array_equal(pickle.loads(pickle.dumps(dataset)).sample(1)["image"], before["image"])


def test_isaid_forms(tmp_path):
    root = tmp_path / "iSAID"
    for folder, names in (("img_dir/val", ["P0003_0_896_0_896"]), ("valid_dir/images", ["P0003"])):
        for name in names:
            write(root / folder / f"{name}.tif", random_image())
            label = folder.replace("img_dir", "ann_dir").replace("images", "labels")
            write(root / label / f"{name}_instance_color_RGB.tif", np.full((40, 50, 1), 15, np.uint8))
    (root / "val_list.txt").write_text(
        "img_dir/val/P0003_0_896_0_896.tif ann_dir/val/P0003_0_896_0_896_instance_color_RGB.tif\n"
    )
    (root / "valid_dir/val_list.txt").write_text("images/P0003.tif labels/P0003_instance_color_RGB.tif\n")
    for options in ({}, {"full": True}):
        dataset = ISAIDDataset(dataset_root=str(root), mode="val", **options)
        assert dataset.num_classes == 16
        assert (dataset.sample(0)["label"] == 15).all()
    with pytest.raises(RssegError, match="full and virtual"):
        ISAIDDataset(dataset_root=str(root), mode="val", full=True, virtual=True)


def test_every_data_set_tells_its_facts():
    for name in DATASETS.names():
        doc = DATASETS.get(name).__doc__.lower()
        for word in ("licence", "citation" if "by the" not in doc else "by the", "classes"):
            assert word in doc, f"{name}: {word}"
    for known in (DubaiDataset, ISAIDDataset):
        assert len(known.CLASSES) == len(known.PALETTE)
        assert known.LICENCE
        assert known.CITATION
        assert known.URL


SHARES = {  # the README's table, percent
    1: (5.3, 62.4, 12.8, 4.7, 14.0, 0.9), 2: (12.3, 59.7, 12.7, 5.8, 7.3, 2.3), 3: (3.0, 46.1, 7.4, 4.3, 36.6, 2.6),
    4: (40.3, 28.9, 13.2, 6.7, 10.9, 0.0), 5: (1.9, 38.1, 4.3, 2.9, 52.4, 0.2), 6: (1.8, 25.0, 0.8, 32.4, 39.8, 0.3),
}  # fmt: skip


@needs_shared
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("tile", SHARES)
def test_dubai(tile):
    dataset = DubaiDataset(dataset_root=str(SHARED / "dubai"), mode="val", tiles=[tile])
    assert len(dataset) == 9
    counts = sum(np.bincount(dataset.label(i).read().ravel(), minlength=256) for i in range(9))
    shares = 100 * counts / counts.sum()
    assert np.abs(shares[[0, 1, 2, 3, 4, 255]] - SHARES[tile]).max() < 0.11  # black pixels count as unlabeled
    assert shares[5:255].sum() == 0
    if tile == 2:
        path = dataset.paths(0)[0]
        seen, expected = dataset.sample(0)["image"], cv2.imread(path)[..., ::-1]
        assert np.abs(seen.astype(int) - expected).max() <= 3  # two JPEG decoders


@needs_shared
def test_landsat_label_rasters(tmp_path):
    elkton, landsat = SHARED / "geotiff/landsat8_elkton", SHARED / "geotiff/landsat7_p022r049"
    (tmp_path / "list.txt").write_text(f"{elkton}/l8_elkton_10band_uint16.tif {elkton}/L8-Labels-Elkton-VA.tiff\n")
    options = {"dataset_root": "/", "train_path": str(tmp_path / "list.txt"), "mode": "train"}
    sample = Dataset(**options, num_classes=3).sample(0)
    assert sample["image"].shape == (169, 186, 10)
    assert [int((sample["label"] == k).sum()) for k in range(3)] == [419, 1108, 99]
    (tmp_path / "list.txt").write_text(f"{landsat}/LE70220491999322EDC01_stack.tif {landsat}/training_data.tif\n")
    dataset = Dataset(**options, num_classes=5, label_map={k + 1: k for k in range(5)}, label_nodata=0, bands=[1, 2, 3])
    label = dataset.sample(0)["label"]
    assert [int((label == k).sum()) for k in range(5)] == [383, 16, 145, 106, 68]
    assert int((label == 255).sum()) == 250 * 250 - 718


def naic(root, dataset, tiles=10):
    """Tiles whose labels hold every value of the stage; the arguments of the data set."""
    for i in range(tiles):
        write(root / f"train/image/{i}.tif", random_image(i, (8, 8)))
        label = np.resize(dataset.VALUES, (8, 8, 1)).astype("uint16" if max(dataset.VALUES) > 255 else "uint8")
        write(root / f"train/label/{i}.png", label, driver="PNG")
    return {"dataset_root": str(root), "val_images": 3}


@pytest.mark.parametrize(("stage", "classes"), [(NAIC1Dataset, 8), (NAIC2Dataset, 15)])
def test_naic_numbers_its_label_values(tmp_path, stage, classes):
    dataset = stage(**naic(tmp_path, stage), mode="train")
    assert dataset.num_classes == classes == len(dataset.palette) == len(stage.VALUES)
    assert np.array_equal(dataset.sample(0)["label"].ravel(), np.resize(np.arange(classes), 64))


def test_naic_holds_out_the_same_tiles_every_time(tmp_path):
    options = naic(tmp_path, NAIC2Dataset)
    train, val = (NAIC2Dataset(**options, mode=mode) for mode in ("train", "val"))
    assert (len(train), len(val)) == (7, 3)
    held_out = {path for path, _ in val.pairs()}
    assert held_out.isdisjoint(path for path, _ in train.pairs())
    assert held_out == {path for path, _ in NAIC2Dataset(**options, mode="val").pairs()}
    assert held_out != {path for path, _ in NAIC2Dataset(**{**options, "split_seed": 1}, mode="val").pairs()}
    with pytest.raises(RssegError, match="val_images"):
        NAIC2Dataset(**{**options, "val_images": 10}, mode="train")


def test_naic_refuses_the_other_stages_labels(tmp_path):
    options = naic(tmp_path, NAIC1Dataset)
    with pytest.raises(RssegError, match="100"):
        NAIC2Dataset(**options, mode="train").sample(0)
