"""Maps of single classes put into a label map: the library and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_rsseg.cli.main import main
from paddle_rsseg.data.raster import ArrayRaster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.geo.writer import write_label_raster, write_product
from paddle_rsseg.inference import combine as module
from paddle_rsseg.inference.combine import OneClass, combine
from paddle_rsseg.inference.engine import Band
from paddle_rsseg.inference.products import Products
from paddle_rsseg.inference.spec import InferenceSpec

SPEC = InferenceSpec(
    num_classes=4, classes=("other", "road", "house", "water"), palette=((0, 0, 0), (255, 0, 0), (9, 9, 9), (0, 0, 255))
)
PLACE = rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 2.8e6)


def label_map(path: Path, labels: np.ndarray, place: rasterio.Affine | None = PLACE) -> Path:
    where = {} if place is None else {"crs": "EPSG:32640", "transform": place}
    image = ArrayRaster(np.zeros((*labels.shape, 1), np.uint8), **where)
    return write_label_raster(path, [Band(0, 0, len(labels), labels, {})], image, SPEC)


def raster(path: Path, values: np.ndarray, nodata: float | None = None, place: rasterio.Affine = PLACE) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", height=len(values), width=values.shape[1], count=1, dtype=values.dtype,
        nodata=nodata, crs="EPSG:32640", transform=place,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def test_yes_above_the_threshold_and_nothing_else(tmp_path):
    labels = label_map(tmp_path / "a_label", np.array([[0, 2, 2, 3, 255, 0]], np.uint8))
    road = raster(tmp_path / "road.tif", np.array([[0.49, 0.5, 0.9, -1, 0.9, np.nan]], np.float32), nodata=-1)
    result = combine(labels, [OneClass(1, road)], tmp_path / "new")
    assert read(result).tolist() == [[0, 1, 1, 3, 255, 0]]
    result = combine(labels, [OneClass(0, road, threshold=0.6)], tmp_path / "new")
    assert read(result).tolist() == [[0, 2, 0, 3, 255, 0]]


def test_the_first_that_says_yes_is_right(tmp_path):
    labels = label_map(tmp_path / "a_label", np.zeros((1, 4), np.uint8))
    road = raster(tmp_path / "road.tif", np.array([[1, 1, 0, 255]], np.uint8), nodata=255)
    water = raster(tmp_path / "water.tif", np.array([[1, 0, 1, 1]], np.uint8))
    maps = [OneClass(1, road), OneClass(3, water)]
    assert read(combine(labels, maps, tmp_path / "new")).tolist() == [[1, 1, 3, 3]]
    assert read(combine(labels, maps[::-1], tmp_path / "new")).tolist() == [[3, 1, 3, 3]]


def test_whole_numbers_are_probabilities_only_by_order(tmp_path):
    labels = label_map(tmp_path / "a_label", np.zeros((1, 4), np.uint8))
    road = raster(tmp_path / "road.tif", np.array([[0, 127, 128, 255]], np.uint8))
    with pytest.raises(RssegError, match=r"the value 127.*0 \(no\) and 1 \(yes\).*--scale"):
        combine(labels, [OneClass(1, road)], tmp_path / "new")
    assert not list(tmp_path.glob("new*"))
    assert read(combine(labels, [OneClass(1, road, scale=255)], tmp_path / "new")).tolist() == [[0, 0, 1, 1]]


def test_place_colours_and_names_stay(tmp_path):
    labels = label_map(tmp_path / "a_label", np.zeros((300, 40), np.uint8))
    water = raster(tmp_path / "water.tif", np.ones((300, 40), np.uint8))
    with rasterio.open(labels) as old, rasterio.open(combine(labels, [OneClass(3, water)], tmp_path / "new")) as new:
        assert (new.crs, new.transform, new.nodata) == (old.crs, old.transform, 255)
        assert new.colormap(1) == old.colormap(1)
        assert new.tags()["CLASSES"] == old.tags()["CLASSES"]
    plain = label_map(tmp_path / "plain", np.zeros((30, 40), np.uint8), place=None)
    small = raster(tmp_path / "small.tif", np.ones((30, 40), np.uint8))
    assert combine(plain, [OneClass(3, small)], tmp_path / "plain_new").suffix == ".png"


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_pixel_by_pixel(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("maps")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 20))
    labels = rng.choice(np.array([0, 1, 2, 3, 255], np.uint8), (height, width))
    chosen = [(label, rng.random((height, width)).astype(np.float32), rng.uniform(0.1, 1)) for label in (2, 0, 3)]
    expected = labels.copy()
    for i, j in np.ndindex(height, width):
        if labels[i, j] != 255:
            expected[i, j] = next((k for k, p, limit in chosen if p[i, j] >= limit), labels[i, j])
    maps = [OneClass(k, raster(folder / f"{k}.tif", p), limit) for k, p, limit in chosen]
    rows, module.ROWS = module.ROWS, data.draw(st.integers(1, 50))
    try:
        result = combine(label_map(folder / "a", labels), maps, folder / "new")
    finally:
        module.ROWS = rows
    np.testing.assert_array_equal(read(result), expected)


def test_a_probability_as_the_predictor_writes_it(tmp_path):
    expected = np.random.default_rng(0).random((300, 7)).astype(np.float32)
    expected[0] = -1
    labels = np.zeros((300, 7), np.uint8)
    layers = [{"probabilities": expected[None, y : y + 100]} for y in (0, 100, 200)]
    bands = [Band(i, 100 * i, 100 * i + 100, labels[:100], layer) for i, layer in enumerate(layers)]
    image = ArrayRaster(np.zeros((300, 7, 1), np.uint8), crs="EPSG:32640", transform=PLACE)
    path = write_product(
        tmp_path / "a.b_probability", bands, image, Products(("probabilities",), classes=(1,)), "probabilities", SPEC
    )
    assert path.name == "a.b_probability.tif"
    np.testing.assert_array_equal(read(path), expected)
    base = label_map(tmp_path / "a_label", np.full((300, 7), 2, np.uint8))
    result = read(combine(base, [OneClass(1, path)], tmp_path / "new"))
    np.testing.assert_array_equal(result, np.where(expected >= 0.5, 1, 2))


def test_the_command_on_directories(tmp_path, capsys):
    for name, value in (("a", 0), ("b", 2)):
        label_map(tmp_path / "all" / f"{name}_label", np.full((1, 2), value, np.uint8))
        (tmp_path / "road").mkdir(exist_ok=True)
        raster(tmp_path / "road" / f"{name}_probability.tif", np.array([[0.3, 0.6]], np.float32))
    arguments = ["combine", str(tmp_path / "all"), "--map", f"1={tmp_path / 'road'}", "--save_dir", str(tmp_path / "x")]
    assert main(arguments) == 0
    assert "2 label maps" in capsys.readouterr().out
    assert [read(tmp_path / "x" / f"{name}_label.tif").tolist() for name in "ab"] == [[[0, 1]], [[2, 1]]]
    assert main([*arguments, "--threshold", "0.2"]) == 0
    assert read(tmp_path / "x" / "a_label.tif").tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--map", "1"], "--map 1: not a class and its map"),
        (["--map", "road=road.tif"], "CLASS=PATH"),
        (["--map", "1=road.tif", "1=road.tif"], "each class once"),
        (["--map", "1=none.tif"], "none.tif: no such file"),
        (["--map", "255=road.tif"], "255, which means no data"),
        (["--map", "1=small.tif"], "2×1 pixels"),
        (["--map", "1=away.tif"], "lies elsewhere"),
        (["--map", "1=high.tif"], "the value 1.5"),
        (["--map", "1=three.tif"], "3 bands"),
        (["--map", "1=empty"], "no map of a"),
        (["--map", "1=road.tif", "--threshold", "0"], "above 0"),
        (["--map", "1=road.tif", "--threshold", "0.1", "0.2"], "2 for 1 maps"),
        (["--map", "1=road.tif", "--scale", "-1"], "scale"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, change, words):
    monkeypatch.chdir(tmp_path)
    label_map(Path("a_label"), np.zeros((1, 3), np.uint8))
    Path("empty").mkdir()
    raster(Path("road.tif"), np.zeros((1, 3), np.float32))
    raster(Path("high.tif"), np.full((1, 3), 1.5, np.float32))
    raster(Path("small.tif"), np.zeros((1, 2), np.float32))
    raster(Path("away.tif"), np.zeros((1, 3), np.float32), place=PLACE * rasterio.Affine.translation(1, 0))
    with rasterio.open("three.tif", "w", driver="GTiff", height=1, width=3, count=3, dtype="uint8") as file:
        file.write(np.zeros((3, 1, 3), np.uint8))
    assert main(["combine", "a_label.tif", *change, "--save_dir", "new"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not list(Path().glob("new/*"))


def test_what_is_no_label_map_is_told(tmp_path):
    road = raster(tmp_path / "road.tif", np.zeros((1, 3), np.float32))
    with pytest.raises(RssegError, match=r"1 bands of float32.*uint8"):
        combine(road, [OneClass(1, road)], tmp_path / "new")
