"""Statistics against the naive formula; each trouble, made on purpose, is found with its file; sound data are sound."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from paddle_rsseg.cli.main import main
from paddle_rsseg.data import statistics
from paddle_rsseg.data.class_weights import median_frequency
from paddle_rsseg.data.datasets import Dataset, FolderDataset
from paddle_rsseg.data.doctor import diagnose
from paddle_rsseg.data.statistics import BandStatistics, compute_statistics
from paddle_rsseg.errors import RssegError

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def write(path, array, **profile):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = array if array.ndim == 3 else array[..., None]
    height, width, count = array.shape
    profile = {"driver": "GTiff", "photometric": "minisblack", **profile}
    with rasterio.open(path, "w", height=height, width=width, count=count, dtype=array.dtype, **profile) as file:
        file.write(array.transpose(2, 0, 1))


def place(x, y):
    return {"crs": "EPSG:32617", "transform": rasterio.Affine(10, 0, 500000 + x, 0, -10, 4200000 - y)}


def make(root, split, count=4, bands=3, dtype="uint8", **profile):
    rng = np.random.default_rng(len(split))
    for i in range(count):
        image = rng.normal(100, 25, (40, 50, bands)).clip(1, 255).astype(dtype)
        label = rng.integers(0, 3, (40, 50), dtype=np.uint8)
        write(root / split / "i" / f"{i}.tif", image, **profile)
        write(root / split / "m" / f"{i}.tif", label, **profile)


NORMALIZE = [{"type": "Normalize", "mean": [100], "std": [25], "scale": 1}]


def load(root, split, **options):
    options = {"num_classes": 3, "transforms": NORMALIZE, **options}
    return FolderDataset(image_dir=str(root / split / "i"), mask_dir=str(root / split / "m"), mode=split, **options)


def examine(root, **options):
    return diagnose({split: load(root, split, **options) for split in ("train", "val")}, num_workers=0)


@pytest.fixture
def sound(tmp_path):
    make(tmp_path, "train")
    make(tmp_path, "val", 2)
    return tmp_path


def test_a_negative_number_of_processes_is_refused(sound):
    with pytest.raises(RssegError, match="--num_workers: -2"):
        diagnose({"train": load(sound, "train")}, num_workers=-2)


def only(diagnosis, code, severity):
    """The single finding; nothing else may be reported beside it."""
    assert [f.code for f in diagnosis.findings] == [code]
    assert diagnosis.findings[0].severity == severity
    assert diagnosis.findings[0].fix
    return diagnosis.findings[0]


# --- statistics ------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 1 << 30))
def test_parts_merge_to_the_whole(sizes, seed):
    rng = np.random.default_rng(seed)
    parts = [rng.normal(1e6, 3, (n, 2)) for n in sizes]
    merged = sum((BandStatistics.of(p) for p in parts[1:]), BandStatistics.of(parts[0]))
    whole = np.concatenate(parts)
    assert merged.count == len(whole)
    if len(whole):
        assert np.allclose(merged.mean, whole.mean(0), rtol=1e-12)
        assert np.allclose(merged.std, whole.std(0), rtol=1e-6, atol=1e-8)
        assert np.array_equal(merged.minimum, whole.min(0))
        assert np.array_equal(merged.maximum, whole.max(0))


@pytest.mark.parametrize("workers", [0, 2])
def test_statistics_of_a_data_set(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(statistics, "CHUNK_PIXELS", 300)  # several chunks an image
    make(tmp_path, "train", bands=4, dtype="uint16")
    image = np.random.default_rng(9).integers(1, 60000, (40, 50, 4), dtype=np.uint16)
    image[:10] = 0
    write(tmp_path / "train/i/9.tif", image, nodata=0)
    write(tmp_path / "train/m/9.tif", np.full((40, 50), 2, np.uint8))
    dataset = load(tmp_path, "train", bands=[4, 2])
    result = compute_statistics(dataset, workers)
    samples = [dataset.sample(i) for i in range(len(dataset))]
    pixels = np.concatenate(
        [s["image"].reshape(-1, 2) if s["valid"] is None else s["image"][s["valid"]] for s in samples]
    ).astype(float)
    assert result.bands.count == len(pixels) == 5 * 2000 - 500
    assert np.allclose(result.bands.mean, pixels.mean(0), rtol=1e-12)
    assert np.allclose(result.bands.std, pixels.std(0), rtol=1e-12)
    assert result.valid_share == pytest.approx(0.95)
    labels = np.concatenate([s["label"].ravel() for s in samples])
    assert result.class_pixels.tolist() == [int((labels == k).sum()) for k in range(3)]
    assert result.ignored == 500
    share = result.class_pixels / result.class_pixels.sum()
    assert np.allclose(median_frequency(result.class_pixels), np.median(share) / share)


# --- doctor ----------------------------------------------------------------------------------------------------


def test_sound_data_are_sound(sound):
    diagnosis = examine(sound)
    assert diagnosis.findings == []
    assert diagnosis.healthy
    assert diagnosis.images == {"train": 4, "val": 2}
    assert sum(diagnosis.classes["train"]) == 4 * 2000


def test_unreadable_files(sound):
    path = sound / "train/i/1.tif"
    path.write_bytes(path.read_bytes()[:3000])
    label = sound / "val/m/0.tif"
    label.unlink()
    (sound / "list.txt").write_text("i/0.tif m/0.tif\ni/1.tif m/1.tif\n")
    val = Dataset(
        dataset_root=str(sound / "val"), val_path=str(sound / "list.txt"), num_classes=3, mode="val",
        transforms=NORMALIZE,
    )  # fmt: skip
    found = diagnose({"train": load(sound, "train"), "val": val}, num_workers=2).findings
    assert [(f.code, f.severity, f.split) for f in found] == [
        ("unreadable", "error", "train"),
        ("unreadable", "error", "val"),
    ]
    assert "train/i/1.tif" in found[0].where[0]
    assert "val/m/0.tif: no such file" in found[1].where[0]


def test_label_values(sound):
    label = np.zeros((40, 50), np.uint8)
    label[0, :7], label[1, 0] = 9, 77
    write(sound / "train/m/2.tif", label)
    finding = only(examine(sound), "label values", "error")
    assert finding.where == [f"{sound}/train/m/2.tif: 9 (7), 77 (1)"]
    assert "label_map" in finding.fix


def test_label_colours(sound):
    colours = np.array([[0, 0, 0], [9, 9, 9], [200, 0, 0]], np.uint8)
    for split in ("train", "val"):
        for path in (sound / split / "m").iterdir():
            with rasterio.open(path) as file:
                label = file.read(1)
            write(path, colours[label])
    dirty = colours[np.random.default_rng(0).integers(0, 3, (40, 50))]
    dirty[0, :5] = 77
    write(sound / "val/m/1.tif", dirty)
    finding = only(examine(sound, label_colors=colours.tolist()), "label colours", "warning")
    assert finding.where == [f"{sound}/val/m/1.tif: #4D4D4D (5)"]


def test_sizes_and_places(sound):
    write(sound / "train/m/0.tif", np.ones((40, 49), np.uint8))
    assert "40×50, label 40×49" in only(examine(sound), "size", "error").where[0]
    make(sound, "train", 1, **place(0, 0))
    write(sound / "train/m/0.tif", np.ones((40, 50), np.uint8), **place(30, 0))
    assert only(examine(sound), "georeference", "error").where == [f"{sound}/train/i/0.tif"]


def test_bands_types_and_alpha(sound):
    rng = np.random.default_rng(0)
    write(sound / "train/i/0.tif", rng.normal(100, 25, (40, 50, 5)).astype(np.uint8))
    assert only(examine(sound), "bands", "error").where == [f"{sound}/train/i/0.tif: 5"]
    write(sound / "train/i/0.tif", rng.normal(100, 25, (40, 50, 3)).astype(np.uint16))
    assert only(examine(sound), "dtype", "warning").where == [f"{sound}/train/i/0.tif: uint16"]
    scaled = [{"type": "Normalize", "mean": [100 / 255], "std": [25 / 255]}]
    assert only(examine(sound, transforms=scaled), "dtype", "error").where == [f"{sound}/train/i/0.tif: uint16"]
    # what GDAL writes for four 8-bit bands if nobody says otherwise
    write(sound / "train/i/0.tif", rng.integers(60, 140, (40, 50, 4), dtype=np.uint8), photometric="rgb", alpha="yes")
    finding = only(examine(sound), "alpha", "warning")
    assert finding.where == [f"{sound}/train/i/0.tif: band 4"]
    assert "bands: [1, 2, 3, 4]" in finding.fix


def test_empty_images_and_labels(sound):
    write(sound / "train/i/0.tif", np.full((40, 50, 3), 80, np.uint8))
    write(sound / "train/i/1.tif", np.zeros((40, 50, 3), np.uint8), nodata=0)
    write(sound / "train/m/2.tif", np.full((40, 50), 255, np.uint8))
    found = {f.code: f for f in examine(sound).findings}
    assert found["constant"].where == [f"{sound}/train/i/0.tif", f"{sound}/train/i/1.tif"]
    assert found["all ignored"].where == [f"{sound}/train/m/1.tif", f"{sound}/train/m/2.tif"]
    assert set(found) == {"constant", "all ignored"}
    assert all(f.severity == "warning" for f in found.values())


def test_label_nodata_that_is_a_class(sound):
    label = np.random.default_rng(0).integers(0, 3, (40, 50), dtype=np.uint8)
    write(sound / "train/m/3.tif", label, nodata=0)
    assert only(examine(sound), "label nodata", "warning").where == [f"{sound}/train/m/3.tif: 0"]
    assert examine(sound, label_nodata=0).healthy


def test_absent_classes(sound):
    for path in (sound / "train/m").iterdir():
        write(path, np.random.default_rng(0).integers(0, 2, (40, 50), dtype=np.uint8))
    found = {f.code: f for f in examine(sound, classes=["a", "b", "c"]).findings}
    assert found["absent classes"].where == ["2 c"]
    assert found["untrained classes"].severity == "error"
    assert found["untrained classes"].where == ["2 c"]
    for path in (sound / "train/m").iterdir():
        write(path, np.full((40, 50), 255, np.uint8))
    assert {f.code for f in examine(sound).findings} == {"no labels", "all ignored", "untrained classes"}


def test_duplicates(sound):
    with rasterio.open(sound / "train/i/0.tif") as file:
        image = file.read().transpose(1, 2, 0)
    write(sound / "train/i/3.tif", image, compress="deflate")  # other bytes, the same pixels
    finding = only(examine(sound), "duplicates", "warning")
    assert finding.where == [f"{sound}/train/i/0.tif = {sound}/train/i/3.tif"]
    write(sound / "val/i/1.tif", image)
    found = {f.code: f for f in examine(sound).findings}
    assert found["train in val"].severity == "error"
    assert found["train in val"].where[0].startswith(f"{sound}/val/i/1.tif = ")


def test_shared_ground(tmp_path):
    make(tmp_path, "train", 1, **place(0, 0))
    make(tmp_path, "val", 1, **place(500, 0))  # the neighbour: a common edge, no common ground
    assert examine(tmp_path).findings == []
    make(tmp_path, "val", 1, **place(250, 0))
    finding = only(examine(tmp_path), "overlap", "error")
    assert finding.where == [f"{tmp_path}/val/i/0.tif: 50 % in {tmp_path}/train/i/0.tif"]


def test_normalization(sound):
    imagenet = [{"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}]
    assert examine(sound, transforms=imagenet).healthy
    off = [{"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "scale": 1}]
    findings = examine(sound, transforms=off).findings
    assert [(f.code, f.severity) for f in findings] == [("normalize", "error")] * 2
    assert findings[0].where[0].startswith("band 1: mean 43")
    assert "rsseg stats" in findings[0].fix
    assert [f.code for f in examine(sound, transforms=[]).findings] == ["normalize", "normalize"]


# --- command lines ---------------------------------------------------------------------------------------------

CONFIG = """
iters: 1
train_dataset: &data
  type: FolderDataset
  mode: train
  image_dir: {root}/train/i
  mask_dir: {root}/train/m
  classes: [sea, land, ice]
  bands: [1, 2, 3]
  transforms:
    - {{type: Normalize, mean: {mean}, std: [25], scale: 1}}
val_dataset: {{<<: *data, mode: val, image_dir: {root}/val/i, mask_dir: {root}/val/m}}
model: {{type: FarSeg}}
optimizer: {{type: sgd, momentum: 0.9}}
lr_scheduler: {{type: PolynomialDecay, learning_rate: 0.007}}
loss: {{types: [{{type: CrossEntropyLoss}}], coef: [1]}}
"""


def config(root, mean="[100]"):
    path = root / "c.yml"
    path.write_text(CONFIG.format(root=root, mean=mean))
    return str(path)


def test_doctor_command(sound, capsys):
    report = sound / "report.json"
    assert main(["doctor", config(sound), "--json", str(report)]) == 0
    out = capsys.readouterr().out
    assert "nothing found" in out
    assert "land" in out
    write(sound / "train/m/0.tif", np.full((40, 50), 8, np.uint8))
    assert main(["doctor", config(sound), "--json", str(report), "--num_workers", "0"]) == 1
    assert "1 errors" in capsys.readouterr().out
    written = json.loads(report.read_text())
    assert written["healthy"] is False
    assert written["findings"][0]["code"] == "label values"
    assert written["images"] == {"train": 4, "val": 2}
    assert main(["doctor", str(sound / "none.yml")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_stats_command_writes_what_normalize_takes(sound, capsys):
    written = sound / "normalize.yml"
    # a Normalize for the wrong number of bands, which is what one runs the command for, does not stop it
    assert main(["stats", config(sound, "[1, 2]"), "--write", str(written)]) == 0
    out = capsys.readouterr().out
    assert written.read_text() in out
    import yaml

    (spec,) = yaml.safe_load(written.read_text())
    assert examine(sound, transforms=[spec]).findings == []
    image = load(sound, "train", transforms=[spec])[0]["image"]
    assert abs(image.mean()) < 0.1
    assert abs(image.std() - 1) < 0.1


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real images are not here")
def test_real_satellite_scene(tmp_path):
    """Landsat 7 with nodata -9999 and labels in which 0 is no label."""
    folder = SHARED / "geotiff/landsat7_p022r049"
    (tmp_path / "list.txt").write_text(f"{folder}/LE70220491999322EDC01_stack.tif {folder}/training_data.tif\n")
    options = {"dataset_root": "/", "train_path": str(tmp_path / "list.txt"), "mode": "train", "num_classes": 5}
    right = Dataset(**options, label_map={k + 1: k for k in range(5)}, label_nodata=0, bands=[1, 2, 3, 4, 5, 7])
    diagnosis = diagnose({"train": right}, num_workers=0)
    assert [f.code for f in diagnosis.findings] == ["normalize"]  # there is none
    assert diagnosis.classes["train"] == [383, 16, 145, 106, 68]
    wrong = diagnose({"train": Dataset(**options)}, num_workers=0)
    assert {f.code for f in wrong.findings} == {"label values", "label nodata", "normalize"}
    spec = compute_statistics(right, 0).normalize_spec()
    image = Dataset(**options, label_map={k + 1: k for k in range(5)}, label_nodata=0, bands=[1, 2, 3, 4, 5, 7],
                    transforms=[spec])[0]["image"]  # fmt: skip
    assert np.abs(image.mean((0, 1))).max() < 1e-3
    assert np.abs(image.std((0, 1)) - 1).max() < 1e-3


def test_places_are_compared_whatever_the_version_of_affine(tmp_path, monkeypatch):
    """Affine 2, which rasterio takes as well, has no ``@``."""
    monkeypatch.delattr(rasterio.Affine, "__matmul__", raising=False)
    make(tmp_path, "train", 2, **place(0, 0))
    make(tmp_path, "val", 2, **place(250, 0))  # half an image to the east
    finding = next(f for f in examine(tmp_path).findings if f.code == "overlap")
    assert finding.where[0].startswith(f"{tmp_path}/val/i/0.tif: 50 % in {tmp_path}/train/i/")


def test_statistics_of_nothing_are_no_statistics(tmp_path):
    for name in ("i", "m"):
        write(tmp_path / "train" / name / "0.tif", np.zeros((9, 9), np.uint8))
    with pytest.raises(RssegError, match="not one pixel with data in 1 images"):
        compute_statistics(load(tmp_path, "train", nodata=0), num_workers=0)
