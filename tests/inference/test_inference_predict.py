"""From weights on disk to maps on disk: the library, the command line, memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
import rasterio

from paddle_rsseg.cli.main import main
from paddle_rsseg.data.raster import Raster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference import Predictor
from paddle_rsseg.inference.images import find_images
from paddle_rsseg.inference.load import open_model
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.models import create_model
from paddle_rsseg.weights import save_weights

MODEL = {"type": "FarSeg", "backbone": "ResNet18", "num_classes": 3, "in_channels": 3}
SPEC = InferenceSpec(
    num_classes=3,
    window=(64, 64),
    stride=(48, 48),
    classes=("a", "b", "c"),
    palette=((9, 9, 9), (255, 0, 0), (0, 255, 0)),
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    paddle.seed(1)
    network = create_model(MODEL)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_weights(path, network.state_dict(), {"model": MODEL, "inference": SPEC.to_dict()})
    return path


def write_image(path: Path, height: int, width: int, seed: int = 0, **tags) -> np.ndarray:
    image = cv2.resize(np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8), (width, height))
    path.parent.mkdir(parents=True, exist_ok=True)
    if tags:
        with rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=3, dtype="uint8", **tags
        ) as file:
            file.write(image.transpose(2, 0, 1))
    else:
        cv2.imwrite(str(path), image[..., ::-1])
    return image


def test_weights_are_enough_to_predict(weights, tmp_path):
    image = write_image(tmp_path / "a.png", 90, 110)
    predictor = Predictor(weights, backend="dynamic")
    assert predictor.spec.blend == "cosine"
    assert predictor.spec.classes == ("a", "b", "c")
    found = predictor.predict(tmp_path / "a.png", probabilities=True)
    assert found.labels.shape == (90, 110)
    assert found.labels.max() < 3
    np.testing.assert_allclose(found.probabilities.sum(0), 1, atol=1e-4)
    np.testing.assert_array_equal(found.probabilities.argmax(0), found.labels)
    np.testing.assert_array_equal(predictor.predict(image).labels, found.labels)
    saved = found.save(tmp_path / "map")
    np.testing.assert_array_equal(Raster(saved, expand_palette=False).read()[..., 0], found.labels)


def test_command_line_maps_a_directory_and_survives_a_broken_image(weights, tmp_path, capsys):
    images, out = tmp_path / "images", tmp_path / "out"
    image = write_image(
        images / "north" / "a.tif", 70, 100, crs="EPSG:32640", transform=rasterio.Affine(2, 0, 9, 0, -2, 9)
    )
    write_image(images / "b.png", 40, 50)
    write_image(images / "b.jpg", 40, 50)
    (images / "broken.png").write_bytes((images / "b.png").read_bytes()[:200])
    command = [
        "predict",
        "--model_path",
        str(weights),
        "--image_path",
        str(images),
        "--save_dir",
        str(out),
        "--no-reexec",
    ]
    assert main([*command, "--backend", "paddle"]) == 2
    said = capsys.readouterr()
    assert (
        next(line for line in said.err.splitlines() if line.startswith("error:")).count(str(images / "broken.png")) == 1
    )
    assert "3 of 4 images mapped" in said.out
    names = sorted(str(p.relative_to(out)) for p in out.rglob("[!.]*") if p.is_file() and p.suffix != ".json")
    assert names == [
        *("b.jpg_label.png", "b.jpg_overlay.jpg", "b.png_label.png", "b.png_overlay.jpg"),
        *("north/a_label.tif", "north/a_overlay.jpg"),
    ]
    with rasterio.open(out / "north" / "a_label.tif") as file:
        assert file.crs.to_epsg() == 32640
        labels = file.read(1)
    assert (labels != Predictor(weights, backend="dynamic").predict(image).labels).mean() < 1e-3


def test_where_maps_cannot_go_is_said_once(weights, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "images" / name, 7, 9)
    (tmp_path / "file").write_text("")
    command = ["predict", "--model_path", str(weights), "--image_path", str(tmp_path / "images")]
    assert main([*command, "--backend", "dynamic", "--save_dir", str(tmp_path / "file")]) == 2
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")] == [
        f"error: --save_dir {tmp_path}/file: {tmp_path}/file is a file; expected a directory to write to"
    ]


def test_windows_of_the_command_line_are_width_and_height(weights, tmp_path, capsys):
    write_image(tmp_path / "a.png", 70, 100)
    command = ["predict", "--model_path", str(weights), "--image_path", str(tmp_path / "a.png"), "--backend", "dynamic"]
    main(
        [*command, "--save_dir", str(tmp_path / "o"), "--crop_size", "96", "64", "--stride", "50", "30", "--no_overlay"]
    )
    assert "windows 96×64, stride 50×30" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "o").glob("[!.]*")] == ["a_label.png"]


def test_lists_and_wrong_paths(tmp_path):
    write_image(tmp_path / "Tile 1" / "x.png", 3, 3)
    write_image(tmp_path / "y.png", 3, 3)
    (tmp_path / "list.txt").write_text("Tile 1/x.png\ny.png labels/y.png\n\n")
    found = find_images(tmp_path / "list.txt", tmp_path / "out")
    assert [(str(p.relative_to(tmp_path)), name) for p, name in found] == [("Tile 1/x.png", "Tile 1/x"), ("y.png", "y")]
    assert [name for _, name in find_images(tmp_path, tmp_path / "Tile 1")] == ["y"]  # results lie among the images
    (tmp_path / "empty").mkdir()
    for path, message in (("nowhere", "no such file"), ("empty", "no images")):
        with pytest.raises(RssegError, match=message):
            find_images(tmp_path / path, tmp_path / "out")


def test_models_without_a_description_ask_for_a_configuration(tmp_path):
    save_weights(tmp_path / "bare.safetensors", create_model(MODEL).state_dict())
    with pytest.raises(RssegError, match=r"which network.*--config"):
        open_model(tmp_path / "bare.safetensors")
    with pytest.raises(RssegError, match="pre-processing"):
        open_model(create_model(MODEL))
    (tmp_path / "deploy.yaml").write_text("format: other\n")
    with pytest.raises(RssegError, match="not written by this project"):
        open_model(tmp_path)


PEAK = """
    import re, sys, numpy as np
    from paddle_rsseg.inference.engine import WindowPredictor
    from paddle_rsseg.inference.spec import InferenceSpec
    from paddle_rsseg.geo.writer import write_label_raster
    from paddle_rsseg.geo.overlay import write_overlay
    from paddle_rsseg.data.raster import Raster

    spec = InferenceSpec(num_classes=16, window=(256, 256), stride=(192, 192), blend="cosine")
    network = lambda batch: np.repeat(batch[:, :1], 16, axis=1)
    raster = Raster(sys.argv[1])
    path = write_label_raster(sys.argv[1] + "_map", WindowPredictor(network, spec).bands(raster), raster, spec)
    write_overlay(sys.argv[1] + ".jpg", raster, path, spec, max_side=256)
    # ru_maxrss would be that of the process which started this one, if that was larger
    print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_memory_does_not_grow_with_the_height(tmp_path):
    def peak(height: int) -> int:
        path = tmp_path / f"{height}.tif"
        profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "width": 1500, "height": height, "tiled": True}
        profile |= {"compress": "deflate", "crs": "EPSG:32640", "transform": rasterio.Affine(2, 0, 9, 0, -2, 9)}
        with rasterio.open(path, "w", **profile) as file:
            rows = np.random.default_rng(0).integers(0, 256, (3, 500, 1500), np.uint8)
            for y in range(0, height, 500):
                file.write(rows, window=((y, y + 500), (0, 1500)))
        command = [sys.executable, "-c", textwrap.dedent(PEAK), str(path)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    low, high = peak(1000), peak(4000)
    # GDAL's cache, which is bounded, may hold the 18 MB of image and map; 16 classes in float32 would be 288 MB
    assert high - low < 40, f"{low} MB, then {high} MB"


def test_near_infrared_that_the_file_calls_alpha(tmp_path):
    profile = {
        "driver": "GTiff",
        "width": 40,
        "height": 30,
        "count": 4,
        "dtype": "uint8",
        "photometric": "RGB",
        "alpha": "YES",
    }
    with rasterio.open(tmp_path / "tile.tif", "w", **profile) as file:
        pixels = np.full((4, 30, 40), 7, np.uint8)
        pixels[3, :10] = 0  # water is black in near infrared
        file.write(pixels)
    spec = {"num_classes": 2, "in_channels": 3, "bands": (1, 2, 3), "window": (32, 32), "stride": (32, 32)}

    def network(batch):
        return np.stack([batch[:, 0], 1 - batch[:, 0]], axis=1)

    for alpha_is_data, ignored in ((False, 400), (True, 0)):
        labels = (
            Predictor(network, InferenceSpec(**spec, alpha_is_data=alpha_is_data)).predict(tmp_path / "tile.tif").labels
        )
        assert (labels == 255).sum() == ignored
