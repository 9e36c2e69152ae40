"""ONNX: the file computes what the network does, at any size, in all that run it; nothing else passes for it; no Paddle
is needed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference import onnx, runtimes
from paddle_rsseg.inference.onnx import OnnxBackend
from paddle_rsseg.inference.openvino import OpenVinoBackend
from paddle_rsseg.inference.spec import InferenceSpec

paddle = pytest.importorskip("paddle")
pytest.importorskip("onnxruntime")
pytest.importorskip("paddle2onnx")

import paddle_rsseg as rs  # noqa: E402
from paddle_rsseg.export import save_onnx  # noqa: E402
from paddle_rsseg.export.gate import compare  # noqa: E402
from paddle_rsseg.inference.backends import DynamicBackend, make_backend  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
needs_openvino = pytest.mark.skipif(not runtimes.has_openvino(), reason="needs the extra openvino")
RUN_IT = [OnnxBackend, pytest.param(OpenVinoBackend, marks=needs_openvino)]
NAMES = ["onnx", pytest.param("openvino", marks=needs_openvino)]
OTHER = {"onnx": "openvino", "openvino": "onnxruntime"}  # which is not needed
SPEC = InferenceSpec(num_classes=4, window=(64, 64), stride=(40, 40), classes=("a", "b", "c", "d"))
nn, F = paddle.nn, paddle.nn.functional


class Net(nn.Layer):
    """Every norm (their epsilons matter: the features are small), a linear layer, pooling, padding and resizing."""

    in_channels, num_classes, min_multiple = 3, 4, 2

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2D(3, 8, 3, stride=2, padding=1, bias_attr=False)
        self.norms = nn.Sequential(nn.GroupNorm(2, 8, epsilon=1e-3), nn.BatchNorm2D(8), nn.ReLU())
        self.layer_norm = nn.LayerNorm(8, epsilon=1e-3)
        self.linear = nn.Linear(8, 8)
        self.head = nn.Conv2D(8, 4, 1)

    def forward(self, x):
        features = self.norms(self.stem(x) * 0.02)
        tokens = self.linear(self.layer_norm(features.flatten(2).transpose([0, 2, 1]) * 0.02))
        features = tokens.transpose([0, 2, 1]).reshape(paddle.shape(features)) + features
        features = features * F.sigmoid(F.adaptive_avg_pool2d(features, 1))
        size = paddle.shape(x)[2:]
        features = F.pad(features, [0, 1, 0, 1], value=0.5)
        return [F.interpolate(self.head(features), size, mode="bilinear", align_corners=True)]


@pytest.fixture(scope="module")
def net():
    paddle.seed(0)
    made = Net()
    made.eval()
    return made


@pytest.fixture(scope="module")
def exported(tmp_path_factory, net):
    return rs.export(net, SPEC, tmp_path_factory.mktemp("onnx") / "export", format="onnx")


def image(*shape):
    return np.random.default_rng(1).standard_normal(shape, np.float32)


@pytest.mark.parametrize("run", RUN_IT)
@pytest.mark.parametrize("frugal", [False, True])
def test_any_size_and_batch(run, frugal, exported, net):
    backend = run(exported, frugal=frugal)
    for shape in ((1, 3, 1, 1), (4, 3, 7, 200), (2, 3, 65, 33)):
        expected, seen = DynamicBackend(net)(image(*shape)), backend(image(*shape))
        np.testing.assert_allclose(seen, expected, atol=5e-5)
        seen += 1  # the caller owns it
        again = backend(image(*shape))
        backend(image(*shape) + 1)
        np.testing.assert_allclose(again, expected, atol=5e-5)


def test_the_description_names_the_file_and_how_closely_it_agrees(exported):
    import onnx as package

    description = yaml.safe_load((exported / "deploy.yaml").read_text())
    assert description["model"] == {"graph": "model.json", "parameters": "model.pdiparams", "onnx": "model.onnx"}
    assert set(description["sha256"]) == set(description["model"].values())
    for name in ("equality_onnx", *(["equality_openvino"] if runtimes.has_openvino() else [])):
        assert description[name]["max_relative_error"] < 1e-4
        assert [2, 31, 33] in description[name]["cases"]
    graph = package.load(str(exported / "model.onnx")).graph
    for value, name, channels in ((graph.input[0], "image", 3), (graph.output[0], "logits", 4)):
        sizes = [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        assert (value.name, sizes) == (name, ["N", channels, "H", "W"])


def test_converting_leaves_the_static_graph_as_it_is(exported):
    # the copy with float32 epsilons, which only paddle2onnx reads right, is not what Paddle gets
    def epsilons(node):
        if isinstance(node, dict):
            if node.get("N") == "epsilon":
                yield node["AT"]["#"]
            for child in node.values():
                yield from epsilons(child)
        elif isinstance(node, list):
            for child in node:
                yield from epsilons(child)

    graph = json.loads((exported / "model.json").read_text())
    assert "0.a_f64" in set(epsilons(graph))
    assert set(epsilons(onnx._single_precision(graph))) == {"0.a_f32"}


def test_nothing_depends_on_what_lies_in_memory(exported, tmp_path, monkeypatch):
    files = []
    for garbage in ("0", "85", "255"):
        monkeypatch.setattr(onnx, "GARBAGE", garbage)
        onnx.convert(exported / "model.json", exported / "model.pdiparams", tmp_path / "net.onnx")
        files.append((tmp_path / "net.onnx").read_bytes())
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("run", RUN_IT)
def test_a_fixed_size(run, tmp_path, net):
    path = rs.export(net, SPEC, tmp_path / "export", input_shape=(1, 3, 32, 48), format="onnx")
    assert run(path)(image(3, 3, 32, 48)).shape == (3, 4, 32, 48)
    with pytest.raises(Exception, match=r"Got invalid dimensions|fails on 1 × 33 × 48 pixels"):
        run(path)(image(1, 3, 33, 48))


def test_one_file(tmp_path, net):
    net.train()
    comparison = save_onnx(net, tmp_path / "sub" / "net.onnx")
    assert net.training
    net.eval()
    assert comparison.error < 1e-4
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["net.onnx"]
    assert compare(DynamicBackend(net), OnnxBackend(tmp_path / "sub" / "net.onnx"), 3, [(2, 19, 21)]).equal


class Drifts(Net):
    """Computes something else after it was traced: what a fault of the converter looks like from outside."""

    def forward(self, x):
        main = Net.forward(self, x)[0]
        return [main * (1.05 if paddle.in_dynamic_mode() else 1.0)]


class Unknown(Net):
    """Has an operator that ONNX has no form for."""

    def forward(self, x):
        main = Net.forward(self, x)[0]
        return [main + paddle.lgamma(paddle.abs(main) + 1)]


def test_what_differs_is_not_written(tmp_path):
    (tmp_path / "net.onnx").write_text("an earlier one")
    with pytest.raises(RssegError, match=r"differs from the model.*paddle2onnx computes something else"):
        save_onnx(Drifts(), tmp_path / "net.onnx")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["an earlier one"]


def test_a_wrong_conversion_of_a_right_graph_is_refused(tmp_path, net, monkeypatch):
    monkeypatch.setattr(onnx, "_single_precision", lambda graph: spoiled(graph))
    with pytest.raises(RssegError, match="paddle2onnx computes something else"):
        rs.export(net, SPEC, tmp_path / "export", format="onnx")
    assert not list(tmp_path.iterdir())


def spoiled(node):
    """Every epsilon a thousand times what it should be."""
    if isinstance(node, dict):
        if node.get("N") == "epsilon":
            return {**node, "AT": {"#": "0.a_f32", "D": 1000 * node["AT"]["D"]}}
        return {key: spoiled(child) for key, child in node.items()}
    return [spoiled(child) for child in node] if isinstance(node, list) else node


def test_what_cannot_be_converted_is_one_line(tmp_path, capfd):
    with pytest.raises(RssegError, match=r"model.json: paddle2onnx cannot convert it \(.*unsupported operators"):
        save_onnx(Unknown(), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
    assert "unsupported" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("name", NAMES)
def test_predicting_with_it(name, exported, net, tmp_path):
    picture = np.random.default_rng(2).integers(0, 256, (90, 130, 3), np.uint8)
    expected = rs.Predictor(exported, backend="paddle").predict(picture).labels
    for predictor in (
        rs.Predictor(exported, backend=name),
        rs.Predictor(exported / "model.onnx", backend=name),
        rs.Predictor(net, SPEC, backend=name),
    ):
        assert predictor.engine.score.backend.name == name
        assert (predictor.predict(picture).labels != expected).mean() < 1e-3
    assert len(np.unique(expected)) > 1
    with pytest.raises(RssegError, match="give the directory"):
        rs.Predictor(exported / "model.onnx", backend="paddle")


@needs_openvino
def test_auto_is_openvino_for_exports_that_were_checked_with_it(exported, net, tmp_path, monkeypatch):
    def chosen(model):
        return rs.Predictor(model, SPEC, device="cpu").engine.score.backend.name

    assert chosen(exported) == chosen(exported / "model.onnx") == "openvino"
    assert chosen(net) == "paddle"
    copy = Path(shutil.copytree(exported, tmp_path / "unchecked"))
    description = yaml.safe_load((copy / "deploy.yaml").read_text())
    del description["equality_openvino"]
    (copy / "deploy.yaml").write_text(yaml.safe_dump(description))
    assert (chosen(copy), chosen(copy / "model.onnx")) == ("paddle", "onnx")
    monkeypatch.setattr(runtimes, "has_openvino", lambda: False)
    assert (chosen(exported), chosen(exported / "model.onnx")) == ("paddle", "onnx")


@needs_openvino
def test_signals_arrive_after_networks_have_come_and_gone(exported):
    """Two that end in the order in which they began used to leave the thread a stack for signals that was gone."""
    program = (
        "import faulthandler, gc, signal, subprocess\n"
        "from paddle_rsseg.inference.openvino import OpenVinoBackend\n"
        "faulthandler.enable()\n"
        "heard = []\n"
        "signal.signal(signal.SIGCHLD, lambda *a: heard.append(a))\n"
        f"first, second = OpenVinoBackend({str(exported)!r}), OpenVinoBackend({str(exported)!r})\n"
        "del first; gc.collect()\n"
        "del second; gc.collect()\n"
        "subprocess.run(['true'])\n"
        "assert heard\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100, cwd=ROOT)


@needs_openvino
def test_rounding_to_bfloat16_is_chosen_by_name_only(exported, net):
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(RssegError, match="a processor without bfloat16"):
            OpenVinoBackend(exported, precision="bf16")
        return
    x = image(1, 3, 65, 97)
    expected, rounded = (make_backend(net, SPEC, name)(x) for name in ("openvino", "openvino-bf16"))
    error = np.abs(rounded - expected).max() / np.abs(expected).max()
    assert 1e-4 < error < 5e-2  # it rounds, and it is the same network


@needs_openvino
def test_openvino_does_not_phone_home(exported):
    program = (
        "import socket, sys\n"
        "from paddle_rsseg.inference.openvino import OpenVinoBackend\n"
        "tried = []\n"
        "socket.socket.connect = lambda *a: tried.append(a)\n"
        "socket.getaddrinfo = lambda *a, **k: tried.append(a) or []\n"
        f"OpenVinoBackend({str(exported)!r})\n"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry.')]\n"
        "assert not tried, tried\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100, cwd=ROOT)


@needs_openvino
def test_an_export_that_openvino_computes_otherwise_is_written_but_not_taken(tmp_path, net, monkeypatch, caplog):
    run = OpenVinoBackend.__call__
    monkeypatch.setattr(OpenVinoBackend, "__call__", lambda self, batch: run(self, batch) * 1.01)
    path = rs.export(net, SPEC, tmp_path / "export", format="onnx")
    assert "OpenVINO computes something else" in caplog.text
    assert "equality_openvino" not in yaml.safe_load((path / "deploy.yaml").read_text())
    assert rs.Predictor(path).engine.score.backend.name == "paddle"
    with pytest.raises(RssegError, match="compiled logits differ"):
        make_backend(net, SPEC, "openvino")


@pytest.mark.parametrize("run", RUN_IT)
def test_mistakes_are_one_line(run, tmp_path, net, exported):
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(RssegError, match=r"no such file.*--format onnx"):
        run(tmp_path)
    with pytest.raises(RssegError, match=r"(ONNX Runtime|OpenVINO) cannot run it"):
        run(tmp_path / "a.onnx")
    with pytest.raises(RssegError, match=r"built for the CPU|--device cpu"):
        run(exported, device="gpu")
    with pytest.raises(RssegError, match="--format"):
        rs.export(net, SPEC, tmp_path / "export", format="torch")
    with pytest.raises(RssegError, match=r"deploy.yaml: cannot be read"):
        rs.Predictor(tmp_path / "a.onnx")


@pytest.mark.parametrize("name", NAMES)
def test_a_server_without_paddle(name, tmp_path, exported):
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (80, 70, 3), np.uint8))
    infer = [str(ROOT / "deploy/python/infer.py"), "--config", str(exported), "--backend", name]
    arguments = [*infer, "--image_path", str(tmp_path / "a.png"), "--save_dir", str(tmp_path / "maps")]
    missing = ("paddle", "paddle2onnx", "onnx", "pydantic", "torch", OTHER[name])
    program = (
        "import runpy, sys\n"
        f"for name in {missing}: sys.modules[name] = None\n"
        f"sys.argv = {arguments!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert done.returncode == 0, done.stderr
    seen = cv2.imread(str(tmp_path / "maps" / "a_label.png"), cv2.IMREAD_UNCHANGED)
    expected = rs.Predictor(exported).predict(tmp_path / "a.png").labels
    assert seen.shape[:2] == expected.shape == (80, 70)
    ensemble = tmp_path / "ensemble.yml"
    ensemble.write_text(yaml.safe_dump({"average": "probs", "members": [{"model": str(exported / "model.onnx")}] * 2}))
    both = program.replace(repr(str(exported)), repr(str(ensemble))).replace("/maps'", "/both'")
    done = subprocess.run([sys.executable, "-c", both], capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "both" / "a_label.png"), cv2.IMREAD_UNCHANGED), seen)
    (exported / "model.onnx").rename(tmp_path / "kept")
    try:
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=100)
        assert done.returncode == 2
        assert "model.onnx: no such file" in done.stderr
    finally:
        (tmp_path / "kept").rename(exported / "model.onnx")


def test_the_command(tmp_path, capsys):
    from paddle_rsseg.cli.main import main
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import save_weights

    component = {"type": "FarSeg", "backbone": "ResNet18", "norm": "GroupNorm", "num_classes": 4}
    model = create_model(component)
    save_weights(tmp_path / "m.safetensors", model.state_dict(), {"model": component, "inference": SPEC.to_dict()})
    words = ["--model_path", str(tmp_path / "m.safetensors"), "--save_dir", str(tmp_path / "export")]
    assert main(["export", *words, "--format", "onnx"]) == 0
    out = capsys.readouterr().out
    assert "ONNX Runtime" in out
    assert "model.onnx" in out
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (70, 80, 3), np.uint8))
    predict = ["--model_path", str(tmp_path / "export"), "--image_path", str(tmp_path / "a.png"), "--device", "cpu"]
    assert main(["predict", *predict, "--backend", "onnx", "--save_dir", str(tmp_path / "maps")]) == 0
    assert cv2.imread(str(tmp_path / "maps" / "a_label.png"), cv2.IMREAD_UNCHANGED).shape[:2] == (70, 80)
