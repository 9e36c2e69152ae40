"""The reader against files written on the spot, and against the real ones where they are present."""

import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from paddle_rsseg.data.raster import ArrayRaster, Raster, open_raster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.windows import Window, grid

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real images are not here")


def write(path, array, **profile):
    """H×W×C array → GeoTIFF (or what the suffix says)."""
    alpha = profile.pop("alpha", None)
    height, width, count = array.shape
    profile = {"driver": "GTiff", "photometric": "minisblack", **profile}
    with rasterio.open(path, "w", height=height, width=width, count=count, dtype=array.dtype, **profile) as file:
        if alpha:
            file.colorinterp = [*file.colorinterp[: alpha - 1], ColorInterp.alpha]
        file.write(array.transpose(2, 0, 1))
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
@pytest.mark.parametrize("count", [1, 3, 4, 10])
@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}])
def test_windows_equal_slices(tmp_path, dtype, count, layout):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 120, (45, 37, count)).astype(dtype)
    raster = Raster(write(tmp_path / "a.tif", array, **layout))
    assert (raster.height, raster.width, raster.count, raster.dtype) == (45, 37, count, np.dtype(dtype))
    assert np.array_equal(raster.read(), array)
    bands = list(range(count, 0, -2))
    for window in grid(45, 37, (20, 16), (13, 11)):
        assert np.array_equal(raster.read(window), array[window.slices])
        assert np.array_equal(raster.read(window, bands), array[window.slices][..., [b - 1 for b in bands]])
    assert raster.valid() is None


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".webp"])
def test_pictures_are_rgb(tmp_path, suffix):
    array = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (50, 60, 3), dtype=np.uint8), (0, 0), 4)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), array[..., ::-1])
    raster = Raster(path)
    whole = raster.read()
    tolerance = 0 if suffix in (".png", ".bmp") else 12
    assert np.abs(whole.astype(int) - array).max() <= tolerance
    window = Window(7, 33, 11, 60)
    part = raster.read(window)
    assert np.array_equal(part, whole[window.slices])
    part[:] = 0  # a caller's writing must not reach the kept pixels
    assert np.array_equal(raster.read(window), whole[window.slices])
    assert np.array_equal(raster.read(window, [3, 1]), whole[window.slices][..., [2, 0]])


@pytest.mark.parametrize("flag", [cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE])
def test_jpeg_colours_are_those_of_other_readers(tmp_path, flag):
    array = np.random.default_rng(1).integers(0, 256, (50, 61, 3), dtype=np.uint8)
    path = str(tmp_path / "a.jpg")
    cv2.imwrite(path, array if flag == cv2.IMREAD_COLOR else array[..., 0])
    expected = np.atleast_3d(cv2.imread(path, flag))[..., ::-1]
    raster = Raster(path)
    assert raster.count == expected.shape[2]
    assert np.array_equal(raster.read(), expected)
    assert np.array_equal(raster.read(Window(3, 30, 5, 60), [1]), expected[3:30, 5:60, :1])


def test_sixteen_bit_png_and_grey(tmp_path):
    array = np.random.default_rng(1).integers(0, 65536, (20, 30), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), array)
    raster = Raster(tmp_path / "a.png")
    assert raster.count == 1
    assert raster.dtype == np.uint16
    assert np.array_equal(raster.read()[..., 0], array)


def test_palette_as_image_and_as_label(tmp_path):
    index = np.random.default_rng(2).integers(0, 4, (20, 30), dtype=np.uint8)
    colours = {0: (10, 20, 30), 1: (200, 0, 7), 2: (0, 255, 0), 3: (9, 9, 9)}
    path = tmp_path / "p.tif"
    with rasterio.open(path, "w", driver="GTiff", height=20, width=30, count=1, dtype="uint8") as file:
        file.write(index, 1)
        file.write_colormap(1, colours)
    image = Raster(path)
    assert image.count == 3
    assert np.array_equal(image.read(), np.array([colours[i] for i in range(4)], np.uint8)[index])
    assert np.array_equal(image.read(Window(3, 9, 2, 8), [2])[..., 0], image.read()[3:9, 2:8, 1])
    label = Raster(path, expand_palette=False)
    assert np.array_equal(label.read()[..., 0], index)
    assert label.colormap[1][:3] == colours[1]


def test_nodata_counts_only_if_all_chosen_bands_have_it(tmp_path):
    array = np.full((6, 8, 3), 7, np.int16)
    array[0] = -9999
    array[1, :, 0] = -9999
    raster = Raster(write(tmp_path / "a.tif", array, nodata=-9999))
    valid = raster.valid()
    assert not valid[0].any()
    assert valid[1:].all()
    assert not raster.valid(bands=[1])[:2].any()
    assert raster.valid(Window(2, 6, 0, 8)) is None
    assert raster.valid(nodata=7)[:2].all()
    assert not raster.valid(nodata=7)[2:].any()


def test_float_pixels_that_are_no_numbers_are_invalid(tmp_path):
    array = np.ones((6, 8, 2), np.float32)
    array[0, 0, 1] = np.nan
    array[5, 7, 0] = np.inf
    for raster in (Raster(write(tmp_path / "a.tif", array, nodata=np.nan)), ArrayRaster(array)):
        valid = raster.valid()
        assert (~valid).sum() == 2
        assert not valid[0, 0]
        assert not valid[5, 7]


def test_alpha_is_a_mask_unless_asked_for(tmp_path):
    array = np.random.default_rng(3).integers(1, 255, (10, 12, 4), dtype=np.uint8)
    array[:4, :, 3] = 0
    raster = Raster(write(tmp_path / "a.tif", array, photometric="rgb", alpha=4))
    assert raster.count == 3
    assert np.array_equal(raster.read(), array[..., :3])
    assert not raster.valid()[:4].any()
    assert raster.valid()[4:].all()
    image, valid = raster.read_valid(bands=[4, 1])
    assert np.array_equal(image, array[..., [3, 0]])
    assert valid is None


def test_internal_mask(tmp_path):
    path = write(tmp_path / "a.tif", np.ones((10, 12, 2), np.uint16))
    mask = np.full((10, 12), 255, np.uint8)
    mask[:, :5] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(mask)
    assert np.array_equal(Raster(path).valid(), mask > 0)
    assert np.array_equal(Raster(path).valid(Window(1, 4, 3, 9)), mask[1:4, 3:9] > 0)


def test_georeference_and_vrt(tmp_path):
    transform = rasterio.Affine(30, 0, 500000, 0, -30, 4200000)
    array = np.arange(10 * 12 * 2, dtype=np.uint16).reshape(10, 12, 2)
    write(tmp_path / "a.tif", array, crs="EPSG:32617", transform=transform)
    (tmp_path / "a.vrt").write_text(
        '<VRTDataset rasterXSize="12" rasterYSize="10"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>2</SourceBand></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )
    raster = Raster(tmp_path / "a.tif")
    assert raster.crs.to_epsg() == 32617
    assert raster.transform == transform
    assert np.array_equal(Raster(tmp_path / "a.vrt").read()[..., 0], array[..., 1])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.98])
def test_truncated_files_are_refused_by_name(tmp_path, suffix, part):
    path = tmp_path / f"cut{suffix}"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (200, 180, 3), dtype=np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(RssegError, match=f"cut{suffix}.*cannot be read"):
        Raster(path).read()
    with pytest.raises(RssegError, match=f"cut{suffix}.*cannot be read"):
        Raster(path).read(Window(150, 200, 0, 50))


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(RssegError, match=r"gone\.png: no such file"):
        Raster(tmp_path / "gone.png").read()
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(RssegError, match=r"text\.png.*cannot be read"):
        _ = Raster(tmp_path / "text.png").height
    with pytest.raises(RssegError, match="is a directory"):
        Raster(tmp_path).read()


def test_wrong_bands_and_windows(tmp_path):
    raster = Raster(write(tmp_path / "a.tif", np.ones((10, 12, 2), np.uint16)))
    with pytest.raises(RssegError, match="numbers from 1 to 2"):
        raster.read(bands=[0])
    with pytest.raises(ValueError, match="does not lie inside"):
        raster.read(Window(0, 11, 0, 5))


def test_pickling_and_fork(tmp_path):
    array = np.random.default_rng(0).integers(0, 9, (64, 64, 2), dtype=np.uint8)
    raster = Raster(write(tmp_path / "a.tif", array, compress="deflate"))
    raster.read()
    assert np.array_equal(pickle.loads(pickle.dumps(raster)).read(), array)
    parent_handle = raster._file
    child = os.fork()
    if child == 0:
        ok = np.array_equal(raster.read(), array) and raster._file is not parent_handle
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(raster.read(), array)


def test_array_raster():
    array = np.arange(5 * 6 * 3).reshape(5, 6, 3)
    raster = open_raster(array)
    assert np.array_equal(raster.read(Window(1, 3, 2, 6), [3]), array[1:3, 2:6, 2:])
    assert open_raster(array[..., 0]).count == 1
    assert ArrayRaster(array, nodata=0).valid() is None
    assert not ArrayRaster(np.zeros((2, 2)), nodata=0).valid().any()
    assert open_raster(raster) is raster


FACTS = {
    "landsat8_elkton/l8_elkton_10band_uint16.tif": (169, 186, 10, "uint16", 32617, None),
    "landsat8_elkton/L8-Labels-Elkton-VA.tiff": (169, 186, 1, "uint8", 32617, 255),
    "landsat7_p022r049/LE70220491999322EDC01_stack.tif": (250, 250, 8, "int16", 32615, -9999),
    "landsat7_p022r049/training_data.tif": (250, 250, 1, "uint8", 32615, 0),
    "sentinel2_beaufort/s2b_l1c_20181013_8band_uint8.tif": (2201, 2629, 8, "uint8", 4326, None),
    "sentinel2_beaufort/s2b_rgb_x2_5258x4402_jpeg_DERIVED.tif": (4402, 5258, 3, "uint8", 4326, None),
    "naip_nd/m_4709963_se_14_1_20090818.tif": (724, 934, 4, "uint8", 26914, 0),
    "spacenet_atlanta/sample_geotiff.tif": (900, 900, 1, "uint16", 32616, 0),
    "landsat7_rgb_byte/RGB.byte.tif": (718, 791, 3, "uint8", 32618, 0),
}


@needs_shared
@pytest.mark.parametrize("name", FACTS)
def test_real_geotiffs(name):
    raster = Raster(SHARED / "geotiff" / name)
    height, width, count, dtype, epsg, nodata = FACTS[name]
    assert (raster.height, raster.width, raster.count, raster.dtype.name, raster.nodata) == (
        height,
        width,
        count,
        dtype,
        nodata,
    )
    assert raster.crs.to_epsg() == epsg
    window = Window(height // 3, height // 3 + 100, width // 4, width // 4 + 90)
    with rasterio.open(raster.path) as file:
        expected = file.read(window=((window.y0, window.y1), (window.x0, window.x1))).transpose(1, 2, 0)
    assert np.array_equal(raster.read(window), expected)


@needs_shared
def test_real_collars():
    collar = Raster(SHARED / "geotiff/landsat7_rgb_byte/RGB.byte.tif").valid()
    assert 100 * (~collar).mean() == pytest.approx(32.5, abs=0.1)
    beaufort = Raster(SHARED / "geotiff/sentinel2_beaufort/s2b_l1c_20181013_8band_uint8.tif")
    assert beaufort.valid(Window(0, 300, 0, 300)) is None  # the file itself states no nodata
    assert 100 * (~beaufort.valid(nodata=255)).mean() == pytest.approx(31.5, abs=0.1)
