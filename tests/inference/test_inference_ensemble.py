"""Several networks as one: against the mean of their answers made here, by file and by command."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inference_engine import CLASSES, IDENTITY, Smear, one_hot
from test_inference_views import expected_scores, softmax

import paddle_rsseg as rs
from paddle_rsseg.data.raster import ArrayRaster, Raster
from paddle_rsseg.data.transforms.base import resized as resized_sample
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference import ensemble
from paddle_rsseg.inference.engine import WindowPredictor
from paddle_rsseg.inference.ensemble import Ensemble, Turn
from paddle_rsseg.inference.fingerprint import fingerprint
from paddle_rsseg.inference.load import open_model
from paddle_rsseg.inference.products import Products
from paddle_rsseg.inference.resizing import upsample_rows
from paddle_rsseg.inference.spec import InferenceSpec

paddle = pytest.importorskip("paddle")

WHOLE = {"num_classes": CLASSES, "window": (64, 96), "stride": (64, 96)}
IMAGE = np.random.default_rng(5).integers(0, 256, (41, 77, 3), np.uint8)


class Sharper(Smear):
    """Another opinion, and a louder one."""

    def __init__(self, channels: int = 3, factor: float = -2.5):
        super().__init__(channels)
        self.factor = np.float32(factor)

    def __call__(self, batch):
        return super().__call__(batch)[:, ::-1] * self.factor


def scores_of(scorer, image: np.ndarray) -> np.ndarray:
    """K×H×W of an image that is one window."""
    height, width = image.shape[:2]
    return scorer(scorer.batch([(image, None)], height, width), height, width)[0]


@pytest.mark.parametrize("average", ["probs", "logits"])
def test_two_are_the_weighted_mean(average):
    spec = InferenceSpec(**WHOLE, average=average)
    other = InferenceSpec(
        **WHOLE, average=average, mean=(0.3, 0.4, 0.5), std=(0.2, 0.3, 0.1), views=("identity", "rot90"),
        scales=(1.0, 1.5),
    )  # fmt: skip
    both = Ensemble([Turn(Smear(), spec, average), Turn(Sharper(), other, average)], [1, 3])
    first, second = expected_scores(IMAGE, spec, Smear()), expected_scores(IMAGE, other, Sharper())
    np.testing.assert_allclose(scores_of(both, IMAGE), 0.25 * first + 0.75 * second, atol=2e-5)
    labels = WindowPredictor(both, spec).predict(IMAGE)
    np.testing.assert_array_equal(labels, (first + 3 * second).argmax(0))
    if average == "logits":  # a sum is the same map
        equal = Ensemble([Turn(Smear(), spec, average), Turn(Sharper(), other, average)], [1, 1])
        np.testing.assert_array_equal(WindowPredictor(equal, spec).predict(IMAGE), (first + second).argmax(0))


def test_views_may_average_logits_and_members_probabilities():
    spec = InferenceSpec(**WHOLE, average="logits", views=("identity", "lr"))
    both = Ensemble([Turn(Smear(), spec, "probs"), Turn(Sharper(), spec, "probs")], [1, 1])
    expected = [softmax(expected_scores(IMAGE, spec, network)) for network in (Smear(), Sharper())]
    np.testing.assert_allclose(scores_of(both, IMAGE), np.mean(expected, axis=0), atol=2e-5)


@pytest.mark.parametrize("average", ["probs", "logits"])
@pytest.mark.parametrize("views", [("identity",), ("identity", "lr", "diag")])
def test_one_is_that_network_exactly(average, views):
    spec = InferenceSpec(
        num_classes=CLASSES, window=(32, 40), stride=(20, 30), average=average, blend="cosine", views=views
    )  # fmt: skip
    alone = WindowPredictor(Smear(), spec, 2)
    one = WindowPredictor(Ensemble([Turn(Smear(), spec, average)], [0.3]), spec, 2)
    products = Products(("probabilities", "entropy"))
    for expected, seen in zip(alone.bands(IMAGE, products), one.bands(IMAGE, products), strict=True):
        np.testing.assert_array_equal(seen.labels, expected.labels)
        for name in products.names:
            np.testing.assert_array_equal(seen.layers[name], expected.layers[name])
    np.testing.assert_array_equal(next(one.predict_whole([IMAGE])), next(alone.predict_whole([IMAGE])))


def test_the_order_does_not_matter():
    spec = InferenceSpec(**WHOLE)
    opinions = [(Turn(Sharper(factor=f), spec, "probs"), w) for f, w in ((-1, 1), (0.5, 2), (3, 0.7))]
    maps = []
    for order in itertools.permutations(opinions):
        turns, weights = zip(*order, strict=True)
        maps.append(scores_of(Ensemble(turns, weights), IMAGE))
    for other in maps[1:]:
        np.testing.assert_allclose(other, maps[0], atol=1e-6)


@pytest.mark.parametrize("average", ["probs", "logits"])
def test_a_window_of_another_size(average):
    spec = InferenceSpec(**WHOLE, average=average)
    turn = Turn(Smear(), spec, average, zoom=(2.0, 0.5))
    small = resized_sample({"image": IMAGE}, round(77 * 0.5), 82)["image"]
    expected = upsample_rows(expected_scores(small, spec, Smear()).astype(np.float32), 0, 41, 41, 77)
    np.testing.assert_allclose(scores_of(Ensemble([turn], [1]), IMAGE), expected, atol=2e-5)


def test_networks_that_want_the_same_share_one_batch():
    spec = InferenceSpec(**WHOLE)
    mirrored = InferenceSpec(**WHOLE, views=("lr",))
    other = InferenceSpec(**WHOLE, mean=(0.1, 0.1, 0.1))
    turns = [Turn(Smear(), one, "probs") for one in (spec, mirrored, other)]
    turns.append(Turn(Smear(), spec, "probs", columns=(2, 1, 0)))
    made = Ensemble(turns, [1, 1, 1, 1]).batch([(IMAGE, None)], *IMAGE.shape[:2])
    assert made[0] is made[1]
    assert len({id(batch) for batch in made}) == 3
    np.testing.assert_array_equal(made[3][0], made[0][0, ::-1])


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    window=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    views=st.lists(st.sampled_from(["lr", "rot90", "diag2", "tb"]), min_size=1, max_size=3),
    average=st.sampled_from(["probs", "logits"]),
    policy=st.sampled_from(["sliding", "expanded"]),
    collar=st.integers(0, 12),
    seed=st.integers(0, 99),
)
def test_identity_networks_give_the_image_back(size, window, views, average, policy, collar, seed):
    spec = InferenceSpec(**IDENTITY, window=window, stride=window, policy=policy, margin=5)
    turned = InferenceSpec(**IDENTITY, window=window, stride=window, views=tuple(views), average=average)
    own = InferenceSpec(**IDENTITY, window=window, stride=window, average=average)
    both = Ensemble([Turn(one_hot, own, average), Turn(one_hot, turned, average)], [0.4, 2])
    image = np.random.default_rng(seed).integers(0, CLASSES, size).astype(np.uint8)
    if collar:
        image[:collar] = 99
    labels = WindowPredictor(both, spec, 3).predict(ArrayRaster(image, nodata=99))
    np.testing.assert_array_equal(labels, np.where(image == 99, 255, image))


# --- from files ------------------------------------------------------------------------------------------------

SPEC = InferenceSpec(
    num_classes=3, window=(64, 64), stride=(48, 48), classes=("a", "b", "c"),
    palette=((9, 9, 9), (255, 0, 0), (0, 255, 0)),
)  # fmt: skip


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> Path:
    """A directory with three small networks, one of them of four bands, and an export."""
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import save_weights

    root = tmp_path_factory.mktemp("networks")
    for seed, (name, kind, spec) in enumerate([
        ("first", "UNet", SPEC),
        ("second", "AttUNet", {"mean": (0.4, 0.5, 0.6), "bands": (3, 2, 1)}),
        ("infrared", "UNet", {"in_channels": 4, "bands": (4, 1, 2, 3), "mean": (0.5,) * 4, "std": (0.3,) * 4}),
    ]):  # fmt: skip
        described = spec if isinstance(spec, InferenceSpec) else InferenceSpec.from_dict({**SPEC.to_dict(), **spec})
        paddle.seed(seed)
        component = {"type": kind, "widths": [8, 8, 8], "num_classes": 3, "in_channels": described.in_channels}
        model = create_model(component)
        for _ in range(3):  # so that the batch norms know something
            model(paddle.randn([2, described.in_channels, 32, 32]))
        save_weights(
            root / f"{name}.safetensors", model.state_dict(), {"model": component, "inference": described.to_dict()}
        )
    rs.export(root / "second.safetensors", save_dir=root / "export")
    return root


def write(root: Path, name: str = "ensemble.yml", **content) -> Path:
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({"average": "probs", **content}))
    return path


def picture(bands: int = 3, height: int = 90, width: int = 110) -> np.ndarray:
    small = np.random.default_rng(1).integers(0, 256, (12, 12, bands), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def test_a_file_of_one_is_that_network(networks):
    path = write(networks, members=[{"model": "first.safetensors"}])
    for backend in ("dynamic", "paddle"):
        alone = rs.Predictor(networks / "first.safetensors", backend=backend)
        one = rs.Predictor(path, backend=backend)
        assert one.spec == alone.spec
        expected, seen = (p.predict(picture(), probabilities=True) for p in (alone, one))
        np.testing.assert_array_equal(seen.labels, expected.labels)
        np.testing.assert_array_equal(seen.probabilities, expected.probabilities)
        assert len(np.unique(seen.labels)) > 1


@pytest.mark.parametrize("average", ["probs", "logits"])
def test_a_file_of_several_back_ends_bands_and_views(networks, average):
    path = write(
        networks / "below", average=average, crop_size=[128, 96], stride=[128, 96],
        members=[
            {"model": "../first.safetensors", "backend": "dynamic", "weight": 2, "bands": [1, 2, 3]},
            {"model": "../export", "views": ["identity", "tb"]},
            {"model": "../infrared.safetensors", "backend": "dynamic"},
        ],
    )  # fmt: skip
    predictor = rs.Predictor(path)
    assert predictor.spec.bands == (1, 2, 3, 4)
    assert predictor.spec.window == (96, 128)
    assert "dynamic, paddle, dynamic" in predictor.engine.score.name
    image = picture(4)
    total = np.zeros((3, *image.shape[:2]))
    changes = {"window": (96, 128), "stride": (96, 128), "average": average}
    for name, weight, extra in (
        ("first.safetensors", 2, {"bands": (1, 2, 3)}),
        ("second.safetensors", 1, {"views": ("identity", "tb")}),
        ("infrared.safetensors", 1, {}),
    ):
        ready = open_model(networks / name, backend="dynamic", **changes, **extra)
        seen = image[..., [band - 1 for band in ready.spec.bands]]
        total += weight * expected_scores(seen, ready.spec, ready.backend)
    expected = total / 4 if average == "probs" else softmax(total / 4)
    found = predictor.predict(image, probabilities=True)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)
    sure = np.diff(np.sort(expected, axis=0)[-2:], axis=0)[0] > 1e-3
    np.testing.assert_array_equal(found.labels[sure], expected.argmax(0)[sure])


def test_what_the_caller_changes_counts_for_every_member(networks):
    path = write(networks, members=[{"model": "first.safetensors"}, {"model": "first.safetensors", "views": ["lr"]}])
    spec = open_model(path, backend="dynamic", views=("rot90",), window=(32, 32), stride=(16, 16)).spec
    assert (spec.views, spec.window) == (("rot90",), (32, 32))
    turned = rs.Predictor(networks / "first.safetensors", backend="dynamic", views=("rot90",)).predict(picture())
    seen = rs.Predictor(path, backend="dynamic", views=("rot90",)).predict(picture())
    np.testing.assert_array_equal(seen.labels, turned.labels)


def test_input_size_is_that_of_a_full_window(networks):
    members = [{"model": "first.safetensors", "input_size": [128, 96]}]
    path = write(networks, crop_size=64, members=members)
    ready = open_model(path, backend="dynamic")
    assert ready.backend.turns[0].zoom == (1.5, 2.0)
    path = write(networks, crop_size=64, policy="expanded", margin=16, members=members)
    assert open_model(path, backend="dynamic").backend.turns[0].zoom == (1.0, 128 / 96)
    path = write(networks, policy="adaptive", members=members)
    with pytest.raises(RssegError, match=r"ensemble.yml:\d: members.0: input_size with adaptive.*scales"):
        open_model(path, backend="dynamic")


def test_a_configuration_says_how_images_are_cut(networks):
    path = write(networks, members=[{"model": "first.safetensors"}])
    given_spec = InferenceSpec.from_dict({**SPEC.to_dict(), "window": [48, 56], "stride": [24, 28], "ignore_index": 7})
    spec = open_model(path, given_spec, backend="dynamic").spec
    assert (spec.window, spec.stride, spec.ignore_index) == ((48, 56), (24, 28), 7)
    path = write(networks, crop_size=40, members=[{"model": "first.safetensors"}])
    assert open_model(path, given_spec, backend="dynamic").spec.window == (40, 40)


def test_networks_that_take_turns_hold_no_buffers(networks, monkeypatch):
    asked = []
    monkeypatch.setattr(ensemble, "open_model", lambda *a, frugal, **k: asked.append(frugal) or open_model(*a, **k))
    open_model(write(networks, members=[{"model": "first.safetensors"}]), backend="dynamic")
    open_model(write(networks, members=[{"model": "first.safetensors"}] * 2), backend="dynamic")
    assert asked == [False, True, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"average": "logits", "members": [{"model": "first.safetensors", "average": "probs"}]}, "averages logits"),
        ({"members": [{"model": "first.safetensors"}, {"model": "other.safetensors"}]},
         r"members.1: .*other.safetensors has num_classes 5; expected num_classes 3, as .*first.safetensors has"),
        ({"members": [{"model": "first.safetensors"}, {"model": "named.safetensors"}]},
         r"members.1: .*classes a, c, b; expected classes a, b, c"),
        ({"members": [{"model": "first.safetensors"}, {"model": "ignoring.safetensors"}]},
         r"members.1: .*ignore_index 0; expected ignore_index 255"),
        ({"members": [{"model": "first.safetensors"}, {"model": "wide.safetensors"}]},
         r"members.1: window \(80, 80\), but \(64, 64\).*add 'crop_size: …'"),
        ({"members": [{"model": "first.safetensors", "mean": [1, 2]}]}, r"members.0: inference.mean: 2 values"),
        ({"members": [{"model": "first.safetensors", "bands": [1, 2]}]}, r"members.0: .*2 bands for in_channels 3"),
        ({"crop_size": 32, "stride": 40, "members": [{"model": "first.safetensors"}]}, "larger than the window"),
        ({"members": [{"model": "first.txt"}]}, r"members.0: .*first.txt"),
        ({"members": [{"model": "export", "backend": "dynamic"}]}, r"members.0: .*no dynamic form"),
    ],
)  # fmt: skip
def test_members_that_do_not_go_together(networks, capsys, content, message):
    from paddle_rsseg.cli.main import main
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import save_weights

    for name, change in {
        "other": {"num_classes": 5, "classes": (), "palette": ()}, "named": {"classes": ("a", "c", "b")},
        "ignoring": {"ignore_index": 0}, "wide": {"window": (80, 80)},
    }.items():  # fmt: skip
        spec = InferenceSpec.from_dict({**SPEC.to_dict(), **change})
        component = {"type": "UNet", "widths": [4, 4], "num_classes": spec.num_classes, "in_channels": 3}
        if not (networks / f"{name}.safetensors").exists():
            state = create_model(component).state_dict()
            save_weights(networks / f"{name}.safetensors", state, {"model": component, "inference": spec.to_dict()})
    (networks / "first.txt").write_text("no model")
    path = write(networks, **content)
    with pytest.raises(RssegError, match=message):
        open_model(path, backend="auto" if "export" in str(content) else "dynamic")
    cv2.imwrite(str(networks / "a.png"), picture())
    words = ["--model_path", path, "--image_path", networks / "a.png", "--save_dir", networks / "out"]
    if "export" not in str(content):
        words += ["--backend", "dynamic"]
    assert main(["predict", *map(str, words), "--no-reexec"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if line.startswith("error:")]) == 1
    assert not list((networks / "out").rglob("*label*"))


def write_config(root: Path) -> Path:
    """A configuration of the data in ``root``, for a network like the first one."""
    data = {
        "type": "Dataset", "dataset_root": str(root), "num_classes": 3, "mode": "val",
        "transforms": [{"type": "Normalize"}],
    }  # fmt: skip
    config = {
        "iters": 1, "train_dataset": {**data, "mode": "train", "train_path": str(root / "val.txt")},
        "val_dataset": {**data, "val_path": str(root / "val.txt")}, "model": {"type": "UNet", "widths": [8, 8, 8]},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]}, "optimizer": {"type": "SGD"},
        "lr_scheduler": {"type": "Constant", "learning_rate": 0.1},
        "test_config": {"is_slide": True, "crop_size": 64, "stride": 48, "blend": "cosine"},
    }  # fmt: skip
    path = root / "config.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_weights_that_do_not_say_which_network_they_belong_to(networks, tmp_path):
    from paddle_rsseg.weights import read_weights

    state = {name: paddle.to_tensor(value) for name, value in read_weights(networks / "first.safetensors")[0].items()}
    paddle.save(state, str(tmp_path / "bare.pdparams"))
    write_config(tmp_path)
    image = picture()
    expected = rs.Predictor(networks / "first.safetensors", backend="dynamic").predict(image).labels
    path = write(tmp_path, members=[{"model": "bare.pdparams", "config": "config.yml"}])
    np.testing.assert_array_equal(rs.Predictor(path, backend="dynamic").predict(image).labels, expected)
    with pytest.raises(RssegError, match=r"members.0: .*which network.*'config:'"):
        open_model(write(tmp_path, members=[{"model": "bare.pdparams"}]), backend="dynamic")


def test_the_commands(networks, tmp_path, capsys):
    """``rsseg predict`` and ``rsseg val`` take the YAML as they take weights."""
    from paddle_rsseg.cli.main import main

    for i in range(2):
        image = picture(height=70 + i)
        cv2.imwrite(str(tmp_path / f"{i}.png"), image[..., ::-1])
        labels = rs.Predictor(networks / "first.safetensors", backend="dynamic").predict(image).labels
        cv2.imwrite(str(tmp_path / f"{i}_label.png"), labels)
    (tmp_path / "val.txt").write_text("".join(f"{i}.png {i}_label.png\n" for i in range(2)))
    write_config(tmp_path)
    members = [{"model": "first.safetensors", "weight": 1e6}, {"model": "second.safetensors", "bands": None}]
    path = write(networks, members=members)
    words = ["--model_path", str(path), "--backend", "dynamic", "--no-reexec"]
    assert main(["val", "--config", str(tmp_path / "config.yml"), *words, "--save_dir", str(tmp_path / "score")]) == 0
    out = capsys.readouterr().out
    assert "ensemble of dynamic, dynamic" in out
    assert json.loads((tmp_path / "score" / "metrics.json").read_text())["Acc"] > 0.999
    images = ["--image_path", str(tmp_path / "0.png"), "--save_dir", str(tmp_path / "map"), "--no_overlay"]
    assert main(["predict", *words, *images]) == 0
    labels = Raster(tmp_path / "map" / "0_label.png", expand_palette=False).read()[..., 0]
    assert (cv2.imread(str(tmp_path / "0_label.png"), cv2.IMREAD_UNCHANGED) == labels).mean() > 0.999
    assert main(["export", "--model_path", str(path), "--save_dir", str(tmp_path / "export"), "--no-reexec"]) == 2
    assert "export its members" in capsys.readouterr().err
    assert main(["predict", "--model_path", str(tmp_path / "config.yml"), *images]) == 2
    assert "config.yml: a configuration; expected a model" in capsys.readouterr().err


def test_the_fingerprint_is_of_the_file_and_of_every_member(networks, tmp_path):
    from shutil import copy

    for name in ("first", "second"):
        copy(networks / f"{name}.safetensors", tmp_path)
    members = [{"model": "first.safetensors"}, {"model": "second.safetensors", "weight": 2}]
    seen = {fingerprint(write(tmp_path, members=members))}
    seen.add(fingerprint(write(tmp_path, "renamed.yml", members=members)))
    assert len(seen) == 1
    seen.add(fingerprint(write(tmp_path, average="logits", members=members)))
    seen.add(fingerprint(write(tmp_path, members=members[:1])))
    with open(tmp_path / "second.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    seen.add(fingerprint(write(tmp_path, members=members)))
    for rate in (1, 2):
        (tmp_path / "c.yml").write_text(f"rate: {rate}")
        seen.add(fingerprint(write(tmp_path, members=[{"model": "first.safetensors", "config": "c.yml"}])))
    assert len(seen) == 6


@pytest.mark.parametrize("size", [None, (96, 128)])
def test_a_back_end_that_forgets_computes_the_same(networks, tmp_path, size):
    from paddle_rsseg.inference.backends import PaddleInferenceBackend, save_static
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import load_weights, read_weights

    model = create_model(read_weights(networks / "first.safetensors")[1]["model"])
    load_weights(model, networks / "first.safetensors")
    save_static(model, tmp_path, 3, size)
    usual, frugal = (PaddleInferenceBackend(tmp_path, frugal=frugal) for frugal in (False, True))
    batch = np.random.default_rng(0).standard_normal((2, 3, 96, 128), np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(frugal(batch), usual(batch))


PEAK = """
    import re, sys
    from pathlib import Path
    import numpy as np
    import paddle_rsseg as rs

    def memory(field):
        return int(re.search(field + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

    predictor = rs.Predictor(sys.argv[1], backend="paddle", device="cpu")
    predictor.predict(np.zeros((32, 32, 3), np.uint8))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = memory("VmRSS")
    predictor.predict(np.random.default_rng(0).integers(0, 256, (640, 1280, 3), np.uint8))
    print(memory("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="starts the peak anew by /proc")
def test_memory_is_that_of_one_network(tmp_path):
    from paddle_rsseg import runtime
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import save_weights

    component, spec = {"type": "FarSeg", "backbone": "ResNet18", "num_classes": 16}, InferenceSpec(16)
    described = {"model": component, "inference": spec.to_dict()}
    save_weights(tmp_path / "model.safetensors", create_model(component).state_dict(), described)
    rs.export(tmp_path / "model.safetensors", save_dir=tmp_path / "export")

    def above(members: int) -> int:
        path = write(tmp_path, crop_size=640, stride=640, members=[{"model": "export"}] * members)
        command = [sys.executable, "-c", textwrap.dedent(PEAK), str(path)]
        env = {**os.environ, **runtime.heap_environment({})}  # as the commands set it
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        return int(done.stdout.split()[-1])

    one, three = above(1), above(3)
    assert three < 1.25 * one, f"{one} MB for one network, {three} MB for three in turn"


def test_a_map_is_made_anew_when_a_member_changes(networks, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    members = [{"model": "first.safetensors"}, {"model": "second.safetensors", "bands": None}]

    def mapped(**content) -> int:
        predictor = rs.Predictor(write(networks, members=members, **content), backend="dynamic")
        done: list[int] = []
        predictor.predict_file(tmp_path / "a.png", tmp_path / "out", progress=lambda rows, of: done.append(rows))
        return len(done)

    assert mapped() > 0
    assert mapped() == 0  # finished
    members[0]["views"] = ["lr"]
    assert mapped() > 0
    assert mapped() == 0
    assert mapped(average="logits") > 0
