"""NumPy files are read like any other raster, and never executed."""

import pickle

import numpy as np
import pytest

from paddle_rsseg.data.arrays import NpyRaster
from paddle_rsseg.data.datasets import FolderDataset
from paddle_rsseg.data.raster import open_raster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.windows import Window


def saved(path, array, **options):
    np.save(path, array, **options)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "bool", ">u2", "<i8", "float16", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_number_type_and_order(tmp_path, dtype, order):
    array = np.asarray(np.arange(5 * 7 * 3).reshape(5, 7, 3) % 251, dtype, order=order)
    raster = open_raster(saved(tmp_path / "a.npy", array))
    assert isinstance(raster, NpyRaster)
    assert (raster.height, raster.width, raster.count) == (5, 7, 3)
    whole = raster.read()
    assert whole.dtype == raster.dtype
    assert whole.dtype.isnative
    assert whole.flags["C_CONTIGUOUS"]
    assert np.array_equal(whole, array)
    assert np.array_equal(raster.read(Window(1, 4, 2, 6), [3, 1]), array[1:4, 2:6][..., [2, 0]])
    whole[:] = 0  # a copy: the file stays as it is
    assert np.array_equal(open_raster(str(tmp_path / "a.npy")).read(), array)


def test_two_axes_are_one_band_and_nan_is_no_data(tmp_path):
    array = np.array([[1.0, np.nan], [2.0, 3.0]])
    raster = open_raster(saved(tmp_path / "a.NPY.npy", array))
    assert raster.count == 1
    assert raster.valid().tolist() == [[True, False], [True, True]]
    assert np.array_equal(pickle.loads(pickle.dumps(raster)).read(), raster.read(), equal_nan=True)
    with pytest.raises(RssegError, match=r"a\.NPY\.npy: bands \[2\]"):
        raster.read(bands=[2])


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: np.save(path, np.array([Bomb()]), allow_pickle=True), "cannot be read"),
        (lambda path: path.write_bytes(pickle.dumps(Bomb())), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_bytes(b"not an array"), "cannot be read"),
        (lambda path: np.save(path, np.array([["a"]])), "an array of <U1"),
        (lambda path: np.save(path, np.zeros((2, 2), complex)), "an array of complex128"),
        (lambda path: np.save(path, np.zeros(4)), r"shape \(4,\)"),
        (lambda path: np.save(path, np.zeros((1, 1, 1, 1))), r"shape \(1, 1, 1, 1\)"),
        (lambda path: np.save(path, np.zeros((0, 4))), "cannot be read|not empty"),
        (lambda path: np.savez(path.open("wb"), np.zeros((4, 4))), "cannot be read"),
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "directory"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_in_one_line(tmp_path, make, message):
    path = tmp_path / "a.npy"
    make(path)
    with pytest.raises(RssegError, match=message) as caught:
        open_raster(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path):
    path = saved(tmp_path / "a.npy", np.zeros((50, 50)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RssegError, match=r"a\.npy: cannot be read"):
        open_raster(path)


def test_folders_of_arrays(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    image = np.random.default_rng(0).integers(0, 5000, (6, 8, 5), dtype=np.uint16)
    label = np.arange(48).reshape(6, 8) % 3
    saved(tmp_path / "images/a.npy", image)
    saved(tmp_path / "labels/a.npy", label)
    dataset = FolderDataset(
        image_dir=str(tmp_path / "images"), mask_dir=str(tmp_path / "labels"), mode="train", num_classes=3
    )
    sample = dataset.sample(0)
    assert dataset.in_channels == 5
    assert np.array_equal(sample["image"], image)
    assert np.array_equal(sample["label"], label)
    assert sample["label"].dtype == np.uint8
    saved(tmp_path / "labels/a.npy", label + 65535)
    with pytest.raises(RssegError, match=r"a\.npy: label value 65535 "):
        dataset.sample(0)
