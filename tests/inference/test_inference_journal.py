"""Interrupted runs go on where they were and end with the same bytes; finished ones are found again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from test_inference_engine import CLASSES, Smear

from paddle_rsseg.inference.engine import WindowPredictor
from paddle_rsseg.inference.journal import Journal
from paddle_rsseg.inference.products import Products
from paddle_rsseg.inference.scene import Outputs, Scene
from paddle_rsseg.inference.spec import InferenceSpec

SPEC = InferenceSpec(num_classes=CLASSES, window=(32, 32), stride=(12, 20), blend="cosine", nodata=0)
OUTPUTS = Outputs(products=Products(("probabilities", "entropy"), "uint8"))
HEIGHT, WIDTH = 150, 70


class Interrupted(BaseException):
    """A stand-in for a signal: nobody catches it by accident."""


class Counting(Smear):
    """Counts the windows that it has seen, and stops after some."""

    def __init__(self, limit: int | None = None):
        super().__init__()
        self.windows, self.limit = 0, limit

    def __call__(self, batch):
        if self.windows == self.limit:
            raise Interrupted
        self.windows += len(batch)
        return super().__call__(batch)


@pytest.fixture
def image(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(1, 256, (3, HEIGHT, WIDTH), np.uint8)
    pixels[:, :40, :30] = 0
    path = tmp_path / "images" / "a.tif"
    path.parent.mkdir()
    place = {"crs": "EPSG:32640", "transform": rasterio.Affine(2, 0, 9, 0, -2, 9)}
    with rasterio.open(path, "w", driver="GTiff", height=HEIGHT, width=WIDTH, count=3, dtype="uint8", **place) as file:
        file.write(pixels)
    return path


def scene(image: Path, directory: Path, network: Smear, outputs: Outputs = OUTPUTS, **options) -> Scene:
    options = {"model": "the same", **options}
    return Scene(image, directory, "north/a", WindowPredictor(network, SPEC, 1), outputs, **options)


def content(directory: Path) -> dict[str, str]:
    files = [path for path in directory.rglob("*") if path.is_file() and ".rsseg" not in path.parts]
    return {str(path.relative_to(directory)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def straight(image, tmp_path) -> tuple[dict[str, str], int]:
    """What an uninterrupted run gives, and the number of its windows."""
    network = Counting()
    with scene(image, tmp_path / "straight", network) as one:
        files = one.write()
    found = content(tmp_path / "straight")
    assert sorted(found) == [
        f"north/a_{kind}" for kind in ("entropy.tif", "label.tif", "overlay.jpg", "probabilities.tif")
    ]
    assert {path.name for path in files} == {Path(name).name for name in found}
    return found, network.windows


def test_interrupted_anywhere_and_started_again(image, tmp_path, straight):
    expected, total = straight
    again = 0
    for limit in range(0, total, 3):
        out = tmp_path / f"out{limit}"
        with pytest.raises(Interrupted), scene(image, out, Counting(limit)) as one:
            one.write()
        assert not content(out)
        with scene(image, out, Counting()) as one:
            kept = one.journal.finished()
            assert one.results() is None
            one.write()
            again = max(again, one.engine.score.backend.windows + limit - total)
        assert content(out) == expected
        assert kept == set(range(len(kept)))
        assert len(kept) >= limit // 12 - 2  # of 3 windows in a row, and what was computed but not yet stored
        assert [path.name for path in (out / ".rsseg").rglob("*") if path.is_file()] == ["a_label.json"]
    # stride 12 of 32: two rows of 3 windows reach into a band from above, and up to three bands wait for the disk
    assert again <= (2 + 3) * 3 + 2


def test_bands_may_come_in_any_order_and_from_several_runs(image, tmp_path, straight):
    with scene(image, tmp_path / "out", Counting()) as one:
        count = one.count
        for first in (5, 0, 7):
            one.compute(first, min(first + 3, count))
    with scene(image, tmp_path / "out", Counting()) as other:
        assert other.journal.finished() == {0, 1, 2, 5, 6, 7, 8, 9} & set(range(count))
        other.compute(0, 3)
        assert other.engine.score.backend.windows == 0
        other.compute(0, count)  # bands 3 and 4, then 10, each after two rows that reach into it; 3 windows a row
        assert other.engine.score.backend.windows == (2 + 2 + 2 + 1) * 3
        assert other.journal.finished() == set(range(count))
        other.write()
    assert content(tmp_path / "out") == straight[0]


def test_a_finished_scene_is_found_again(image, tmp_path, straight):
    def run(**options) -> int | None:
        network = Counting()
        with scene(image, tmp_path / "straight", network, **options) as one:
            if (found := one.results()) is not None:
                assert found[0].name == "a_label.tif"
                assert all(path.is_file() for path in found)
                return None
            one.write()
        return network.windows

    total = straight[1]
    assert run() is None
    assert run(overwrite=True) == total
    assert run(model="another") == total
    assert run(model="another") is None
    assert run(model=None) == total  # nobody knows what it computes
    assert run(model=None) == total
    assert run() == total
    (tmp_path / "straight" / "north" / "a_entropy.tif").unlink()
    assert run() == total
    os.utime(image)  # the image was written again
    assert run() == total
    assert run() is None
    assert content(tmp_path / "straight") == straight[0]


def test_a_damaged_band_is_computed_again(image, tmp_path, straight):
    with scene(image, tmp_path / "out", Counting()) as one:
        one.compute(0, one.count)
        files = sorted(one.journal.directory.glob("*.npz"))
    files[2].write_bytes(files[2].read_bytes()[:-20])
    files[4].write_bytes(b"")
    with scene(image, tmp_path / "out", Counting()) as one:
        one.write()
    assert content(tmp_path / "out") == straight[0]


def test_another_job_starts_anew(tmp_path):
    engine = WindowPredictor(Smear(), SPEC)
    image = np.ones((60, 40, 3), np.uint8)
    journal = Journal(tmp_path / "a", {"model": "one"})
    for band in engine.bands(image):
        journal.save(band)
    assert Journal(tmp_path / "a", {"model": "one"}).finished()
    assert not Journal(tmp_path / "a", {"model": "two"}).finished()


def test_bands_are_stored_as_they_are(tmp_path):
    engine = WindowPredictor(Smear(), SPEC)
    journal = Journal(tmp_path, {})
    for dtype in ("float32", "float16", "uint8"):
        for band in engine.bands(np.ones((60, 40, 3), np.uint8), Products(("probabilities", "margin"), dtype)):
            journal.save(band)
            found = journal.load(band.index)
            assert (found.y0, found.y1) == (band.y0, band.y1)
            for one, other in zip(
                (found.labels, *found.layers.values()), (band.labels, *band.layers.values()), strict=True
            ):
                assert one.dtype == other.dtype
                assert one.tobytes() == other.tobytes()
    assert journal.load(99) is None
