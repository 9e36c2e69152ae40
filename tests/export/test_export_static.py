"""Export: what is written, that it is equal, and that nothing else passes for exported."""

import argparse
import hashlib

import numpy as np
import pytest
import yaml

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.weights import save_weights

paddle = pytest.importorskip("paddle")

import paddle_rsseg as rs  # noqa: E402
from paddle_rsseg.export.gate import compare, odd_cases  # noqa: E402
from paddle_rsseg.inference.backends import DynamicBackend, PaddleInferenceBackend  # noqa: E402

SPEC = InferenceSpec(num_classes=4, in_channels=5, mean=(0.4,) * 5, std=(0.2,) * 5, window=(96, 64), stride=(48, 64))


class Net(paddle.nn.Layer):
    """What a segmentation network does to a graph: strides, batch norm, pooling, resizing to the input's size."""

    def __init__(self, in_channels=5, num_classes=4):
        super().__init__()
        nn = paddle.nn
        self.down = nn.Sequential(nn.Conv2D(in_channels, 8, 3, 2, 1), nn.BatchNorm2D(8), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2D(8, 8, 3, 2, 1), nn.BatchNorm2D(8), nn.ReLU())
        self.head = nn.Conv2D(8, num_classes, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        fine = self.down(x)
        coarse = self.deep(fine)
        gate = paddle.nn.functional.sigmoid(paddle.nn.functional.adaptive_avg_pool2d(coarse, 1))
        size = paddle.shape(fine)[2:]
        merged = fine + paddle.nn.functional.interpolate(coarse * gate, size, mode="bilinear", align_corners=True)
        logits = self.head(self.dropout(merged))
        size = paddle.shape(x)[2:]
        main = paddle.nn.functional.interpolate(logits, size, mode="bilinear", align_corners=True)
        return [main, main * 0 + 7]


def test_directory(tmp_path):
    net = Net()
    net.train()
    path = rs.export(net, SPEC, tmp_path / "out" / "export", {"note": "x"})
    assert net.training
    assert path == tmp_path / "out" / "export"
    assert [p.name for p in path.parent.iterdir()] == ["export"]
    description = yaml.safe_load((path / "deploy.yaml").read_text())
    assert description["format"] == "paddle_rsseg/1"
    assert InferenceSpec.from_dict(description["inference"]) == SPEC
    assert description["note"] == "x"
    files = {"model.pdmodel" if paddle.__version__.startswith("2.") else "model.json", "model.pdiparams"}
    assert set(description["sha256"]) == files
    for name, digest in description["sha256"].items():
        assert hashlib.sha256((path / name).read_bytes()).hexdigest() == digest
    assert description["equality"]["max_relative_error"] < 1e-4
    assert [1, 1, 1] in description["equality"]["cases"]
    # sizes and batches that the gate has not seen; the main output; evaluation mode
    exported, dynamic = PaddleInferenceBackend(path), DynamicBackend(net)
    for shape in ((1, 5, 40, 33), (4, 5, 7, 200)):
        image = np.random.default_rng(0).standard_normal(shape, np.float32)
        np.testing.assert_allclose(exported(image), dynamic(image), atol=1e-4)


def test_export_twice_replaces_the_whole(tmp_path):
    target = tmp_path / "export"
    rs.export(Net(), SPEC, target)
    before = (target / "model.pdiparams").read_bytes()
    (target / "left_over").write_text("")
    rs.export(Net(), SPEC, target)
    assert (target / "model.pdiparams").read_bytes() != before
    assert not (target / "left_over").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["export"]


def test_a_directory_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RssegError, match="other files"):
        rs.export(Net(), SPEC, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(RssegError, match="is a file"):
        rs.export(Net(), SPEC, tmp_path / "thesis.tex")


class Drifts(Net):
    """Computes something else after it was traced: what a fault of the exporter looks like from outside."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        main = Net.forward(self, x)[0]
        return [main * (1.0 if self.calls == 1 else 1.05)]


def test_a_differing_graph_is_refused(tmp_path):
    (tmp_path / "export").mkdir()
    with pytest.raises(RssegError, match="differs from the model"):
        rs.export(Drifts(), SPEC, tmp_path / "export")
    assert list((tmp_path / "export").iterdir()) == []
    assert [p.name for p in tmp_path.iterdir()] == ["export"]


def test_the_gate_sees_small_faults():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((4, 5)).astype(np.float32)

    def reference(image):
        return np.einsum("kc,nchw->nkhw", weights, image).astype(np.float32)

    cases = odd_cases(32)
    assert {n for n, _, _ in cases} == {1, 2, 3}
    assert any(h % 32 and w % 32 for _, h, w in cases)
    assert compare(reference, lambda image: reference(image) * (1 + 1e-5), 5, cases).equal

    def one_pixel_wrong(image):
        out = reference(image)
        out[-1, :, -1, -1] = out[-1, ::-1, -1, -1]
        return out

    faults = {
        "scaled": lambda image: reference(image) * 1.01,
        "one pixel": one_pixel_wrong,
        "cropped": lambda image: reference(image)[:, :, :-1],
        "first image only": lambda image: np.repeat(reference(image[:1]), len(image), 0),
        "not a number": lambda image: reference(image) * np.nan,
        "infinite": lambda image: reference(image) + np.inf,
    }
    for name, fault in faults.items():
        result = compare(reference, fault, 5, cases)
        assert not result.equal, name
    nan = compare(faults["not a number"], faults["not a number"], 5, cases)
    assert not nan.equal  # a model that computes nothing is not exported either


def test_fixed_shape(tmp_path):
    path = rs.export(Net(), SPEC, tmp_path / "export", input_shape=(1, 5, 64, 32))
    description = yaml.safe_load((path / "deploy.yaml").read_text())
    assert description["input"]["shape"] == [-1, 5, 64, 32]
    spec = InferenceSpec.from_dict(description["inference"])
    assert (spec.window, spec.stride, spec.pad) == ((64, 32), (32, 32), "window")
    assert PaddleInferenceBackend(path)(np.zeros((3, 5, 64, 32), np.float32)).shape == (3, 4, 64, 32)
    free = rs.export(Net(), SPEC, tmp_path / "free", input_shape=(-1, 5, -1, -1))
    assert yaml.safe_load((free / "deploy.yaml").read_text())["input"]["shape"] == [-1, 5, -1, -1]
    for wrong in ((1, 3, 64, 64), (5, 64, 64), (1, 5, 0, 64), (1, 5, -1, 64)):
        with pytest.raises(RssegError, match="--input_shape"):
            rs.export(Net(), SPEC, tmp_path / "no", input_shape=wrong)
    assert not (tmp_path / "no").exists()


def test_command_with_weights_that_know_their_model(tmp_path, capsys):
    from paddle_rsseg.cli import export as command
    from paddle_rsseg.models import create_model

    component = {"type": "FarSeg", "backbone": "ResNet18", "num_classes": 4, "in_channels": 5}
    model = create_model(component)
    weights = tmp_path / "model.safetensors"
    save_weights(weights, model.state_dict(), {"model": component, "inference": SPEC.to_dict(), "iter": 12})
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args(["--model_path", str(weights), "--save_dir", str(tmp_path / "export")]))
    assert "equal to the model" in capsys.readouterr().out
    description = yaml.safe_load((tmp_path / "export" / "deploy.yaml").read_text())
    assert description["network"] == component
    assert description["iter"] == 12
    assert InferenceSpec.from_dict(description["inference"]) == SPEC
    image = np.random.default_rng(1).standard_normal((2, 5, 45, 71), np.float32)
    expected = DynamicBackend(model)(image)
    seen = PaddleInferenceBackend(tmp_path / "export")(image)
    assert np.abs(seen - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_model_with_nan_is_not_exported_and_the_message_says_why(tmp_path):
    model = Net()
    tensor = next(iter(model.state_dict().values()))
    tensor.set_value(np.full(tensor.shape, np.nan, np.float32))
    with pytest.raises(RssegError, match=r"Net: 1 of its tensors hold NaN or infinity .*not exported"):
        rs.export(model, SPEC, tmp_path / "e")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RssegError, match="cannot be made"):
        rs.export(Net(), SPEC, tmp_path / "file" / "e")


def test_weights_without_description(tmp_path):
    save_weights(tmp_path / "a.safetensors", {"x": np.ones(1)})
    with pytest.raises(RssegError, match="does not say which model"):
        rs.export(tmp_path / "a.safetensors", save_dir=tmp_path / "e")
    with pytest.raises(RssegError, match="says how the model wants its input"):
        rs.export(Net(), save_dir=tmp_path / "e")
