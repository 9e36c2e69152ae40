"""Label maps on disk: tags, colours, completeness; overlays."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from paddle_rsseg.data.raster import ArrayRaster, Raster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.geo.overlay import quicklook, write_overlay
from paddle_rsseg.geo.writer import write_label_raster, write_product
from paddle_rsseg.inference.engine import Band, WindowPredictor
from paddle_rsseg.inference.predictor import Predictor
from paddle_rsseg.inference.products import Products
from paddle_rsseg.inference.scene import Outputs
from paddle_rsseg.inference.spec import InferenceSpec

SPEC = InferenceSpec(
    num_classes=3, classes=("background", "road", "house"), palette=((0, 0, 0), (255, 0, 0), (10, 200, 30))
)
PLACE = rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 2.8e6)
GEOTIFFS = Path("../shared/data/geotiff")


def bands_of(labels: np.ndarray, step: int):
    for y0 in range(0, len(labels), step):
        yield Band(y0 // step, y0, min(y0 + step, len(labels)), labels[y0 : y0 + step], {})


def some_labels(height: int, width: int) -> np.ndarray:
    labels = np.random.default_rng(0).integers(0, 3, (height, width)).astype(np.uint8)
    labels[:7] = 255
    return labels


@pytest.mark.parametrize("step", [1, 100, 256, 700, 2000])
def test_a_geotiff_keeps_the_place_and_has_the_colours(tmp_path, step):
    labels = some_labels(700, 333)
    image = ArrayRaster(np.zeros((700, 333, 3), np.uint8), crs="EPSG:32640", transform=PLACE)
    path = write_label_raster(tmp_path / "scene_1.5m_label", bands_of(labels, step), image, SPEC)
    assert path.name == "scene_1.5m_label.tif"
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), labels)
        assert file.crs.to_epsg() == 32640
        assert file.transform == image.transform
        assert file.nodata == 255
        assert file.profile["compress"] == "deflate"
        assert file.block_shapes == [(256, 256)]
        assert file.colormap(1)[2][:3] == (10, 200, 30)
        assert '"house"' in file.tags()["CLASSES"]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_plain_image_gives_a_palette_png(tmp_path):
    labels = some_labels(300, 290)
    image = ArrayRaster(np.zeros((300, 290, 3), np.uint8))
    path = write_label_raster(tmp_path / "new" / "a", bands_of(labels, 64), image, SPEC)
    assert path == tmp_path / "new" / "a.png"
    assert path.read_bytes()[25] == 3  # colour type of the header: palette
    np.testing.assert_array_equal(Raster(path, expand_palette=False).read()[..., 0], labels)
    shown = cv2.imread(str(path))[..., ::-1]
    np.testing.assert_array_equal(shown[labels == 2][0], (10, 200, 30))
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_a_cloud_optimised_map(tmp_path):
    labels = some_labels(1100, 700)
    image = ArrayRaster(np.zeros((1100, 700, 3), np.uint8), crs="EPSG:32640", transform=PLACE)
    path = write_label_raster(tmp_path / "a", bands_of(labels, 300), image, SPEC, "cog")
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(file.read(1), labels)
        assert file.overviews(1)
        assert set(np.unique(file.read(1, out_shape=(275, 175)))) <= {0, 1, 2, 255}  # not a mean of classes
        assert file.colormap(1)[2][:3] == (10, 200, 30)
        assert file.nodata == 255
        assert '"house"' in file.tags()["CLASSES"]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_png_of_a_georeferenced_image(tmp_path):
    labels = some_labels(30, 20)
    image = ArrayRaster(np.zeros((30, 20, 3), np.uint8), crs="EPSG:32640", transform=PLACE)
    path = write_label_raster(tmp_path / "a", bands_of(labels, 9), image, SPEC, "png")
    assert [p.name for p in tmp_path.iterdir()] == [path.name] == ["a.png"]


@pytest.mark.parametrize("file_format", ["auto", "tif", "cog", "png"])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_products_say_what_their_numbers_mean(tmp_path, dtype, file_format):
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 600 * 40).T.reshape(3, 600, 40).astype(np.float32)
    valid = np.ones((600, 40), bool)
    valid[:9] = False
    products = Products(("probabilities", "margin"), dtype)
    layers = products.empty(3, 600, 40)
    products.fill(layers, 0, shares, valid)
    labels = np.zeros((100, 40), np.uint8)
    bands = [
        Band(y // 100, y, y + 100, labels, {name: layer[:, y : y + 100] for name, layer in layers.items()})
        for y in range(0, 600, 100)
    ]
    image = ArrayRaster(np.zeros((600, 40, 3), np.uint8), crs="EPSG:32640", transform=PLACE)
    for name, planes in (("probabilities", ("background", "road", "house")), ("margin", ("margin",))):
        path = write_product(tmp_path / f"a_{name}", bands, image, products, name, SPEC, file_format)
        assert path.name == f"a_{name}.tif"
        with rasterio.open(path) as file:
            assert file.descriptions == planes
            assert file.crs.to_epsg() == 32640
            stored = file.read()
            np.testing.assert_array_equal(stored, layers[name])
            assert ((stored == file.nodata) == ~valid).all()
            value = stored * file.scales[0]
        if name == "probabilities":
            np.testing.assert_allclose(value[:, valid], shares[:, valid], atol=0.0021)
        if file_format != "cog":  # which has overviews; 16-bit numbers do not take the place of 32
            assert path.stat().st_size < 1.1 * layers[name].nbytes + 20_000


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_bytes_do_not_depend_on_when_the_cache_was_full(tmp_path, dtype):
    products, values = Products(("probabilities",), dtype), np.random.default_rng(0).integers(0, 250, (3, 1000, 600))
    bands = [
        Band(k, y, y + 300, np.zeros((300, 600), np.uint8), {"probabilities": values[:, y : y + 300].astype(dtype)})
        for k, y in enumerate(range(0, 1000, 300))
    ]
    image, files = ArrayRaster(np.zeros((1000, 600, 3), np.uint8), crs="EPSG:32640", transform=PLACE), []
    for number_of_blocks in (1000, 20, 10, 1):
        with rasterio.Env(GDAL_CACHEMAX=number_of_blocks * 256 * 256 * np.dtype(dtype).itemsize):
            path = write_product(tmp_path / f"{number_of_blocks}", bands, image, products, "probabilities", SPEC, "tif")
        files.append(path.read_bytes())
    assert len(set(files)) == 1


@pytest.mark.parametrize("georeferenced", [True, False])
def test_a_failure_leaves_nothing_and_spares_the_old_file(tmp_path, georeferenced):
    def dies():
        yield from bands_of(some_labels(300, 50), 300)
        raise KeyError("network")

    image = ArrayRaster(
        np.zeros((600, 50, 3), np.uint8),
        crs="EPSG:32640" if georeferenced else None,
        transform=PLACE if georeferenced else None,
    )
    old = tmp_path / ("a.tif" if georeferenced else "a.png")
    old.write_bytes(b"old")
    with pytest.raises(KeyError):
        write_label_raster(tmp_path / "a", dies(), image, SPEC)
    with pytest.raises(ValueError, match="300 of 600 rows"):
        write_label_raster(tmp_path / "a", bands_of(some_labels(300, 50), 300), image, SPEC)
    assert old.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [old]


def test_a_place_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RssegError, match="cannot be written"):
        write_label_raster(tmp_path / "file" / "a", [], ArrayRaster(np.zeros((3, 3))), SPEC)


def test_an_overlay_is_bounded_tints_classes_and_spares_the_background(tmp_path):
    image = np.full((900, 1300, 3), 100, np.uint8)
    labels = np.zeros((900, 1300), np.uint8)
    labels[:, 650:] = 2
    path = write_overlay(tmp_path / "o.jpg", image, labels, SPEC, max_side=325, opacity=0.5)
    picture = cv2.imread(str(path))[..., ::-1]
    assert picture.shape[0] == 225
    assert picture.shape[1] > 325  # image and legend
    np.testing.assert_allclose(picture[100, 50], 100, atol=3)
    np.testing.assert_allclose(picture[100, 250], (55, 150, 65), atol=4)


def test_a_quicklook_stretches_16_bit_over_the_whole_image_and_blacks_out_nodata():
    image = np.random.default_rng(0).integers(1000, 2000, (600, 500, 4)).astype(np.uint16)
    image[:40] = 0
    shown = quicklook(ArrayRaster(image, nodata=0), bands=(4, 2, 1), max_side=300)
    assert shown.shape == (300, 250, 3)
    assert (shown[:20] == 0).all()
    assert shown[20:].min() == 0
    assert shown[20:].max() == 255
    assert 110 < shown[20:].mean() < 145
    grey = quicklook(ArrayRaster(np.arange(12, dtype=np.uint8).reshape(3, 4)))
    np.testing.assert_array_equal(grey[..., 0], np.arange(12).reshape(3, 4))


@pytest.mark.skipif(not GEOTIFFS.is_dir(), reason="real images are not here")
@pytest.mark.parametrize(
    "name",
    [
        "naip_nd/m_4709963_se_14_1_20090818.tif",
        "landsat7_rgb_byte/RGB.byte.tif",
        "spacenet_atlanta/sample_geotiff.tif",
        "landsat8_elkton/l8_elkton_10band_uint16.tif",
    ],
)
def test_real_geotiffs_become_maps_in_the_same_place(tmp_path, name):
    source = GEOTIFFS / name
    raster = Raster(source)
    pixels, valid = raster.read_valid()
    mean = float(pixels[... if valid is None else valid].mean() / np.iinfo(raster.dtype).max)
    count = raster.count
    spec = InferenceSpec(
        num_classes=3, in_channels=count, mean=(mean,) * count, std=(0.1,) * count, palette=SPEC.palette
    )

    def network(batch):
        grey = batch.mean(1)
        return np.stack([grey, -grey, 0 * grey], axis=1)

    path = write_label_raster(tmp_path / "map", WindowPredictor(network, spec).bands(raster), raster, spec)
    with rasterio.open(path) as made, rasterio.open(source) as given:
        assert (made.crs, made.transform, made.shape) == (given.crs, given.transform, given.shape)
        holes = given.dataset_mask() == 0
        np.testing.assert_array_equal((made.read(1) == 255)[holes], True)
        assert len(np.unique(made.read(1))) >= 2
    write_overlay(tmp_path / "map.jpg", raster, path, spec)


@pytest.mark.parametrize("file_format", ["auto", "cog"])
def test_what_places_an_image_that_is_not_rectified_is_kept(tmp_path, file_format):
    points = [
        GroundControlPoint(row, column, 10 + column / 50, 50 - row / 40 + column / 900, 0)
        for row in (0, 80) for column in (0, 50, 100)
    ]  # fmt: skip
    coefficients = RPC(
        height_off=10.0, height_scale=500.0, lat_off=50.0, lat_scale=1.0, line_off=40.0, line_scale=40.0,
        line_num_coeff=[0.0, 0, -1, *[0] * 17], line_den_coeff=[1.0, *[0] * 19], long_off=11.0, long_scale=1.0,
        samp_off=50.0, samp_scale=50.0, samp_num_coeff=[0.0, 1, *[0] * 18], samp_den_coeff=[1.0, *[0] * 19],
    )  # fmt: skip
    for name, crs, given in (("gcps", "EPSG:4326", points), ("rpcs", None, coefficients)):
        path = tmp_path / f"{name}.tif"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, "w", driver="GTiff", height=80, width=100, count=3, dtype="uint8") as file:
                file.write(np.random.default_rng(0).integers(0, 256, (3, 80, 100), np.uint8))
                setattr(file, name, given if crs is None else (given, crs))
            predictor = Predictor(lambda batch: batch, InferenceSpec(num_classes=3, window=(64, 64), stride=(32, 32)))
            outputs = Outputs(overlay=False, file_format=file_format)
            (written,) = predictor.predict_file(path, tmp_path / "maps", outputs=outputs)
            for result in (written, predictor.predict(path).save(tmp_path / "saved")):
                assert result.suffix == ".tif"
                with rasterio.open(path) as image, rasterio.open(result) as file:
                    if name == "rpcs":
                        for field in ("line_num_coeff", "samp_num_coeff", "long_off", "line_scale", "height_scale"):
                            assert getattr(file.rpcs, field) == getattr(coefficients, field)
                        continue
                    assert file.gcps[1] == image.gcps[1] == "EPSG:4326"
                    seen, wanted = ([(p.row, p.col, p.x, p.y) for p in f.gcps[0]] for f in (file, image))
                    assert len(seen) == 6
                    assert seen == wanted
