"""Scenes from patches and patches from scenes: the same pixels, each once or as often as the protocol says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from paddle_rsseg.data.datasets import Dataset
from paddle_rsseg.data.mosaic import Mosaic, places
from paddle_rsseg.data.raster import ArrayRaster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.evaluation.scenes import Patches, Stitched, scene_names
from paddle_rsseg.windows import Window, grid

SIZES = {"P0001": (70, 90), "P0002": (48, 64), "area_3_1": (30, 100)}
PATCH, STRIDE = (48, 64), (32, 40)


def scenes():
    rng = np.random.default_rng(0)
    for name, size in SIZES.items():
        label = rng.integers(0, 3, size).astype(np.uint8)
        label[5:9, 7:30] = 255
        yield name, rng.integers(0, 256, (*size, 3)).astype(np.uint8), label


def naming(kind: str, name: str, w: Window) -> str:
    return {
        "isaid": f"{name}_{w.y0}_{w.y1}_{w.x0}_{w.x1}",
        "mmseg": f"{name}_{w.x0}_{w.y0}_{w.x1}_{w.y1}",
        "dota": f"{name}__1__{w.x0}___{w.y0}",
    }[kind]


def cut(root: Path, kind: str = "isaid", suffix: str = ".png") -> Dataset:
    """Patches as files, filled up with black and 255 where the scene is smaller."""
    lines = []
    for name, image, label in scenes():
        for w in grid(max(PATCH[0], image.shape[0]), max(PATCH[1], image.shape[1]), PATCH, STRIDE):
            stem = naming(kind, name, w)
            patch, truth = np.zeros((*PATCH, 3), np.uint8), np.full(PATCH, 255, np.uint8)
            part = image[w.slices]
            patch[: part.shape[0], : part.shape[1]] = part
            truth[: part.shape[0], : part.shape[1]] = label[w.slices]
            cv2.imwrite(str(root / f"{stem}{suffix}"), patch[..., ::-1])
            cv2.imwrite(str(root / f"{stem}_label.png"), truth)
            lines.append(f"{stem}{suffix} {stem}_label.png")
    (root / "val.txt").write_text("\n".join(lines))
    return Dataset(dataset_root=str(root), mode="val", val_path=str(root / "val.txt"), num_classes=3)


def assert_whole(dataset, padded: bool) -> None:
    assert [Path(dataset.item(i).name).stem for i in range(len(dataset))] == list(SIZES)
    for i, (_, image, label) in enumerate(scenes()):
        raster, truth = dataset.image(i), dataset.label(i)
        if not padded:
            assert (raster.height, raster.width) == label.shape
        # as the engine reads: strips from top to bottom, and windows of the label
        height, width = label.shape
        strips = [raster.read_valid(Window(y, min(y + 20, height), 0, width)) for y in range(0, height, 20)]
        np.testing.assert_array_equal(np.concatenate([pixels for pixels, _ in strips]), image)
        assert all(valid is None for _, valid in strips)
        np.testing.assert_array_equal(truth.read(Window(0, height, 0, width)), label)
        assert (truth.read()[height:] == 255).all()
        assert (truth.read()[:, width:] == 255).all()


@pytest.mark.parametrize("kind", ["isaid", "mmseg", "dota"])
def test_patch_files_are_scenes_again(tmp_path, kind):
    dataset = cut(tmp_path, kind)
    assert len(dataset) > len(SIZES)
    assert_whole(Stitched(dataset), padded=True)
    assert [Path(name).name for name in dict.fromkeys(scene_names(dataset))] == list(SIZES)


def test_windows_of_images_are_scenes_again(tmp_path):
    lines = []
    for name, image, label in scenes():
        cv2.imwrite(str(tmp_path / f"{name}.png"), image[..., ::-1])
        cv2.imwrite(str(tmp_path / f"{name}_label.png"), label)
        lines.append(f"{name}.png {name}_label.png")
    (tmp_path / "val.txt").write_text("\n".join(lines))
    facts = {"dataset_root": str(tmp_path), "mode": "val", "val_path": str(tmp_path / "val.txt"), "num_classes": 3}
    virtual = Dataset(**facts, tile=PATCH, tile_stride=STRIDE)
    assert_whole(Stitched(virtual), padded=False)
    whole = Dataset(**facts)
    assert scene_names(whole) is None
    with pytest.raises(RssegError, match="do not tell their place"):
        Stitched(whole)

    patches = Patches(whole, PATCH, STRIDE)
    assert [patches.item(i).window for i in range(len(patches))] == [
        window for size in SIZES.values() for window in grid(*size, PATCH, STRIDE)
    ]
    everything = list(scenes())
    for i in range(len(patches)):
        item = patches.item(i)
        _, image, label = everything[list(SIZES).index(Path(item.image).stem)]
        np.testing.assert_array_equal(patches.image(i).read(), image[item.window.slices])
        np.testing.assert_array_equal(patches.label(i).read(), label[item.window.slices])
    assert scene_names(patches) == [patches.item(i).image for i in range(len(patches))]


def test_names_that_only_look_like_places():
    assert places(["a_0_48_0_64.png", "a_0_48_40_104.png"], lambda i: (48, 64))[1] == ("a", Window(0, 48, 40, 104))
    assert places(["a_0_48_0_64.png", "b.png"], lambda i: (48, 64)) is None
    assert places(["a_1_2_3_4.png"], lambda i: (48, 64)) is None  # not the size of the file
    assert places([], lambda i: (1, 1)) is None


def test_a_hole_is_no_data_and_a_wrong_size_is_told():
    piece = ArrayRaster(np.ones((4, 4, 1), np.uint8))
    scene = Mosaic("scene", [(Window(0, 4, 0, 4), piece), (Window(2, 6, 6, 10), piece)])
    pixels, valid = scene.read_valid()
    assert pixels.shape == (6, 10, 1)
    np.testing.assert_array_equal(valid, pixels[..., 0] == 1)
    assert valid.sum() == 32
    with pytest.raises(RssegError, match=r"4×4 pixels \(height × width\).*5×5, as its name says"):
        Mosaic("scene", [(Window(0, 5, 0, 5), piece)]).read()
