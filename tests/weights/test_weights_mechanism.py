"""What happens to tensors between a foreign file and a model: orientation, parts, order, and who may claim a file."""

import numpy as np
import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.weights import layouts, load_pretrained, load_weights, save_weights
from paddle_rsseg.weights.layout import Layout, candidates, framework_of, translate
from paddle_rsseg.weights.load import adapt_stem, match, shapes_of

paddle = pytest.importorskip("paddle")
torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402

RANDOM = np.random.default_rng(0)


@pytest.fixture
def known(monkeypatch):
    """Layouts for one test, instead of those of the project."""

    def use(*some):
        monkeypatch.setattr(layouts, "LAYOUTS", list(some))

    return use


class Mlp(paddle.nn.Layer):
    """Linear layers, one of them square, and no batch norm that could tell who wrote a file."""

    def __init__(self):
        super().__init__()
        self.fc1 = paddle.nn.Linear(4, 6)
        self.fc2 = paddle.nn.Linear(6, 6)
        self.norm = paddle.nn.LayerNorm(6)

    def forward(self, x):
        return self.norm(self.fc2(self.fc1(x)))


def torch_mlp():
    net = torch.nn.Sequential()
    net.fc1, net.fc2, net.norm = torch.nn.Linear(4, 6), torch.nn.Linear(6, 6), torch.nn.LayerNorm(6)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(RANDOM.standard_normal(parameter.shape).astype(np.float32)))
    return net


@pytest.mark.parametrize("form", ["zip.pth", "legacy.pt", "timm.safetensors", "bare.safetensors"])
def test_linear_layers_of_a_torch_file_are_turned_the_square_one_too(tmp_path, form):
    theirs, path = torch_mlp(), tmp_path / form
    if path.suffix == ".safetensors":
        save_file(dict(theirs.state_dict()), path, {"format": "pt"} if form.startswith("timm") else None)
    else:
        torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=form.startswith("zip"))
    ours = Mlp()
    load_weights(ours, path)
    x = RANDOM.standard_normal((5, 4)).astype(np.float32)
    np.testing.assert_array_equal(ours.fc2.weight.numpy(), theirs.fc2.weight.detach().numpy().T)
    expected = theirs.norm(theirs.fc2(theirs.fc1(torch.from_numpy(x)))).detach().numpy()
    np.testing.assert_allclose(ours(paddle.to_tensor(x)).numpy(), expected, atol=1e-5)


def test_linear_layers_of_paddle_stay_as_they_are(tmp_path):
    source = Mlp()
    paddle.save(source.state_dict(), str(tmp_path / "a.pdparams"))
    save_weights(tmp_path / "a.safetensors", source.state_dict())
    for name in ("a.pdparams", "a.safetensors"):
        target = Mlp()
        load_weights(target, tmp_path / name)
        np.testing.assert_array_equal(target.fc2.weight.numpy(), source.fc2.weight.numpy())


def test_a_classifier_of_paddle_vision_is_not_turned(tmp_path):
    """Its names are torchvision's, its orientation is Paddle's; the statistics' names tell."""
    vision = paddle.vision.models.resnet18(num_classes=512)  # so that fc is square
    paddle.save(vision.state_dict(), str(tmp_path / "a.pdparams"))
    fresh = paddle.vision.models.resnet18(num_classes=512)
    report, state = match(tmp_path / "a.pdparams", shapes_of(fresh), layout="names as they are")
    assert report.complete
    np.testing.assert_array_equal(state["fc.weight"], vision.fc.weight.numpy())


def test_the_names_of_statistics_tell_more_than_the_form():
    assert framework_of(["a.weight", "a.running_mean"], "paddle") == "torch"
    assert framework_of(["a.weight", "a._mean"], "torch") == "paddle"
    assert framework_of(["a.weight"], "torch") == "torch"
    assert framework_of(["a.weight"]) is None


def test_merged_tensors_are_split_along_their_outputs():
    fused = np.arange(36.0).reshape(9, 4)  # torch's (out, in): q, then k and v
    weights = {"a.in_proj_weight": fused, "a.in_proj_bias": np.arange(9.0)}
    # PyTorch's name ends in _weight: the layout renames it first, so that it is seen as a linear layer
    renaming = Layout("x", "in_proj", renames=[(r"in_proj_", "in_proj.")], split=[
        (r"(.*)\.in_proj\.(\w+)$", {r"\1.q.\2": 1, r"\1.kv.\2": 2})])  # fmt: skip
    state = translate(weights, renaming, "torch").state
    np.testing.assert_array_equal(state["a.q.weight"], fused[:3].T)
    np.testing.assert_array_equal(state["a.kv.weight"], fused[3:].T)
    np.testing.assert_array_equal(state["a.kv.bias"], np.arange(3.0, 9))
    with pytest.raises(ValueError, match="does not divide"):
        translate({"a.in_proj.weight": fused[:8]}, renaming, "torch")


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_parts_are_merged_in_their_order_whatever_the_files(framework):
    layout = Layout("x", "query", merge=[
        (r"(.*)\.(?P<part>query|key|value)\.(\w+)$", r"\1.qkv.\3", ("query", "key", "value"))])  # fmt: skip
    q, k, v = (np.full((3, 2), i) for i in range(3))  # (out, in)
    q, k, v = (x if framework == "torch" else x.T for x in (q, k, v))
    weights = {"a.value.weight": v, "a.query.weight": q, "a.key.weight": k}
    state = translate(weights, layout, framework).state
    np.testing.assert_array_equal(state["a.qkv.weight"], [[0, 0, 0, 1, 1, 1, 2, 2, 2]] * 2)
    del weights["a.key.weight"]
    with pytest.raises(ValueError, match="in parts, and only 2"):
        translate(weights, layout, framework)


def test_arranging_comes_last_and_sees_our_orientation():
    layout = Layout("x", "red", renames=[("red", "reduction")], arrange=[(r"reduction", lambda a: a[::-1])])
    weight = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(translate({"red.weight": weight}, layout, "torch").state["reduction.weight"],
                                  weight.T[::-1])  # fmt: skip


def test_every_marker_must_match(known):
    known(Layout("both", (r"^a\.", r"^b\.")), Layout("paddle's", r"^a\.", framework="paddle"))
    assert [o.name for o in candidates(["a.x"])] == ["paddle's", "names as they are"]
    assert [o.name for o in candidates(["a.x", "b.x"], "torch")] == ["both", "names as they are"]


def test_the_layout_that_fits_the_model_wins_in_any_order(known, tmp_path):
    good = Layout("good", r"^first\.", renames=[("^first", "fc1"), ("^second", "fc2")])
    poor = Layout("poor", r"^first\.", renames=[("^first", "fc2")])
    state = {n.replace("fc1", "first").replace("fc2", "second"): t.numpy() for n, t in Mlp().state_dict().items()}
    save_file(
        {n: torch.from_numpy(a.T.copy() if a.ndim == 2 else a) for n, a in state.items()}, tmp_path / "a.safetensors"
    )
    for order in ([good, poor], [poor, good]):
        known(*order)
        report, _ = match(tmp_path / "a.safetensors", shapes_of(Mlp()))
        assert (report.layout, report.complete) == ("good", True)


def test_an_ambiguous_file_is_named_and_the_user_chooses(known, tmp_path):
    plain = Layout("plain", r"^fc1\.")
    turned = Layout("turned", r"^fc1\.", arrange=[(r"^fc2\.weight", lambda a: a[::-1])])
    torch.save(torch_mlp().state_dict(), tmp_path / "a.pth")
    known(plain, turned)
    with pytest.raises(RssegError, match=r"may be 'plain' or 'turned', with different values.*--layout"):
        load_weights(Mlp(), tmp_path / "a.pth")
    model = Mlp()
    assert load_weights(model, tmp_path / "a.pth", layout="turned").layout == "turned"
    with pytest.raises(RssegError, match=r"unknown layout 'turnd'.*did you mean 'turned'"):
        load_weights(model, tmp_path / "a.pth", layout="turnd")
    # our own format is never claimed, whatever its names
    save_weights(tmp_path / "own.safetensors", model.state_dict())
    other = Mlp()
    assert load_weights(other, tmp_path / "own.safetensors").layout == "our own format"
    np.testing.assert_array_equal(other.fc2.weight.numpy(), model.fc2.weight.numpy())


def test_what_belongs_to_the_loss_is_dropped_and_hides_no_wrapper():
    result = translate({"model.a.weight": np.zeros((2, 3)), "loss.criterion.weight": np.zeros(3)})
    assert set(result.state) == {"a.weight"}
    assert result.dropped == {"loss.criterion.weight": "of the loss, not of the network"}


def test_the_other_two_ways_to_start_further_bands():
    weight = RANDOM.standard_normal((2, 3, 3, 3)).astype(np.float32)
    zero = adapt_stem(weight, (2, 5, 3, 3), "zero")
    np.testing.assert_array_equal(zero[:, :3], weight)
    assert not zero[:, 3:].any()
    start = RANDOM.standard_normal((2, 5, 3, 3)).astype(np.float32)
    random = adapt_stem(weight, (2, 5, 3, 3), "random", start)
    np.testing.assert_array_equal(random[:, :3], weight)
    np.testing.assert_array_equal(random[:, 3:], start[:, 3:])
    np.testing.assert_array_equal(adapt_stem(weight, (2, 1, 3, 3), "zero"), weight[:, :1])
    with pytest.raises(RssegError, match="'mean', 'copy', 'zero' or 'random'"):
        adapt_stem(weight, (2, 5, 3, 3), "median")


@pytest.mark.parametrize("stem", ["zero", "random"])
def test_stems_of_a_network(tmp_path, stem):
    def net(bands):
        return paddle.nn.Sequential(paddle.nn.Conv2D(bands, 4, 3), paddle.nn.Conv2D(4, 2, 1))

    source, target = net(3), net(5)
    before = target[0].weight.numpy().copy()
    save_weights(tmp_path / "a.safetensors", source.state_dict())
    report = load_pretrained(target, tmp_path / "a.safetensors", stem=stem)
    assert report.adapted == {"0.weight": f"3 → 5 input bands, '{stem}'"}
    after = target[0].weight.numpy()
    np.testing.assert_array_equal(after[:, :3], source[0].weight.numpy())
    np.testing.assert_array_equal(after[:, 3:], before[:, 3:] if stem == "random" else 0 * before[:, 3:])


def test_partial_loading_is_a_choice(tmp_path):
    source = Mlp()
    state = {n: t for n, t in source.state_dict().items() if not n.startswith("fc1")}
    save_weights(tmp_path / "a.safetensors", {**state, "more": np.zeros(1)})
    target = Mlp()
    with pytest.raises(RssegError, match=r"2 missing \(fc1.weight, fc1.bias\), 1 extra \(more\).*partial: true"):
        load_pretrained(target, tmp_path / "a.safetensors")
    report = load_pretrained(target, tmp_path / "a.safetensors", partial=True)
    np.testing.assert_array_equal(target.fc2.weight.numpy(), source.fc2.weight.numpy())
    text = "\n".join(report.lines(every=True))
    for name in (*source.state_dict(), "more"):
        assert f"\n  {name}" in text
    save_weights(tmp_path / "b.safetensors", {"more": np.zeros(1)})
    with pytest.raises(RssegError, match="no tensor fits"):
        load_pretrained(target, tmp_path / "b.safetensors", partial=True)
