"""Polygons right after a prediction: those of the map it wrote, with the mean confidence."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import rasterio.features

pyogrio = pytest.importorskip("pyogrio")
shapely = pytest.importorskip("shapely")

import paddle_rsseg.cli.predict as command  # noqa: E402
from paddle_rsseg.errors import RssegError  # noqa: E402
from paddle_rsseg.geo import vectorfile, writer  # noqa: E402
from paddle_rsseg.inference import Predictor  # noqa: E402
from paddle_rsseg.inference.products import Products  # noqa: E402
from paddle_rsseg.inference.scene import Outputs  # noqa: E402
from paddle_rsseg.inference.spec import InferenceSpec  # noqa: E402

PLACE = rasterio.Affine(2, 0, 5e5, 0, -2, 2.8e6)
SPEC = InferenceSpec(
    num_classes=3, mean=(0,) * 3, std=(1,) * 3, window=(32, 32), stride=(24, 24), classes=("a", "b", "c"), pad_to=8
)


def bands_as_scores(batch: np.ndarray) -> np.ndarray:
    return batch * 5


def write_image(path, height=70, width=90, **place):
    small = np.random.default_rng(0).integers(0, 256, (3, height // 5, width // 5)).astype(np.uint8)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": height, "width": width, **place}
    with rasterio.open(path, "w", **profile) as file:
        file.write(small.repeat(5, 1).repeat(5, 2))
    return path


def test_polygons_are_those_of_the_map(tmp_path):
    image = write_image(tmp_path / "scene.tif", crs="EPSG:32640", transform=PLACE)
    predictor = Predictor(bands_as_scores, SPEC)
    written = predictor.predict_file(
        image, tmp_path / "out", outputs=Outputs(vectors="gpkg", products=Products(("margin",)))
    )
    assert [path.name for path in written] == [
        "scene_label.tif", "scene_margin.tif", "scene_confidence.tif", "scene_overlay.jpg", "scene_polygons.gpkg",
    ]  # fmt: skip
    with rasterio.open(written[0]) as file:
        labels = file.read(1)
    with rasterio.open(written[2]) as file:
        confidence = file.read(1)
    meta, _, shapes, columns = pyogrio.raw.read(written[-1])
    shapes = shapely.from_wkb(shapes)
    assert meta["crs"] == "EPSG:32640"
    assert set(columns[1]) == {"a", "b", "c"}
    drawn = rasterio.features.rasterize(zip(shapes, columns[0], strict=True), labels.shape, 255, transform=PLACE)
    np.testing.assert_array_equal(drawn, labels)
    for shape, area, mean in zip(shapes, columns[2], columns[3], strict=True):
        own = rasterio.features.geometry_mask([shape], labels.shape, PLACE, invert=True)
        assert area == own.sum() * 4
        assert mean == pytest.approx(confidence[own].mean(), rel=1e-5)


def test_what_cannot_be_is_said_before_the_work(tmp_path):
    predictor = Predictor(bands_as_scores, SPEC)
    plain = write_image(tmp_path / "plain.tif")
    with pytest.raises(RssegError, match="GeoJSON"):
        predictor.predict_file(plain, tmp_path / "out", outputs=Outputs(vectors="geojson"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(RssegError, match="vectors"):
        Outputs(vectors="shp")
    with pytest.raises(RssegError, match="label map"):
        Outputs(vectors="gpkg", probability=1)


def test_the_command_offers_what_the_library_does():
    assert command.VECTORS == vectorfile.FORMATS
    assert command.FORMATS == writer.FORMATS
