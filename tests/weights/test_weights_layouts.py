"""Every known layout becomes our names; every tensor of a file is accounted for."""

import json
import zlib

import numpy as np
import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.weights import load_pretrained, load_weights, read_weights, save_weights
from paddle_rsseg.weights.layout import translate
from paddle_rsseg.weights.load import adapt_stem, match, shapes_of

paddle = pytest.importorskip("paddle")

# The farseg specification's names, written out here independently of the models and of the layouts.
BLOCKS = {1: 3, 2: 4, 3: 6, 4: 3}
BN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
X2PADDLE_ORDER = {1: [90, 50, 140], 2: [110, 40, 60, 0], 3: [120, 10, 70, 30, 80, 20], 4: [100, 150, 130]}


def resnet_names():
    """(torchvision's name, X2Paddle's name) of each convolution and batch norm of ResNet-50, without the tensor's."""
    yield "conv1", "conv0"
    yield "bn1", "bn0"
    for stage, count in BLOCKS.items():
        for block in range(count):
            ours, theirs = f"layer{stage}.{block}", f"layer{stage}0.bottleneck{X2PADDLE_ORDER[stage][block]:02d}"
            for i in (1, 2, 3):
                yield f"{ours}.conv{i}", f"{theirs}.conv{i - 1}"
                yield f"{ours}.bn{i}", f"{theirs}.bn{i - 1}"
            if block == 0:
                yield f"{ours}.downsample.0", f"{theirs}.layer1_0_downsample0.conv0"
                yield f"{ours}.downsample.1", f"{theirs}.layer1_0_downsample0.bn0"


def head_names():
    """(official, PaddleRS, PaddleSeg port) of everything behind the encoder, and whether it has a bias or is a BN."""
    for i in range(4):
        yield f"fpn.fpn_inner{i + 1}", f"fpn.inner_blocks.{i}", f"neck.fpn.inner_blocks.{i}._conv", "bias"
        yield f"fpn.fpn_layer{i + 1}", f"fpn.layer_blocks.{i}", f"neck.fpn.layer_blocks.{i}._conv", "bias"
        for j in (0, 2):
            rest = f"scene_encoder.{i}.{j}"
            yield f"sr.{rest}", f"fsr.{rest}", f"neck.sr.{rest}._conv", "bias"
        for kind in ("content_encoders", "feature_reencoders"):
            yield f"sr.{kind}.{i}.0", f"fsr.{kind}.{i}.0", f"neck.sr.{kind}.{i}.0._conv", "bias"
            yield f"sr.{kind}.{i}.1", f"fsr.{kind}.{i}.1", f"neck.sr.{kind}.{i}.1", "bn"
        for j in range(max(i, 1)):
            rest = f"decoder.blocks.{i}.{j}"
            yield f"{rest}.0", f"{rest}.0", f"{rest}.0._conv", ""
            yield f"{rest}.1", f"{rest}.1", f"{rest}.1", "bn"
    yield "cls_pred_conv", "cls_head.0", "cls_head.0._conv", "bias"


def tensors(name, kind, paddle_names):
    if kind != "bn":
        return [f"{name}.weight", *([f"{name}.bias"] if kind == "bias" else [])]
    names = [f"{name}.{part}" for part in BN]
    if paddle_names:
        names = [n.replace("running_mean", "_mean").replace("running_var", "_variance") for n in names[:4]]
    return names


def number(official_name):
    """A value that tells one tensor from every other."""
    return np.float32(zlib.crc32(official_name.encode()) % 2**24)


def checkpoint(style, shapes):
    """A state dict in the names of ``style``: "official", "paddlers" or "paddleseg"; values by our name."""
    paddle_names = style != "official"
    state = {}

    def add(official, theirs, kind):
        for ours, name in zip(tensors(official, kind, True), tensors(theirs, kind, paddle_names), strict=False):
            state[name] = np.full(shapes[ours], number(ours), np.float32)
        if not paddle_names and kind == "bn":
            state[f"{theirs}.num_batches_tracked"] = np.array(9, np.int64)

    for ours, generated in resnet_names():
        kind = "bn" if "bn" in ours or ours.endswith("downsample.1") else ""
        prefix = {"official": f"en.resnet.{ours}", "paddlers": f"encoder.resnet.{ours}"}
        add(f"en.resnet.{ours}", prefix.get(style, f"backbone.resnet.{generated}"), kind)
    for official, paddlers, paddleseg, kind in head_names():
        add(official, {"official": official, "paddlers": paddlers, "paddleseg": paddleseg}[style], kind)
    return state


@pytest.fixture(scope="module")
def shapes():
    """FarSeg-50's tensors, each shrunk to at most 4 entries an axis: names and ranks are what is tested."""
    from paddle_rsseg.models import create_model

    full = shapes_of(create_model("farseg_r50"))
    return {name: tuple(min(n, 4) for n in shape) for name, shape in full.items()}


def write_pickle(path, state):
    import pickle

    path.write_bytes(pickle.dumps(state, 4))
    return path


def assert_all_in_place(report, state, shapes, prefix=""):
    report.check()
    assert set(state) == {name for name in shapes if name.startswith(prefix)}
    for name, array in state.items():
        assert (array == number(name)).all(), name


def test_official_release(tmp_path, shapes):
    torch = pytest.importorskip("torch")
    state = {"buffer_step": np.float32(60000), **checkpoint("official", shapes)}
    assert len(state) == 451
    content = {f"module.{name}": torch.tensor(array) for name, array in state.items()}
    torch.save({"model": content, "opt": {"state": {}}, "global_step": 60000}, tmp_path / "farseg50.pth")
    report, state = match(tmp_path / "farseg50.pth", shapes)
    assert report.layout == "FarSeg, official release"
    assert_all_in_place(report, state, shapes)
    assert len(report.matched) == 382
    assert len(report.dropped) == 451 - 382
    assert report.metadata["loss_step"] == 60000


def test_module_inside_a_name_is_no_wrapper():
    state = translate({"en.module.weight": np.zeros(1), "module.x": np.zeros(1)}).state
    assert set(state) == {"en.module.weight", "module.x"}
    assert set(translate({"module.en.module.weight": np.zeros(1), "module.x": np.zeros(1)}).state) == {
        "en.module.weight",
        "x",
    }


def test_paddlers(tmp_path, shapes):
    state = checkpoint("paddlers", shapes)
    for name, content in (("normal", state), ("exported", {f"net.{k}": v for k, v in state.items()})):
        report, found = match(write_pickle(tmp_path / f"{name}.pdparams", content), shapes)
        assert report.layout == "FarSeg in PaddleRS"
        assert_all_in_place(report, found, shapes)


def test_paddleseg_port(tmp_path, shapes):
    state = checkpoint("paddleseg", shapes)
    assert "backbone.resnet.layer20.bottleneck00.layer1_0_downsample0.conv0.weight" not in state
    assert "backbone.resnet.layer20.bottleneck110.layer1_0_downsample0.conv0.weight" in state
    state["backbone.resnet.linear0.weight"] = np.zeros((4, 4), np.float32)
    state["backbone.resnet.linear0.bias"] = np.zeros(4, np.float32)
    report, found = match(write_pickle(tmp_path / "a.pdparams", state), shapes)
    assert report.layout.startswith("FarSeg in PaddleSeg")
    assert_all_in_place(report, found, shapes)
    assert set(report.dropped) == {"backbone.resnet.linear0.weight", "backbone.resnet.linear0.bias"}


def test_paddleseg_ports_backbone_file(tmp_path, shapes):
    prefix = "backbone.resnet."
    state = {n.removeprefix(prefix): a for n, a in checkpoint("paddleseg", shapes).items() if n.startswith(prefix)}
    state["linear0.weight"] = np.zeros((4, 4), np.float32)
    path = write_pickle(tmp_path / "resnet50_pth.pdparams", state)
    report, found = match(path, shapes, encoder_alone=True)
    assert report.layout == "ResNet-50 converted by X2Paddle"
    assert report.backbone_only
    assert_all_in_place(report, found, shapes, "en.resnet.")
    assert list(report.dropped) == ["linear0.weight"]
    report, _ = match(path, shapes)  # the whole model is wanted
    with pytest.raises(RssegError, match=r"117 missing \(fpn\.fpn_inner1\.weight"):
        report.check()


@pytest.mark.parametrize("source", ["torchvision", "paddle.vision"])
def test_resnet_files(tmp_path, shapes, source):
    style = "official" if source == "torchvision" else "paddlers"
    prefix = "en.resnet." if source == "torchvision" else "encoder.resnet."
    state = {n.removeprefix(prefix): a for n, a in checkpoint(style, shapes).items() if n.startswith(prefix)}
    state["fc.weight"] = state["fc.bias"] = np.zeros(3, np.float32)
    report, found = match(write_pickle(tmp_path / "r.pdparams", state), shapes, encoder_alone=True)
    assert_all_in_place(report, found, shapes, "en.resnet.")
    assert {n for n in report.dropped if n.startswith("fc.")} == {"fc.weight", "fc.bias"}


def test_paddle_vision_writes_these_names():
    vision = paddle.vision.models.resnet18()
    names = translate({name: np.zeros(1) for name in vision.state_dict()})
    from paddle_rsseg.models import create_model

    ours = {n.removeprefix("en.resnet.") for n in shapes_of(create_model("farseg_r18")) if n.startswith("en.resnet.")}
    assert set(names.state) == ours


def test_nothing_is_skipped_silently(tmp_path, shapes):
    state = checkpoint("official", shapes)
    state["en.resnet.bn1.weight"] = np.zeros(5, np.float32)
    state["surplus.weight"] = state.pop("cls_pred_conv.bias")
    report, found = match(write_pickle(tmp_path / "a.pdparams", state), shapes)
    assert report.missing == ["cls_pred_conv.bias"]
    assert report.extra == ["surplus.weight"]
    assert report.misshaped == {"en.resnet.bn1.weight": ((5,), (4,))}
    assert len(found) == len(report.matched) == 380
    with pytest.raises(
        RssegError, match=r"1 missing .*1 extra \(surplus\.weight\).*1 mis-shaped .*bn1\.weight 5 for 4"
    ):
        report.check()
    text = str(report)
    for fact in ("  cls_pred_conv.bias", "  surplus.weight", "  en.resnet.bn1.weight: file 5, model 4"):
        assert fact in text.splitlines()


def small(bands=3, classes=5):
    """A network with an encoder and a classifier, quick to build."""
    net = paddle.nn.Layer()
    net.en = paddle.nn.Sequential(paddle.nn.Conv2D(bands, 4, 3), paddle.nn.BatchNorm2D(4))
    net.cls_pred_conv = paddle.nn.Conv2D(4, classes, 1)
    return net


def test_load_weights_is_all_or_nothing(tmp_path):
    source, target = small(), small()
    state = {name: tensor.numpy() for name, tensor in source.state_dict().items()}
    save_weights(tmp_path / "whole.safetensors", state)
    load_weights(target, tmp_path / "whole.safetensors")
    for name, tensor in target.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), state[name])
    changed = {**state, "en.0.bias": state["en.0.bias"] + 1}
    del changed["cls_pred_conv.bias"]
    save_weights(tmp_path / "part.safetensors", changed)
    with pytest.raises(RssegError, match=r"1 missing \(cls_pred_conv\.bias\)"):
        load_weights(target, tmp_path / "part.safetensors")
    np.testing.assert_array_equal(target.en[0].bias.numpy(), state["en.0.bias"])
    report = load_weights(target, tmp_path / "part.safetensors", strict=False)
    assert report.missing == ["cls_pred_conv.bias"]
    np.testing.assert_array_equal(target.en[0].bias.numpy(), state["en.0.bias"] + 1)


def test_half_precision_file_into_a_float_model(tmp_path):
    source, target = small(), small()
    save_weights(tmp_path / "a.safetensors", {n: t.numpy().astype(np.float16) for n, t in source.state_dict().items()})
    load_weights(target, tmp_path / "a.safetensors")
    assert target.cls_pred_conv.weight.dtype == paddle.float32
    expected = source.cls_pred_conv.weight.numpy().astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(target.cls_pred_conv.weight.numpy(), expected)


def test_pretrained_bridges_bands_and_classes(tmp_path):
    source, target = small(), small(bands=7, classes=2)
    save_weights(tmp_path / "a.safetensors", source.state_dict())
    head = target.cls_pred_conv.weight.numpy()
    report = load_pretrained(target, tmp_path / "a.safetensors")
    assert set(report.adapted) == {"en.0.weight", "cls_pred_conv.weight", "cls_pred_conv.bias"}
    np.testing.assert_array_equal(target.cls_pred_conv.weight.numpy(), head)
    grey = np.random.default_rng(0).standard_normal((1, 1, 8, 8)).astype(np.float32)
    seen = target.en[0](paddle.to_tensor(np.repeat(grey, 7, 1))).numpy()
    expected = source.en[0](paddle.to_tensor(np.repeat(grey, 3, 1))).numpy()
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    with pytest.raises(RssegError, match="mis-shaped"):  # plain loading bridges nothing
        load_weights(target, tmp_path / "a.safetensors")


def test_stem_for_other_bands():
    weight = np.arange(2 * 3 * 9, dtype=np.float32).reshape(2, 3, 3, 3)
    copy = adapt_stem(weight, (2, 4, 3, 3), "copy")
    np.testing.assert_allclose(copy[:, 3], weight[:, 0] * 0.75)
    np.testing.assert_allclose(copy[:, 1], weight[:, 1] * 0.75)
    mean = adapt_stem(weight, (2, 6, 3, 3), "mean")
    np.testing.assert_allclose(mean.sum(1), weight.sum(1), rtol=1e-6)
    assert adapt_stem(weight, (2, 3, 3, 3), "mean") is None
    assert adapt_stem(weight, (2, 4, 5, 5), "mean") is None


def test_native_file(tmp_path):
    path = tmp_path / "a.safetensors"
    state = {"scalar": np.array(3.0), "x": np.arange(6, dtype=np.int64).reshape(2, 3).T, "t": paddle.ones([2])}
    save_weights(path, state, {"model": {"type": "FarSeg"}, "miou": 0.5, "text": "ä"})
    found, metadata = read_weights(path)
    assert metadata == {"format": "paddle_rsseg/1", "model": {"type": "FarSeg"}, "miou": 0.5, "text": "ä"}
    assert found["scalar"].shape == ()
    np.testing.assert_array_equal(found["x"], state["x"])
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    with pytest.raises(TypeError):  # a value that JSON cannot hold: the old file stays as it was
        save_weights(path, {}, {"bad": object()})
    assert read_weights(path)[1] == metadata
    with pytest.raises(RssegError, match=r"\.safetensors"):
        save_weights(tmp_path / "a.pdparams", state)


def test_any_header_length_is_told_from_a_pickle(tmp_path):
    # the first byte is the low byte of the header's length; 0x80 is also how pickles start
    firsts = set()
    for length in range(300):
        save_weights(tmp_path / "a.safetensors", {"x": np.ones(2000)}, {"pad": "x" * length})
        firsts.add((tmp_path / "a.safetensors").read_bytes()[0])
        assert read_weights(tmp_path / "a.safetensors")[0]["x"].sum() == 2000
    assert 0x80 in firsts


def test_foreign_safetensors(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    tensors_ = {"a": torch.randn(3, 2).bfloat16(), "b": torch.randn(2)}
    save_file(tensors_, tmp_path / "a.safetensors", {"format": "pt"})
    state, metadata = read_weights(tmp_path / "a.safetensors")
    assert metadata == {"format": "pt"}
    np.testing.assert_array_equal(state["a"], tensors_["a"].float().numpy())
    data = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "b.safetensors").write_bytes(data[:-3])
    with pytest.raises(RssegError, match="not readable as safetensors"):
        read_weights(tmp_path / "b.safetensors")
    header = {"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    text = json.dumps(header).encode()
    (tmp_path / "c.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(64))
    with pytest.raises(RssegError):
        read_weights(tmp_path / "c.safetensors")


def test_paths(tmp_path):
    with pytest.raises(RssegError, match="no such file"):
        read_weights(tmp_path / "absent.pth")
    with pytest.raises(RssegError, match=r"no model\.safetensors"):
        read_weights(tmp_path)
    save_weights(tmp_path / "model.safetensors", {"x": np.ones(1)})
    assert read_weights(tmp_path)[0]["x"] == 1
