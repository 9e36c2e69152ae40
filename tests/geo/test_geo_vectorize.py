"""Files of polygons: what is in them, in which coordinates; whole or not there; the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import rasterio.features
import rasterio.warp

pyogrio = pytest.importorskip("pyogrio")
shapely = pytest.importorskip("shapely")

import paddle_rsseg.cli.vectorize as command  # noqa: E402
import paddle_rsseg.geo.vectorfile as vectorfile  # noqa: E402
import paddle_rsseg.geo.vectorize as vectorizing  # noqa: E402
from paddle_rsseg.cli.main import main  # noqa: E402
from paddle_rsseg.errors import RssegError  # noqa: E402
from paddle_rsseg.geo.vectorize import vectorize  # noqa: E402

UTM = {"crs": "EPSG:32640", "transform": rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 2.8e6)}
DEGREES = {"crs": "EPSG:4326", "transform": rasterio.Affine(1e-5, 0, 57, 0, -2e-5, 25.5)}
NAMES = {"0": "background", "1": "road", "2": "Straße"}


def some_labels(height=90, width=120, seed=0):
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    labels = cv2.GaussianBlur(noise, (0, 0), 4).argmax(2).astype(np.uint8)
    labels[:7, :9] = 255
    return labels


def write_map(path: Path, labels: np.ndarray, place=UTM, names=NAMES, **more):
    height, width = labels.shape
    profile = {"driver": "GTiff", "count": 1, "dtype": labels.dtype, "nodata": 255, "height": height, "width": width}
    with rasterio.open(path, "w", **profile, **place, **more) as file:
        file.write(labels, 1)
        if names:
            file.update_tags(CLASSES=json.dumps(names))
    return path


def read(path: Path):
    """Metadata, shapes, and columns by name."""
    meta, _, shapes, columns = pyogrio.raw.read(path)
    return meta, shapely.from_wkb(shapes), dict(zip(meta["fields"], columns, strict=True))


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "fgb"])
@pytest.mark.parametrize("place", [UTM, DEGREES], ids=["utm", "degrees"])
def test_what_is_in_a_file(tmp_path, suffix, place):
    labels = some_labels()
    out = tmp_path / f"new/scene.{suffix}"
    count = vectorize(write_map(tmp_path / "map.tif", labels, place), out)
    meta, shapes, columns = read(out)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert len(shapes) == count
    assert meta["geometry_type"] == "Polygon"
    assert meta["crs"] == ("EPSG:4326" if suffix == "geojson" else place["crs"])
    assert pyogrio.list_layers(out)[0, 0] == "scene"
    assert dict(zip(columns["class_id"].tolist(), columns["class"], strict=True)) == {
        0: "background", 1: "road", 2: "Straße",
    }  # fmt: skip
    assert shapely.is_valid(shapes).all()
    if place is UTM:
        for k in range(3):
            assert columns["area_m2"][columns["class_id"] == k].sum() == (labels == k).sum() * 0.25
    if suffix != "geojson" or place is DEGREES:
        drawn = rasterio.features.rasterize(
            zip(shapes, columns["class_id"], strict=True),
            labels.shape,
            255,
            transform=place["transform"],
            dtype="uint8",
        )
        np.testing.assert_array_equal(drawn, labels)


def test_geojson_of_projected_maps_is_in_degrees_and_has_no_gaps(tmp_path):
    out = tmp_path / "a.geojson"
    vectorize(write_map(tmp_path / "map.tif", np.where(some_labels() == 255, 0, some_labels())), out, simplify=0.7)
    content = json.loads(out.read_text(encoding="utf-8"))
    assert "crs" not in content  # as RFC 7946 has it
    _, shapes, _ = read(out)
    assert shapely.coverage_is_valid(shapes)
    corner = rasterio.warp.transform("EPSG:32640", "EPSG:4326", [5e5], [2.8e6])
    bounds = shapely.total_bounds(shapes)
    np.testing.assert_allclose((bounds[0], bounds[3]), np.ravel(corner), atol=2e-7)
    assert all(shapely.is_ccw(shapely.get_exterior_ring(shapes)))


def test_areas_against_values_worked_out_by_hand(tmp_path):
    labels = np.zeros((4, 6), np.uint8)
    labels[1:3, 2:5] = 1
    vectorize(write_map(tmp_path / "utm.tif", labels), tmp_path / "utm.gpkg")
    _, _, columns = read(tmp_path / "utm.gpkg")
    assert dict(zip(columns["class_id"].tolist(), columns["area_m2"].tolist(), strict=True)) == {0: 4.5, 1: 1.5}
    # a ten-thousandth of a degree at the equator of WGS84: 11.13195 m by 11.05743 m
    small = {"crs": "EPSG:4326", "transform": rasterio.Affine(1e-4, 0, 7, 0, -1e-4, 0.0002)}
    vectorize(write_map(tmp_path / "degrees.tif", labels, small), tmp_path / "degrees.gpkg")
    _, _, columns = read(tmp_path / "degrees.gpkg")
    assert columns["area_m2"][columns["class_id"] == 1] == pytest.approx(6 * 11.13195 * 11.05743, rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_confidence_is_the_mean_over_the_pixels(tmp_path, dtype):
    labels = some_labels()
    sure = np.random.default_rng(1).integers(0, 251, labels.shape)
    gone = np.random.default_rng(2).random(labels.shape) < 0.1
    gone[labels == 2] = True
    stored = np.where(gone, 255, sure).astype(np.uint8)
    confidence = tmp_path / "confidence.tif"
    if dtype == "uint8":
        write_map(confidence, stored, names=None)
        with rasterio.open(confidence, "r+") as file:
            file.scales = (0.004,)
    else:
        write_map(confidence, np.where(gone, -1, sure / 250).astype(np.float32), names=None)
        with rasterio.open(confidence, "r+") as file:
            file.nodata = -1
    vectorize(write_map(tmp_path / "map.tif", labels), tmp_path / "a.gpkg", confidence=confidence)
    _, shapes, columns = read(tmp_path / "a.gpkg")
    for shape, mean, k in zip(shapes, columns["confidence"], columns["class_id"], strict=True):
        own = rasterio.features.geometry_mask([shape], labels.shape, UTM["transform"], invert=True) & ~gone
        if k == 2 or not own.any():
            assert np.isnan(mean)
        else:
            assert mean == pytest.approx(sure[own].mean() / 250, rel=1e-6)


def test_merging_and_filling_keep_the_area_and_dropping_does_not(tmp_path):
    labels = np.random.default_rng(3).integers(0, 3, (60, 80)).astype(np.uint8)
    source = write_map(tmp_path / "map.tif", labels)
    totals = {}
    for name, options in {
        "merge": {"min_area": 3.0, "small": "merge"},
        "drop": {"min_area": 3.0},
        "fill": {"holes": 50},
    }.items():
        vectorize(source, tmp_path / f"{name}.gpkg", **options)
        _, shapes, columns = read(tmp_path / f"{name}.gpkg")
        np.testing.assert_allclose(shapely.area(shapes), columns["area_m2"])
        totals[name] = columns["area_m2"].sum(), columns["area_m2"].min()
    assert totals["merge"][0] == totals["fill"][0] == labels.size * 0.25
    assert totals["merge"][1] >= 3
    assert totals["drop"][0] < labels.size * 0.25
    assert totals["drop"][1] >= 3


def test_a_map_without_data_gives_a_file_without_polygons(tmp_path):
    source = write_map(tmp_path / "map.tif", np.full((5, 5), 255, np.uint8))
    for suffix in ("gpkg", "geojson", "fgb"):
        assert vectorize(source, tmp_path / f"a.{suffix}") == 0
        assert (
            read(tmp_path / f"a.{suffix}")[0]["fields"].tolist() == ["class_id", "class", "area_m2"]
            or suffix == "geojson"
        )


def test_a_map_without_place_is_measured_in_pixels(tmp_path):
    labels = some_labels()
    cv2.imwrite(str(tmp_path / "map.png"), labels)
    assert vectorize(tmp_path / "map.png", tmp_path / "a.gpkg", min_area=30, simplify=1)
    _, _, columns = read(tmp_path / "a.gpkg")
    assert columns["area_px"].min() >= 30
    with pytest.raises(RssegError, match="GeoJSON"):
        vectorize(tmp_path / "map.png", tmp_path / "a.geojson")


def test_what_goes_wrong_leaves_the_old_file_and_nothing_else(tmp_path):
    source = write_map(tmp_path / "map.tif", some_labels())
    wrong = write_map(tmp_path / "wrong.tif", some_labels(), names=None)  # labels are no confidences
    other = write_map(tmp_path / "other.tif", some_labels(50), names=None)
    there = {path.name for path in tmp_path.iterdir()} | {"a.gpkg", "a.fgb"}
    for suffix in ("gpkg", "fgb"):
        (tmp_path / f"a.{suffix}").write_bytes(b"old")
        for confidence, what in ((wrong, "confidence from 0 to 1"), (other, "90 pixels")):
            with pytest.raises(RssegError, match=what):
                vectorize(source, tmp_path / f"a.{suffix}", confidence=confidence)
        assert (tmp_path / f"a.{suffix}").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == there
    (tmp_path / "directory.gpkg").mkdir()
    with pytest.raises(RssegError, match="cannot be written"):
        vectorize(source, tmp_path / "directory.gpkg")


@pytest.mark.parametrize("first", ["rasterio", "pyogrio"])
def test_two_copies_of_gdal_find_their_coordinate_systems(tmp_path, first):
    """rasterio's and pyogrio's wheels bring a GDAL and a PROJ each, whichever is imported first."""
    source = write_map(tmp_path / "map.tif", some_labels())
    code = (
        f"import {first}\nimport {'pyogrio.raw' if first == 'rasterio' else 'rasterio.warp'}\n"
        "from paddle_rsseg.geo.vectorize import vectorize\n"
        f"[vectorize({str(source)!r}, {str(tmp_path)!r} + '/a.' + s) for s in ('geojson', 'gpkg')]\n"
        "import pyogrio, rasterio\n"
        f"assert pyogrio.read_info({str(tmp_path)!r} + '/a.gpkg')['crs'] == 'EPSG:32640'\n"
        f"assert rasterio.open({str(source)!r}).crs.to_epsg() == 32640\n"
    )
    subprocess.run([sys.executable, "-W", "error::RuntimeWarning", "-c", code], check=True)
    assert read(tmp_path / "a.geojson")[0]["crs"] == "EPSG:4326"


def test_the_command(tmp_path, capsys):
    source = write_map(tmp_path / "scene_label.tif", some_labels())
    write_map(tmp_path / "scene_overlay.tif", some_labels(20), names=None)  # no label map
    assert main(["vectorize", str(source), "--classes", "road", "2", "--simplify", "0.5", "--min_area", "2"]) == 0
    _, _, columns = read(tmp_path / "scene_polygons.gpkg")
    assert set(columns["class"]) == {"road", "Straße"}
    out = tmp_path / "out"
    (tmp_path / "sub").mkdir()
    write_map(tmp_path / "sub" / "two_label.tif", some_labels(30))
    assert main(["vectorize", str(tmp_path), "-o", str(out), "--format", "fgb"]) == 0
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.fgb")) == [
        "scene_polygons.fgb", "sub/two_polygons.fgb",
    ]  # fmt: skip
    assert "2 of 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--classes", "raod"], "did you mean 'road'"),
        (["-o", "a.shp"], ".gpkg"),
        (["-o", "a.gpkg", "--format", "fgb"], "with --format fgb"),
        (["--min_area", "-1"], "at least 0"),
        (["--simplify", "nan"], "at least 0"),
        (["--confidence", "gone.tif"], "gone.tif"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path, capsys, monkeypatch, arguments, answer):
    monkeypatch.chdir(tmp_path)
    write_map(Path("map.tif"), some_labels())
    assert main(["vectorize", "map.tif", *arguments]) == 2
    told = capsys.readouterr().err
    assert answer in told
    assert told.count("\n") == 1
    assert os.listdir() == ["map.tif"]


def test_the_command_offers_what_the_library_does():
    assert command.FORMATS == vectorfile.FORMATS
    assert command.SMALL == vectorizing.SMALL


def test_without_the_packages_it_says_how_to_get_them(tmp_path):
    source = write_map(tmp_path / "map.tif", some_labels())
    code = (
        "import sys\nsys.modules['pyogrio'] = None\nfrom paddle_rsseg.cli.main import main\n"
        f"sys.exit(main(['vectorize', {str(source)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'paddle-rsseg[vector]'" in done.stderr
    assert done.stderr.count("\n") == 1


PEAK = """
    import re, sys, numpy as np
    from pathlib import Path
    from rasterio import Affine
    from paddle_rsseg.geo.clean import absorb, fill_holes
    from paddle_rsseg.geo.polygons import polygons
    from paddle_rsseg.geo.vectorfile import Place, write_polygons

    rows, times = np.load(sys.argv[1]), 30

    def peak():
        return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

    def again():
        for i in range(times):
            if i == times // 3:
                print(peak())
            yield rows

    clean = absorb(fill_holes(again(), 20, range(3), 255), 5, range(3), 255)
    found = polygons(clean, np.ones(times * len(rows)), range(3), simplify=lambda row: (1.0, 1.0, 1.0))
    write_polygons(Path(sys.argv[2]), found, Place(None, Affine.identity()), {})
    print(peak())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_memory_does_not_grow_with_the_height(tmp_path):
    """After a third of the rows nothing is added but what fragments; 30 million numbers of regions would be 120 MB."""
    np.save(tmp_path / "rows.npy", some_labels(512, 3000))
    command = [sys.executable, "-c", textwrap.dedent(PEAK), str(tmp_path / "rows.npy"), str(tmp_path / "a.gpkg")]
    third, whole = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert whole - third < 40, (third, whole)
