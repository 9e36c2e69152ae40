"""Every shipped ensemble is opened and maps an image: with small networks where the recipes write theirs."""

import re
import shlex

import numpy as np
import paddle
import pytest
from tiny_run import ROOT

import paddle_rsseg as rs
from paddle_rsseg.config import inference_spec, load_config
from paddle_rsseg.inference.ensemble_file import read_ensemble
from paddle_rsseg.inference.load import open_model
from paddle_rsseg.models import create_model
from paddle_rsseg.weights import save_weights

ENSEMBLES = sorted((ROOT / "configs/ensembles").glob("*.yml"))
OTHER_COMMANDS = re.findall(
    r"tools/train\.py --config (\S+) --save_dir (output/\w+)(?: \\\n#\s+--opts (.+))?",
    "\n".join(path.read_text(encoding="utf-8") for path in ENSEMBLES) + (ROOT / "docs/reproduction.md").read_text(),
)


def test_there_are_ensembles():
    assert len(ENSEMBLES) == 4


def recipe_of(directory: str):
    """The settings of the training whose command writes to ``directory``, by the ledger or by the ensemble's file."""
    config, opts = {save_dir: (config, opts) for config, save_dir, opts in OTHER_COMMANDS}[directory]
    return load_config(ROOT / config, shlex.split(opts))


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A directory with a copy of the ensembles, where a training would leave its networks."""
    (tmp_path / "configs/ensembles").mkdir(parents=True)
    for path in ENSEMBLES:
        (tmp_path / "configs/ensembles" / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stand_in(directory, settings, seed):
    """A checkpoint as the recipe writes it, of a network that is much smaller."""
    spec = inference_spec(settings)
    paddle.seed(seed)
    component = {
        "type": "UNet", "widths": [8, 8, 8], "num_classes": spec.num_classes, "in_channels": spec.in_channels
    }  # fmt: skip
    model = create_model(component)
    model.train()
    for _ in range(3):
        model(paddle.randn([2, spec.in_channels, 32, 32]))
    directory.mkdir(parents=True)
    described = {"model": component, "inference": spec.to_dict()}
    save_weights(directory / "model.safetensors", model.state_dict(), described)


@pytest.mark.parametrize("name", [path.stem for path in ENSEMBLES])
def test_it_maps_an_image_with_what_its_recipes_write(name, clone):
    path = clone / f"configs/ensembles/{name}.yml"
    for seed, found in enumerate(re.findall(r"model: \.\./\.\./(output/\w+)/best_model", path.read_text())):
        stand_in(clone / found / "best_model", recipe_of(found), seed)
    file = read_ensemble(path)
    assert len(file.members) == {"naic_stage2": 4}.get(name, 2)
    predictor = rs.Predictor(path, backend="dynamic", blend=None)
    image = np.random.default_rng(0).integers(0, 256, (70, 90, predictor.spec.in_channels), np.uint8)
    found = predictor.predict(image, probabilities=True)
    scores = []
    for member in file.members:
        alone = open_model(member.model, backend="dynamic", average=file.average, views=member.changes.get("views"))
        score = rs.Predictor(alone.backend, alone.spec).engine.score
        scores.append(score(score.batch([(image, None)], 70, 90), 70, 90)[0].astype(np.float64))
    mean = np.mean(scores, axis=0)
    if file.average == "logits":
        np.testing.assert_array_equal(found.labels, np.sum(scores, axis=0).argmax(0))
        mean = np.exp(mean) / np.exp(mean).sum(axis=0)
    np.testing.assert_allclose(found.probabilities, mean, atol=1e-5)
    assert predictor.spec.classes


def test_their_values_are_those_of_the_systems(clone):
    for path in ENSEMBLES:
        for found in re.findall(r"model: \.\./\.\./(output/\w+)/best_model", path.read_text()):
            (clone / found / "best_model").mkdir(parents=True, exist_ok=True)
    files = {path.stem: read_ensemble(clone / "configs/ensembles" / path.name) for path in ENSEMBLES}
    assert {name: file.average for name, file in files.items()} == {
        "ecology": "probs", "naic_stage1": "probs", "naic_stage2": "logits", "remote": "probs"
    }  # fmt: skip
    assert all(member.weight == 1 for file in files.values() for member in file.members)
    assert files["naic_stage2"].changes == {"policy": "adaptive", "margin": 128}
    assert files["remote"].changes["window"] == (512, 512)
    assert all(m.changes == {"views": ("identity", "identity", "lr", "tb")} for m in files["remote"].members)
