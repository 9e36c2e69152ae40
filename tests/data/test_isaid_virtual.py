"""The virtual data set: windows of the original images are the same samples, in the same order, as the cut patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from isaid_fixture import add_pair, colour, image_of, make_samples, png, unzip

from paddle_rsseg.data.datasets import ISAIDDataset
from paddle_rsseg.data.prepare.isaid import prepare_isaid
from paddle_rsseg.data.prepare.isaid_cut import Options

NORMALIZE = {"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
FLIP = {"type": "RandomHorizontalFlip"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> tuple[Path, Path]:
    """(zips, the same unzipped): the devkit's sizes, and one large enough that names do not sort like numbers."""
    root = tmp_path_factory.mktemp("isaid")
    make_samples(root / "zips")
    labels = np.random.default_rng(0).integers(0, 16, (12, 14), np.uint8).repeat(170, 0).repeat(150, 1)
    add_pair(root / "zips", "val", "P0002", png(image_of(*labels.shape, 2)), png(colour(labels)))
    unzip(root / "zips", root / "unzipped", "ref")
    return root / "zips", root / "unzipped"


def both(sources, tmp_path, mode, colors="kit", **arguments) -> tuple[ISAIDDataset, ISAIDDataset]:
    zips, unzipped = sources
    prepare_isaid(zips, tmp_path / "tree", Options(colors=colors), num_workers=2)
    cut = ISAIDDataset(dataset_root=str(tmp_path / "tree"), mode=mode, **arguments)
    virtual = ISAIDDataset(dataset_root=str(unzipped), mode=mode, virtual=True, colors=colors, **arguments)
    return cut, virtual


def assert_same(a: dict, b: dict) -> None:
    assert a["image"].dtype == b["image"].dtype
    np.testing.assert_array_equal(a["image"], b["image"])
    assert a["label"].dtype == b["label"].dtype
    np.testing.assert_array_equal(a["label"], b["label"])
    np.testing.assert_array_equal(a["valid"], b["valid"])
    assert a["index"] == b["index"]


@pytest.mark.parametrize("colors", ["kit", "ref"])
def test_every_raw_sample(sources, tmp_path, colors):
    cut, virtual = both(sources, tmp_path, "val", colors)
    # 2040×2100 gives 4 rows × 4 columns, of which '1024' sorts before '512'
    assert len(cut) == len(virtual) == 4 + 3 + 16
    names = [Path(cut.paths(i)[0]).stem for i in range(len(cut))]
    assert names == [virtual_name(virtual, i) for i in range(len(virtual))]
    assert names.index("P0002_1024_1920_0_896") < names.index("P0002_512_1408_0_896")
    for i in range(len(cut)):
        assert_same(cut.sample(i), virtual.sample(i))
    for fact in ("classes", "num_classes", "palette", "in_channels", "ignore_index"):
        assert getattr(cut, fact) == getattr(virtual, fact), fact


def virtual_name(dataset: ISAIDDataset, index: int) -> str:
    item = dataset.item(index)
    assert item.window is not None
    w = item.window
    return f"{Path(item.image).stem}_{w.y0}_{w.y1}_{w.x0}_{w.x1}"


def test_transformed_samples(sources, tmp_path):
    """Through the evaluation's transforms, and through random ones: chance depends on seed, epoch and index alone."""
    cut, virtual = both(sources, tmp_path, "train", transforms=[FLIP, NORMALIZE], seed=5)
    assert len(cut) == len(virtual) == 2
    for epoch in range(3):
        for i in range(len(cut)):
            assert_same(cut[epoch, i], virtual[epoch, i])
