"""``model.pretrained`` of a YAML file: a path, a known name, or a mapping with options."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_rsseg.config import check_paths, loads_config, pretrained_weights
from paddle_rsseg.errors import RssegError
from paddle_rsseg.weights.table import entry

paddle = pytest.importorskip("paddle")
torch = pytest.importorskip("torch")

NAME = "hrnet_w18_small_v2.imagenet"
YAML = """
iters: 2
batch_size: 1
train_dataset: {{type: Dataset, dataset_root: ., train_path: list.txt, num_classes: 3, mode: train}}
val_dataset: {{type: Dataset, dataset_root: ., val_path: list.txt, num_classes: 3, mode: val}}
model: {{type: HRNet, backbone: HRNetV2_W18_Small_V2, num_classes: 3, in_channels: {bands}, pretrained: {pretrained}}}
optimizer: {{type: SGD}}
lr_scheduler: {{type: Constant, learning_rate: 0.1}}
loss: {{types: [{{type: CrossEntropyLoss}}], coef: [1]}}
"""


def settings(pretrained, bands=3):
    return loads_config(YAML.format(pretrained=pretrained, bands=bands))


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """The named file in the local folder, and its tensors."""
    from paddle_rsseg.models.backbones import build_backbone

    monkeypatch.setenv("RSSEG_WEIGHTS", str(tmp_path))
    state = {}
    for name, tensor in build_backbone("HRNetV2_W18_Small_V2").state_dict().items():
        theirs = name.replace("._mean", ".running_mean").replace("._variance", ".running_var")
        state[theirs] = torch.from_numpy(tensor.numpy() + 0.5)
    torch.save({**state, "classifier.weight": torch.zeros(1000, 2048)}, tmp_path / entry(NAME).file)
    return state


def test_a_known_name(encoder, tmp_path, monkeypatch):
    from paddle_rsseg.training.build import build_model

    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").touch()
    said = []
    check_paths(settings(NAME), "train")
    model = build_model(settings(NAME), say=said.append)
    np.testing.assert_array_equal(model.backbone.conv1.weight.numpy(), encoder["conv1.weight"])
    assert said[0] == f"{NAME}: MIT; {entry(NAME).page}"
    assert "missing     0" in said[1]


@pytest.mark.parametrize("stem", ["mean", "random"])  # the others: test_weights_mechanism
def test_a_stem_for_other_bands(encoder, stem):
    from paddle_rsseg.models import create_model
    from paddle_rsseg.training.build import build_model, seed_all

    chosen = settings(f"{{weights: {NAME}, stem: {stem}}}", bands=5)
    seed_all(chosen.seed)
    start = create_model(chosen).backbone.conv1.weight.numpy()
    found = build_model(chosen, say=lambda text: None).backbone.conv1.weight.numpy()
    rgb = encoder["conv1.weight"].numpy()
    rest = {"random": start[:, 3:], "mean": np.repeat(rgb.mean(1, keepdims=True), 2, 1) * 0.6}
    np.testing.assert_allclose(found[:, 3:], rest[stem], rtol=1e-6)


def test_partial(encoder, tmp_path):
    from paddle_rsseg.training.build import build_model

    del encoder["conv1.weight"]
    torch.save(encoder, tmp_path / "part.pth")
    with pytest.raises(RssegError, match=r"1 missing \(backbone\.conv1\.weight\)"):
        build_model(settings(str(tmp_path / "part.pth")), say=print)
    said = []
    build_model(settings(f"{{weights: {tmp_path / 'part.pth'}, partial: true}}"), say=said.append)
    assert "missing     1\n  backbone.conv1.weight" in said[1]


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        ("3", r"pretrained: 3; expected the path of a weights file"),
        ("{weights: a.pth, steam: zero}", r"pretrained\.steam: unknown key 'steam'; did you mean 'stem'"),
        ("{weights: a.pth, stem: median}", r"pretrained\.stem: 'median'; expected 'mean', 'copy', 'zero' or 'random'"),
        ("{stem: zero}", r"pretrained\.weights: None; expected"),
        ("{weights: a.pth, partial: 1}", r"pretrained\.partial: 1; expected a valid boolean"),
    ],
)
def test_what_is_refused(pretrained, message):
    with pytest.raises(RssegError, match=message):
        settings(pretrained)


def test_unknown_names_are_met_before_the_training(encoder, tmp_path, monkeypatch):
    from paddle_rsseg.training.build import build_model

    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").touch()
    with pytest.raises(RssegError, match=r"did you mean 'hrnet_w18_small_v2\.imagenet'"):
        build_model(settings("hrnet_w18_smal_v2.imagenet"))
    with pytest.raises(RssegError, match=r"resnet18\.pth does not exist"):
        check_paths(settings("resnet18.pth"), "train")


def test_paddlesegs_place_for_it(encoder):
    text = YAML.format(pretrained="null", bands=3).replace(
        "backbone: HRNetV2_W18_Small_V2",
        "backbone: {type: HRNetV2_W18_Small_V2, pretrained: {weights: x.y, stem: zero}}",
    )
    found = pretrained_weights(loads_config(text))
    assert (found.weights, found.stem, found.partial) == ("x.y", "zero", False)
