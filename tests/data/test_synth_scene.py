"""The renderer: deterministic, exact, and everything in its place."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from paddle_rsseg.data.synth import ISAID, LANDCOVER, LEGENDS, SceneStream, render_scene
from paddle_rsseg.data.synth.features import FEATURES, STRIPS
from paddle_rsseg.data.synth.ground import Layer
from paddle_rsseg.data.synth.legends import Kind
from paddle_rsseg.data.synth.materials import BANDS, Material, spectra
from paddle_rsseg.data.synth.render import TILE, hashed, noise
from paddle_rsseg.errors import RssegError
from paddle_rsseg.windows import Window

ALL = (*FEATURES, *STRIPS)
DIGEST = """
import hashlib
from paddle_rsseg.data.synth import render_scene
scene = render_scene(
    5, 200, 260, scene=2, features=("airport", "river"), bands=4, dtype="uint16", collar=0.1, label_noise=0.2
)
print(hashlib.sha256(scene.image.tobytes() + scene.label.tobytes()).hexdigest())
"""


def test_same_bytes_in_another_process():
    scene = render_scene(
        5, 200, 260, scene=2, features=("airport", "river"), bands=4, dtype="uint16", collar=0.1, label_noise=0.2
    )
    here = hashlib.sha256(scene.image.tobytes() + scene.label.tobytes()).hexdigest()
    there = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_seed_and_scene_number_matter():
    images = [render_scene(seed, 96, 96, scene=scene).image for seed, scene in ((0, 0), (0, 1), (1, 0))]
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (3, "uint8"), (4, "uint16"), (10, "uint16"), (12, "uint8")])
def test_shapes_and_types(bands, dtype):
    scene = render_scene(1, 70, 110, bands=bands, dtype=dtype)
    assert scene.image.shape == (70, 110, bands)
    assert scene.image.dtype == dtype
    assert scene.label.shape == (70, 110)
    assert scene.label.dtype == np.uint8
    assert scene.label.max() < 16
    assert scene.image.min() >= 1  # 0 is kept for pixels without data
    assert scene.nodata is None
    assert scene.image.std() > 0


def test_fewer_bands_are_the_first_of_more():
    few = render_scene(3, 64, 64, bands=4, dtype="uint16").image
    many = render_scene(3, 64, 64, bands=12, dtype="uint16").image
    # all but the grain of the sensor, a few hundredths of the square root of the signal
    difference = np.abs(few.astype(int) - many[..., :4].astype(int))
    assert np.median(difference) < 100
    assert few.mean() > 600


@pytest.mark.parametrize("legend", sorted(LEGENDS))
def test_all_features_together_show_every_class(legend):
    scene = render_scene(0, 448, 448, legend=legend, features=ALL)
    counts = np.bincount(scene.label.ravel(), minlength=len(LEGENDS[legend].classes))
    assert len(counts) == len(LEGENDS[legend].classes)
    assert (counts > 0).all(), dict(zip(LEGENDS[legend].classes, counts.tolist(), strict=True))


FEATURE_CLASSES = {
    "airport": ("Plane", "HC"),
    "sports": ("GTF", "SBF"),
    "courts": ("BD", "TC", "BC", "SP"),
    "tanks": ("ST",),
    "trucks": ("LV",),
    "roundabout": ("RA",),
    "river": ("Bridge",),
    "harbour": ("Harbor", "Ship"),
}


@pytest.mark.parametrize("feature", sorted(FEATURE_CLASSES))
@pytest.mark.parametrize("seed", range(4))
def test_a_feature_brings_its_classes(feature, seed):
    label = render_scene(seed, 384, 384, features=[feature], gsd=0.8).label
    for name in FEATURE_CLASSES[feature]:
        assert (label == ISAID.classes.index(name)).sum() >= 20, name


def test_labels_are_the_very_pixels_of_the_surfaces():
    """A label and its surface are painted by one call: wherever a surface belongs to one class only, they agree."""
    stream = SceneStream(4, 300, 300, features=("courts", "pools", "river", "harbour"))
    m = stream._renderer._margin
    canvas, label = (a[m:-m, m:-m] for a in stream._renderer._paint(Window(-m, 300 + m, -m, 300 + m)))
    material, kind = canvas[..., 0], canvas[..., 1]
    assert np.array_equal(label, ISAID.table()[kind])
    assert np.array_equal(label, render_scene(4, 300, 300, features=("courts", "pools", "river", "harbour")).label)
    assert set(np.unique(kind[material == Material.POOL])) == {Kind.POOL}
    assert np.array_equal(kind == Kind.WATER, np.isin(material, (Material.SEA, Material.RIVER)))
    assert (kind[material == Material.SEA] == Kind.WATER).all()


def test_layers_put_cars_over_roads_and_trees_over_all():
    assert Layer.LAND < Layer.ROAD < Layer.MARK < Layer.BUILT < Layer.VEHICLE < Layer.TREE


def test_one_window_or_many_tiles_are_one_picture():
    """What a tile shows does not depend on the tile, but for the sensor's grain at a seam."""
    height, width = 90, TILE + 60
    stream = SceneStream(2, height, width, gsd=0.4, dtype="uint16")
    whole, label = stream._renderer.tile(Window(0, height, 0, width))
    for window, image, ids in stream.tiles():
        assert np.mean(ids != label[window.slices]) < 1e-3  # the painter may round an edge it enters midway
        difference = np.abs(image.astype(int) - whole[window.slices].astype(int))
        assert np.median(difference) <= 120  # the grain, of 10,000
    assert sum(w.width * w.height for w, _, _ in stream.tiles()) == height * width


def test_noise_is_seamless_and_balanced():
    whole = noise(Window(-30, 70, -50, 90), 9, 123)
    part = noise(Window(10, 40, -7, 60), 9, 123)
    np.testing.assert_allclose(whole[40:70, 43:110], part, atol=1e-6)
    values = hashed(*np.meshgrid(np.arange(200), np.arange(200)), 7)
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1 / np.sqrt(3)) < 0.02
    assert abs(np.corrcoef(values[:, :-1].ravel(), values[:, 1:].ravel())[0, 1]) < 0.02


def test_georeference():
    scene = render_scene(0, 80, 100, scene=3, gsd=0.5)
    assert scene.crs.to_epsg() == 32640
    assert scene.crs.linear_units == "metre"
    assert (scene.transform.a, scene.transform.e) == (0.5, -0.5)
    other = render_scene(0, 80, 100, scene=4, gsd=0.5)
    assert abs(scene.transform.c - other.transform.c) > 1000  # scenes lie apart
    small, large = render_scene(0, 32, 32), SceneStream(0, 2048, 2048)
    assert small.gsd == pytest.approx(300 / 32)
    assert 0.3 <= large.gsd <= 0.5


@pytest.mark.parametrize(("bands", "dtype"), [(3, "uint8"), (4, "uint16")])
def test_collar(bands, dtype):
    scene = render_scene(6, 200, 240, bands=bands, dtype=dtype, collar=0.15)
    empty = (scene.image == 0).all(2)
    assert scene.nodata == 0
    assert np.array_equal(empty, scene.label == 255)
    assert np.array_equal(empty, (scene.image == 0).any(2))
    assert 0.05 < empty.mean() < 0.5
    assert empty[0].any()
    assert empty[-1].any()
    assert empty[:, 0].any()
    assert not empty[80:120, 100:140].any()
    edge = np.argmin(empty, axis=1)[60:140]  # first pixel with data: the border is slanted
    assert edge.max() > edge.min()
    plain = render_scene(6, 200, 240, bands=bands, dtype=dtype)
    assert np.array_equal(scene.image[~empty], plain.image[~empty])


def test_label_noise_changes_labels_only_and_by_the_asked_amount():
    clean = render_scene(8, 400, 400, features=("trucks",))
    changed = []
    for amount in (0.05, 0.3):
        noisy = render_scene(8, 400, 400, features=("trucks",), label_noise=amount)
        assert np.array_equal(noisy.image, clean.image)
        assert noisy.label.max() < 16
        changed.append(np.mean(noisy.label != clean.label))
    assert 0.005 < changed[0] < changed[1] < 0.6


def test_vegetation_and_water_reflect_as_they_do():
    names = [name for name, _ in BANDS]
    table = spectra(12).mean(0)
    red, nir, edge = (table[names.index(n)] for n in ("red", "near infrared", "red edge 2"))
    for green in (Material.GRASS, Material.LAWN, Material.TREE, Material.CROP, Material.TURF):
        assert (nir[green] - red[green]) / (nir[green] + red[green]) > 0.4
        assert red[green] < edge[green] < nir[green]
    for water in (Material.SEA, Material.RIVER, Material.POOL):
        assert nir[water] < 0.04
    # artificial grass-coloured courts are told from grass by the infrared only
    assert (nir[Material.COURT_GREEN] - red[Material.COURT_GREEN]) < 0.15
    assert table[:, [int(m) for m in Material]].min() > 0


def test_shadows_fall_away_from_the_sun():
    stream = SceneStream(1, 64, 64, gsd=0.5)
    renderer = stream._renderer
    canvas = np.zeros((201, 201, 4), np.uint8)
    canvas[95:106, 95:106, 2] = 20  # 10 m
    light = renderer._light(canvas)
    ys, xs = np.nonzero(light < 0.5)
    sun = stream._renderer.plan.ground.sun
    towards = (xs - 100) * sun.dx + (ys - 100) * sun.dy
    assert towards.max() < 8
    assert -towards.min() == pytest.approx(10 / sun.slope / 0.5, abs=8)
    assert (light[95:106, 95:106] > 0.5).all()  # the roof itself is lit


def test_colours_alone_do_not_tell_the_classes():
    """A nearest-mean classifier on colours does better than chance and much worse than a network has to."""
    train = render_scene(0, 400, 400, legend="landcover")
    colours = train.image.reshape(-1, 3).astype(float)
    labels = train.label.ravel()
    present = np.unique(labels)
    means = np.stack([colours[labels == k].mean(0) for k in present])
    guess = present[np.argmin(((colours[:, None] - means) ** 2).sum(2), 1)]
    recall = np.mean([np.mean(guess[labels == k] == k) for k in present])
    assert 1.3 / len(present) < recall < 0.85


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"legend": "dubay"}, "unknown legend"),
        ({"bands": 13}, "synth.bands"),
        ({"dtype": "float32"}, "uint8 or uint16"),
        ({"features": ["airprot"]}, "did you mean 'airport'"),
        ({"collar": 0.7}, "collar"),
        ({"gsd": 0.0}, "gsd"),
        ({"label_noise": -0.1}, "label_noise"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(RssegError, match=message):
        render_scene(0, 64, 64, **options)
    with pytest.raises(RssegError, match="size"):
        render_scene(0, 8, 64)


def test_legends():
    assert len(ISAID.classes) == len(ISAID.palette) == 16
    assert ISAID.palette[2] == (0, 63, 63)
    assert set(ISAID.ids.values()) == set(range(16))
    assert set(LANDCOVER.ids.values()) == set(range(5))
    label = np.array([[0, 4, 255]], np.uint8)
    assert LANDCOVER.colourise(label).tolist() == [[[60, 16, 152], [226, 169, 41], [155, 155, 155]]]
