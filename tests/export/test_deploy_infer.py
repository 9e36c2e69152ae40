"""deploy/python/infer.py: with the files that deploy/README.md names and nothing else, the same label map."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from paddle_rsseg.data.raster import Raster
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.weights import save_weights

paddle = pytest.importorskip("paddle")

import paddle_rsseg as rs  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
COMPONENT = {"type": "FarSeg", "backbone": "ResNet18", "num_classes": 4}
SPEC = InferenceSpec(
    num_classes=4,
    window=(64, 64),
    stride=(40, 40),
    classes=("ground", "water", "road", "roof"),
    palette=((0, 0, 0), (0, 0, 255), (255, 0, 0), (255, 255, 0)),
)
#: what a server does not have; None in sys.modules makes an import fail
ABSENT = ("pydantic", "rich", "torch", "visualdl")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(directory of the export, file with the same model's weights, directory of images)."""
    from paddle_rsseg.models import create_model

    directory = tmp_path_factory.mktemp("deploy")
    paddle.seed(3)
    model = create_model(COMPONENT)
    model.eval()
    with paddle.no_grad():  # an untrained classifier sees one class everywhere; centred, it sees all of them
        mean = model(paddle.randn([2, 3, 64, 64]))[0].mean(axis=[0, 2, 3])
        model.cls_pred_conv.bias.set_value(model.cls_pred_conv.bias - mean)
    save_weights(directory / "model.safetensors", model.state_dict(), {"model": COMPONENT, "inference": SPEC.to_dict()})
    rs.export(directory / "model.safetensors", save_dir=directory / "export")
    (directory / "images" / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, (height, width) in {"a.png": (150, 97), "b.png": (30, 41), "sub/a.png": (64, 64)}.items():
        coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
        cv2.imwrite(str(directory / "images" / name), cv2.resize(coarse, (width, height)))
    return directory


def infer(root, *arguments, code=0, absent=ABSENT):
    """Run infer.py of a directory with a tree of the package; returns (stdout, stderr, modules it had imported)."""
    program = (
        "import runpy, sys\n"
        f"for name in {absent!r}: sys.modules[name] = None\n"
        f"sys.argv = {[str(root / 'deploy/python/infer.py'), *map(str, arguments)]!r}\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: code = end.code\n"
        "print('MODULES', *[m for m in sys.modules if m.startswith('paddle_rsseg') and sys.modules[m]])\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr, done.stdout.partition("MODULES ")[2].split()


def labels_in(directory):
    return {
        p.relative_to(directory).as_posix(): cv2.imread(str(p), cv2.IMREAD_UNCHANGED)
        for p in directory.rglob("*_label.png")
    }


@pytest.fixture
def server(tmp_path, exported):
    """A directory with an export and the files that deploy/README.md names."""
    server = tmp_path / "server"
    listed = re.search(r"```text\n(.*?)```", (ROOT / "deploy/README.md").read_text(), re.S)[1].split()
    assert "paddle_rsseg/inference/" in listed
    for name in listed:
        (server / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if name.endswith("/") else shutil.copy)(ROOT / name, server / name)
    shutil.copytree(exported / "export", server / "export")
    return server


def test_a_server_with_only_the_named_files(tmp_path, exported, server):
    out, _, modules = infer(
        server, "--config", "export/deploy.yaml", "--image_path", exported / "images", "--save_dir", tmp_path / "maps",
        "--cpu_threads", 1, "--batch_size", 2, "--benchmark",
    )  # fmt: skip
    for room in ("models", "losses", "training", "config", "weights", "export", "evaluation", "cli", "data.datasets"):
        assert not [m for m in modules if m.startswith(f"paddle_rsseg.{room}")], room
    maps = labels_in(tmp_path / "maps")
    assert set(maps) == {"a_label.png", "b_label.png", "sub/a_label.png"}
    assert maps["a_label.png"].shape[:2] == (150, 97)
    assert "windows" in out
    assert (tmp_path / "maps" / "a_overlay.jpg").is_file()


def test_an_ensemble_on_a_server(tmp_path, exported, server):
    members = [{"model": "../export", "views": ["identity", "lr"]}, {"model": "../export/deploy.yaml", "weight": 2}]
    (server / "maps").mkdir()
    path = server / "maps/both.yml"
    path.write_text(yaml.safe_dump({"average": "logits", "members": members}))
    words = ("--config", path, "--image_path", exported / "images", "--save_dir", tmp_path / "maps", "--cpu_threads", 1)
    out, _, modules = infer(server, *words, "--no_overlay", "--benchmark")
    assert not [m for m in modules if m.startswith(("paddle_rsseg.config", "paddle_rsseg.models"))]
    assert re.search(r"for (\d+) windows", out)
    expected = rs.Predictor(path, device="cpu", threads=1).predict(exported / "images/a.png").labels
    seen = Raster(tmp_path / "maps/a_label.png", expand_palette=False).read()[..., 0]
    np.testing.assert_array_equal(seen, expected)
    (server / "export/model.pdiparams").write_bytes(b"other weights")
    _, err, _ = infer(server, *words, code=2)
    assert "model.pdiparams: is not the file that was exported" in err


def test_benchmark_warms_up_with_the_batch_it_uses(tmp_path, exported):
    # a device's own batch is 1 on a CPU; the stop watch around the back end must not hide it
    out, _, _ = infer(
        ROOT, "--config", exported / "export", "--image_path", exported / "images/b.png",
        "--save_dir", tmp_path, "--benchmark", absent=(),
    )  # fmt: skip
    assert out.index("model loaded") < out.index("warmed up with a batch of 1 in") < out.index("for 1 windows")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": 3}, "deploy.yaml: sha256: 3; expected one sum each"),
        ({"sha256": {}}, "deploy.yaml: sha256: {}; expected one sum each"),
        ({"inference": {"num_classes": 4, "mean": ["abc", 0, 0]}}, "inference.mean: ('abc', 0, 0); expected numbers"),
    ],
)
def test_an_edited_description_is_refused_in_one_line(tmp_path, exported, change, message):
    shutil.copytree(exported / "export", tmp_path / "export")
    path = tmp_path / "export/deploy.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    words = ("--config", path, "--image_path", exported / "images/b.png", "--save_dir", tmp_path)
    _, err, _ = infer(ROOT, *words, code=2, absent=())
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_same_map_as_predict(tmp_path, exported):
    import rasterio

    def read(path):
        with rasterio.open(path) as file:
            return file.read(1)

    images = exported / "images"
    infer(ROOT, "--config", exported / "export", "--image_path", images, "--save_dir", tmp_path / "infer", absent=())
    predict = ("tools/predict.py", "--model_path", exported / "model.safetensors", "--image_path", images)
    for backend in ("paddle", "dynamic"):
        save_dir = tmp_path / backend
        command = [sys.executable, *predict, "--save_dir", save_dir, "--backend", backend, "--device", "cpu"]
        subprocess.run([*map(str, command)], cwd=ROOT, check=True, capture_output=True, timeout=300)
        for name in ("a", "b", "sub/a"):
            expected, seen = read(save_dir / f"{name}_label.png"), read(tmp_path / "infer" / f"{name}_label.png")
            # the compiled model is the exported one; the dynamic graph may decide near ties another way
            assert (seen != expected).mean() <= (0 if backend == "paddle" else 1e-3)
    assert len(np.unique(seen)) > 1  # a map of one class would prove nothing


def test_lists_and_mistakes(tmp_path, exported):
    images = exported / "images"
    (images / "list.txt").write_text("a.png label.png\n\nsub/a.png\n")
    common = ("--config", exported / "export", "--save_dir", tmp_path / "maps", "--no_overlay")
    infer(ROOT, *common, "--image_path", images / "list.txt")
    assert set(labels_in(tmp_path / "maps")) == {"a_label.png", "sub/a_label.png"}
    _, error, _ = infer(ROOT, *common, "--image_path", tmp_path / "absent.tif", code=2)
    assert error.strip().splitlines()[-1].startswith("error: ")
    assert "no such file" in error
    # one bad image among good ones
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(images / "b.png", mixed / "good.png")
    (mixed / "bad.png").write_bytes(b"no image")
    out, error, _ = infer(
        ROOT, "--config", exported / "export", "--image_path", mixed, "--save_dir", tmp_path / "m2", code=2
    )
    assert "bad.png" in error
    assert "1 of 2 images failed" in error
    assert "good_label.png" in out
    assert set(labels_in(tmp_path / "m2")) == {"good_label.png"}


def test_files_of_different_exports(tmp_path, exported):
    mixed = tmp_path / "export"
    shutil.copytree(exported / "export", mixed)
    with open(mixed / "model.pdiparams", "r+b") as file:
        file.seek(1000)
        file.write(b"\x01\x02\x03\x04")
    _, error, _ = infer(
        ROOT, "--config", mixed, "--image_path", exported / "images/b.png", "--save_dir", tmp_path / "m", code=2
    )
    assert "is not the file that was exported" in error
    description = yaml.safe_load((mixed / "deploy.yaml").read_text())
    (mixed / "deploy.yaml").write_text(yaml.safe_dump({**description, "format": "other"}))
    _, error, _ = infer(
        ROOT, "--config", mixed, "--image_path", exported / "images/b.png", "--save_dir", tmp_path / "m", code=2
    )
    assert "not written by this project" in error
    assert not (tmp_path / "m").exists()
