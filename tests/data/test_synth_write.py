"""Data sets on disk, in every format, and as the project's own readers see them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio

from paddle_rsseg.cli.main import main
from paddle_rsseg.data.prepare.isaid_legend import KIT_PALETTE, REF_PALETTE
from paddle_rsseg.data.synth import ISAID, DatasetOptions, render_scene, write_dataset, write_preview
from paddle_rsseg.data.synth.features import FEATURES, STRIPS
from paddle_rsseg.data.synth.preview import LARGEST
from paddle_rsseg.errors import RssegError


def digests(folder: Path) -> dict[str, str]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def rgb(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]


def test_lists(tmp_path):
    options = DatasetOptions(scenes=4, height=64, width=80, legend="landcover", seed=3)
    counts = write_dataset(tmp_path, options, num_workers=0)
    assert (tmp_path / "train.txt").read_text().splitlines() == [
        f"images/scene_{i:04d}.png labels/scene_{i:04d}.png" for i in range(3)
    ]
    assert (tmp_path / "val.txt").read_text() == "images/scene_0003.png labels/scene_0003.png\n"
    assert (tmp_path / "labels.txt").read_text().split() == ["building", "land", "road", "vegetation", "water"]
    assert sum(counts.values()) == 4 * 64 * 80
    scene = render_scene(3, 64, 80, scene=2, legend="landcover", features=options.features(2))
    assert np.array_equal(rgb(tmp_path / "images/scene_0002.png"), scene.image)
    assert np.array_equal(cv2.imread(str(tmp_path / "labels/scene_0002.png"), cv2.IMREAD_UNCHANGED), scene.label)


def test_same_files_from_one_process_or_several(tmp_path):
    options = DatasetOptions(scenes=4, height=64, width=64, georeferenced=True, bands=4, dtype="uint16")
    write_dataset(tmp_path / "one", options, num_workers=0)
    write_dataset(tmp_path / "two", options, num_workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_workers_after_opencv_has_been_used(tmp_path):
    """A fork beside OpenCV's threads must not hang."""
    cv2.GaussianBlur(np.zeros((2000, 2000), np.float32), (0, 0), 5)
    threads = cv2.getNumThreads()
    write_dataset(tmp_path, DatasetOptions(scenes=2, height=64, width=64), num_workers=2)
    assert cv2.getNumThreads() == threads


def test_georeferenced_tiff(tmp_path):
    options = DatasetOptions(scenes=1, height=70, width=90, bands=4, dtype="uint16", georeferenced=True, collar=0.1)
    write_dataset(tmp_path, options, num_workers=0)
    scene = render_scene(0, 70, 90, bands=4, dtype="uint16", collar=0.1, features=options.features(0))
    with rasterio.open(tmp_path / "images/scene_0000.tif") as raster:
        assert raster.crs.to_epsg() == 32640
        assert raster.transform.almost_equals(scene.transform)
        assert raster.nodata == 0
        assert raster.descriptions == ("red", "green", "blue", "near infrared")
        assert np.array_equal(raster.read().transpose(1, 2, 0), scene.image)
        assert np.array_equal(raster.dataset_mask() == 0, scene.label == 255)


def test_folders_have_coloured_masks(tmp_path):
    options = DatasetOptions(scenes=3, height=64, width=64, legend="landcover", format="folders", collar=0.1)
    write_dataset(tmp_path, options, num_workers=0)
    names = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("scene_*")}
    assert names == {
        "train/images/scene_0000.tif", "train/masks/scene_0000.png", "train/images/scene_0001.tif",
        "train/masks/scene_0001.png", "val/images/scene_0002.tif", "val/masks/scene_0002.png",
    }  # fmt: skip
    from paddle_rsseg.data.datasets.folders import FolderDataset
    from paddle_rsseg.data.synth import LANDCOVER

    data = FolderDataset(
        image_dir=str(tmp_path / "train/images"), mask_dir=str(tmp_path / "train/masks"), num_classes=5, mode="train",
        label_colors=LANDCOVER.palette, ignore_colors=(LANDCOVER.ignore_colour,),
    )  # fmt: skip
    scene = render_scene(0, 64, 64, scene=1, legend="landcover", collar=0.1, features=options.features(1))
    assert np.array_equal(data.label(1).read(), scene.label)
    assert np.array_equal(data.image(1).read(), scene.image)


@pytest.mark.parametrize(("colors", "palette"), [("kit", KIT_PALETTE), ("ref", REF_PALETTE)])
def test_zips(tmp_path, colors, palette):
    options = DatasetOptions(scenes=5, height=320, width=320, format="zips", colors=colors)
    write_dataset(tmp_path, options, num_workers=0)
    held = {}
    for path in sorted(tmp_path.rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            held[path.relative_to(tmp_path).as_posix()] = [n for n in archive.namelist() if not n.endswith("/")]
    assert held == {
        "train/images/part1.zip": ["images/P0000.png", "images/P0003.png"],
        "train/images/part2.zip": ["images/P0001.png"],
        "train/images/part3.zip": ["images/P0002.png"],
        "train/Semantic_masks/images.zip": [f"images/P{i:04d}_instance_color_RGB.png" for i in range(4)],
        "val/images/part1.zip": ["images/P0004.png"],
        "val/Semantic_masks/images.zip": ["images/P0004_instance_color_RGB.png"],
    }
    with zipfile.ZipFile(tmp_path / "val/Semantic_masks/images.zip") as archive:
        encoded = np.frombuffer(archive.read("images/P0004_instance_color_RGB.png"), np.uint8)
    mask = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]
    scene = render_scene(0, 320, 320, scene=4, features=options.features(4))
    assert np.array_equal(mask, np.array(palette, np.uint8)[scene.label])
    assert {2, 12} <= set(np.unique(scene.label))  # the two whose colours differ are in the only validation scene


def test_prepared_archives_give_the_labels_back(tmp_path, capsys):
    options = DatasetOptions(scenes=3, height=120, width=140, format="zips")
    write_dataset(tmp_path / "zips", options, num_workers=0)
    out = tmp_path / "iSAID"
    assert main(["prepare", "isaid", str(tmp_path / "zips"), "-o", str(out), "--num_workers", "0"]) == 0
    label = cv2.imread(str(out / "ann_dir/val/P0002_0_896_0_896_instance_color_RGB.png"), cv2.IMREAD_UNCHANGED)
    scene = render_scene(0, 120, 140, scene=2, features=options.features(2))
    assert np.array_equal(label[:120, :140], scene.label)
    assert (label[120:] == 255).all()


def test_the_default_data_set_shows_every_class_in_both_parts():
    """By its plan: which features go where; that a feature brings its classes is tested with the renderer."""
    for scenes in (2, 3, 8, 12, 40):
        options = DatasetOptions(scenes=scenes)
        train = scenes - options.validation
        for part in (range(train), range(train, scenes)):
            assert {name for i in part for name in options.features(i)} == {*FEATURES, *STRIPS}, scenes


@pytest.mark.slow
def test_every_class_is_in_the_pixels_of_both_parts(tmp_path):
    options = DatasetOptions(scenes=8, height=512, width=512)
    write_dataset(tmp_path, options)
    for part in (range(6), range(6, 8)):
        labels = [cv2.imread(str(tmp_path / f"labels/scene_{i:04d}.png"), cv2.IMREAD_UNCHANGED) for i in part]
        assert set(np.unique(labels)) == set(range(16))


@pytest.mark.parametrize(
    ("scenes", "fraction", "validation"),
    [(1, 0.25, 0), (1, 1.0, 1), (2, 0.1, 1), (12, 0.25, 3), (5, 0.0, 0), (4, 1.0, 4), (3, 0.9, 2)],
)
def test_split(scenes, fraction, validation):
    assert DatasetOptions(scenes=scenes, val_fraction=fraction).validation == validation


def test_made_once_continued_and_never_mixed(tmp_path):
    options = DatasetOptions(scenes=2, height=48, width=48)
    counts = write_dataset(tmp_path, options, num_workers=0)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.png")}
    assert write_dataset(tmp_path, options, num_workers=0) == counts
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.png")} == before

    record = json.loads((tmp_path / "synth.json").read_text())  # as an interrupted run leaves it
    (tmp_path / "synth.json").write_text(json.dumps({**record, "pixels": None}))
    (tmp_path / "images/scene_0001.png").unlink()
    assert write_dataset(tmp_path, options, num_workers=0) == counts
    assert (tmp_path / "images/scene_0001.png").exists()

    with pytest.raises(RssegError, match=r"other options \(scenes, seed\)"):
        write_dataset(tmp_path, DatasetOptions(scenes=3, height=48, width=48, seed=1))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.doc").write_text("mine")
    with pytest.raises(RssegError, match=r"holds 'thesis\.doc'"):
        write_dataset(tmp_path / "other", options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenes": 0}, "scenes"),
        ({"val_fraction": 1.5}, "val_fraction"),
        ({"format": "zips", "bands": 4}, "8-bit RGB"),
        ({"format": "zips", "legend": "landcover"}, "8-bit RGB"),
        ({"colors": "ref"}, "--format zips"),
        ({"bands": 0}, "bands"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, message):
    with pytest.raises(RssegError, match=message):
        write_dataset(tmp_path / "new", DatasetOptions(**options))
    assert not (tmp_path / "new").exists()


def test_bad_arguments_leave_nothing(tmp_path):
    with pytest.raises(RssegError, match="--num_workers: -1; expected 0 or more"):
        write_dataset(tmp_path / "new", DatasetOptions(scenes=1), num_workers=-1)
    with pytest.raises(RssegError, match=r"--preview: .*scene\.jpg; expected the name of a \.png file"):
        write_preview(tmp_path / "scene.jpg", DatasetOptions(scenes=1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("legend", ["isaid", "landcover"])
def test_preview_is_a_small_picture(tmp_path, legend):
    path = tmp_path / "docs" / "preview.png"
    write_preview(path, DatasetOptions(scenes=4, height=200, width=260, legend=legend, bands=10, dtype="uint16"))
    assert path.stat().st_size < LARGEST
    picture = rgb(path)
    assert picture.shape[1] > 700
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000


def test_command(tmp_path, capsys):
    out = tmp_path / "data"
    assert (
        main(
            [
                "synth",
                str(out),
                "--scenes",
                "2",
                "--size",
                "48",
                "64",
                "--num_workers",
                "0",
                "--preview",
                str(tmp_path / "p.png"),
            ]
        )
        == 0
    )
    text = capsys.readouterr().out
    assert "1 scenes for training, 1 for validation, 48×64 pixels, 3 bands" in text
    assert (tmp_path / "p.png").exists()
    assert len(list((out / "images").iterdir())) == 2
    assert main(["synth"]) == 2
    assert "--preview" in capsys.readouterr().err
    assert main(["synth", str(tmp_path / "x"), "--bands", "13"]) == 2
    assert "synth.bands: 13; expected 1 to 12" in capsys.readouterr().err


def test_reads_as_a_dataset(tmp_path):
    from paddle_rsseg.registry import DATASETS

    write_dataset(tmp_path, DatasetOptions(scenes=4, height=48, width=48), num_workers=0)
    data = DATASETS.build(
        {"type": "Dataset", "dataset_root": str(tmp_path), "train_path": str(tmp_path / "train.txt"), "num_classes": 16,
         "mode": "train", "transforms": []}
    )  # fmt: skip
    assert len(data) == 3
    sample = data.sample(0)
    assert sample["image"].shape == (48, 48, 3)
    assert sample["label"].max() < len(ISAID.classes)
