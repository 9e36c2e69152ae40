"""Scenes from patches and patches from scenes: the same pixels, each once or as often as the protocol says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from test_evaluation_evaluate import SPEC as ARRAYS_SPEC
from test_evaluation_evaluate import ArrayDataset
from test_evaluation_evaluate import network as arrays_network

from paddle_rsseg.data.datasets import Dataset
from paddle_rsseg.data.mosaic import Mosaic, places
from paddle_rsseg.data.raster import ArrayRaster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.evaluation import Measures, evaluate
from paddle_rsseg.evaluation.scenes import Patches, Stitched, scene_names
from paddle_rsseg.inference.spec import InferenceSpec
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


def whole_scenes(root: Path, **arguments) -> Dataset:
    lines = []
    for name, image, label in scenes():
        cv2.imwrite(str(root / f"{name}.png"), image[..., ::-1])
        cv2.imwrite(str(root / f"{name}_label.png"), label)
        lines.append(f"{name}.png {name}_label.png")
    (root / "val.txt").write_text("\n".join(lines))
    return Dataset(dataset_root=str(root), mode="val", val_path=str(root / "val.txt"), num_classes=3, **arguments)


def test_windows_of_images_are_scenes_again(tmp_path):
    virtual = whole_scenes(tmp_path, tile=PATCH, tile_stride=STRIDE)
    assert_whole(Stitched(virtual), padded=False)
    whole = whole_scenes(tmp_path)
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
    # where pieces overlap the upper left one counts; its pixels without data are without
    first, second = np.full((4, 4, 1), 5, np.uint8), np.full((4, 4, 1), 7, np.uint8)
    first[3, 3] = 0
    pieces = [(Window(2, 6, 2, 6), ArrayRaster(second)), (Window(0, 4, 0, 4), ArrayRaster(first, nodata=0))]
    pixels, valid = Mosaic("scene", pieces).read_valid()
    assert (pixels[:3, :3] == 5).all()
    assert not valid[3, 3]
    assert valid[2, 2:4].all()
    assert pixels[4, 4] == 7
    with pytest.raises(RssegError, match=r"4×4 pixels \(height × width\).*5×5, as its name says"):
        Mosaic("scene", [(Window(0, 5, 0, 5), piece)]).read()


def network(batch):
    value = (batch.mean(1) * 0.5 + 0.5) * 255
    return np.stack([-((value - middle) ** 2) / 500 for middle in (60, 120, 190)], axis=1)


SPEC = InferenceSpec(num_classes=3, window=PATCH, stride=STRIDE)


def assert_same_objects(a, b) -> None:
    assert a.objects.keys() == b.objects.keys()
    for name, values in a.objects.items():
        np.testing.assert_allclose(values, b.objects[name], err_msg=name)


def test_stitched_patches_score_as_the_scenes_do(tmp_path):
    (tmp_path / "cut").mkdir()
    patches, whole = cut(tmp_path / "cut"), whole_scenes(tmp_path)
    measures = Measures(boundary=2, sizes=(5, 50), calibration=10**6)
    stitched = evaluate(network, patches, SPEC, ("stitched", "patch"), measures=measures)
    scenes = evaluate(network, whole, SPEC, ("slide", "patch"), measures=measures)
    np.testing.assert_array_equal(stitched.matrix, scenes.matrix)
    np.testing.assert_array_equal(stitched.beside[0].matrix, scenes.beside[0].matrix)
    assert_same_objects(stitched, scenes)
    assert stitched.matrix.sum() < stitched.beside[0].matrix.sum()  # overlaps count twice there
    assert [Path(s.name).stem for s in stitched.scenes] == [Path(s.name).stem for s in scenes.scenes] == list(SIZES)
    # patches of a scene are drawn together
    assert (stitched.beside[0].intervals.unit, stitched.beside[0].intervals.units) == ("scenes", 3)
    assert (scenes.intervals.unit, scenes.intervals.units) == ("images", 3)
    assert stitched.calibration.seen == stitched.matrix.sum()


def test_patches_alone_are_the_same_with_and_without_probabilities(tmp_path):
    patches = cut(tmp_path)
    plain = evaluate(network, patches, SPEC, "patch")
    measured = evaluate(network, patches, SPEC, "patch", measures=Measures(calibration=500))
    np.testing.assert_array_equal(plain.matrix, measured.matrix)
    assert measured.calibration.pixels == 500
    assert plain.unit == "scenes"


def test_the_temperature_in_use_is_the_one_before(tmp_path):
    dataset = cut(tmp_path)
    cold = evaluate(network, dataset, SPEC, "stitched", measures=Measures(calibration=10**6))
    warm = evaluate(network, dataset, SPEC, "stitched", measures=Measures(calibration=10**6), temperature=3.0)
    assert (cold.calibration.used, warm.calibration.used) == (1, 3)
    assert cold.calibration.fitted == warm.calibration.fitted
    assert cold.calibration.before.nll != warm.calibration.before.nll
    again = evaluate(
        network, dataset, SPEC, "stitched", measures=Measures(calibration=10**6), temperature=cold.calibration.fitted
    )
    assert again.calibration.before.ece == pytest.approx(cold.calibration.after.ece)


@pytest.mark.parametrize("pixel", [0.5, 2.0])
def test_sizes_in_square_metres(pixel):
    class Georeferenced(ArrayDataset):
        def image(self, i):
            transform = rasterio.Affine(pixel, 0, 3e5, 0, -pixel, 4e6)
            return ArrayRaster(self.images[i], rasterio.CRS.from_epsg(32640), transform)

    metres = evaluate(
        arrays_network, Georeferenced(), ARRAYS_SPEC, "slide", measures=Measures(sizes=(8,), size_unit="m2")
    )
    pixels = evaluate(arrays_network, ArrayDataset(), ARRAYS_SPEC, "slide", measures=Measures(sizes=(8 / pixel**2,)))
    assert_same_objects(metres, pixels)
