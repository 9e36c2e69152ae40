"""An ensemble's YAML: what it may say, and that every mistake is one line with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.ensemble_file import MEMBER, WHOLE, is_ensemble, read_ensemble


@pytest.fixture
def write(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"")
    (tmp_path / "b").mkdir()

    def write(text: str, name: str = "e.yml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


GOOD = """\
average: probs
crop_size: [96, 64]
members:
  - model: a.safetensors
    weight: 2
    input_size: 128
    scale: null
  - model: b
    views: [identity, identity, lr]
    mean: [0, 0.5]
"""


def test_what_is_read(write, tmp_path):
    read = read_ensemble(write(GOOD))
    assert read.average == "probs"
    assert read.changes == {"window": (64, 96), "stride": (36, 54)}
    first, second = read.members
    assert (first.model, second.model) == (tmp_path / "a.safetensors", tmp_path / "b")
    assert (first.weight, second.weight) == (2, 1)
    assert first.input_size == (128, 128)
    assert first.changes == {"scale": None}
    assert second.changes == {"views": ("identity", "identity", "lr"), "mean": (0.0, 0.5)}
    assert second.place.endswith("e.yml:8: members.1")


def test_a_base_and_its_own_directory(write, tmp_path):
    write(GOOD)
    derived = write("_base_: ../e.yml\naverage: logits\nstride: 32\n", "below/f.yml")
    read = read_ensemble(derived)
    assert (read.average, read.changes["stride"]) == ("logits", (32, 32))
    assert read.members[1].model == tmp_path / "b"  # beside the file that says it


def test_what_is_an_ensemble():
    assert is_ensemble(Path("x/e.yml"))
    assert is_ensemble(Path("e.YAML"))
    assert not is_ensemble(Path("x/deploy.yaml"))
    assert not is_ensemble(Path("model.safetensors"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("average: probs", "avrage: probs", "e.yml:1: avrage: unknown key 'avrage'; did you mean 'average'?"),
        ("average: probs\n", "", "e.yml: no 'average'; expected average: probs or logits, and members: a list"),
        ("average: probs", "average: logit", "average: 'logit'; expected one of probs, logits; did you mean 'logits'?"),
        ("  - model: b\n", "  - path: b\n", "e.yml:8: members.1.path: unknown key 'path'"),
        ("weight: 2", "wieght: 2", "e.yml:5: members.0.wieght: unknown key 'wieght'; did you mean 'weight'?"),
        ("weight: 2", "weight: 0", "e.yml:5: members.0.weight: 0; expected a number above 0"),
        ("weight: 2", "weight: -1", "members.0.weight: -1; expected a number above 0"),
        ("weight: 2", "weight: .nan", "members.0.weight: nan; expected a number above 0"),
        ("weight: 2", "weight: yes", "members.0.weight: yes; expected a number above 0"),
        ("weight: 2", "weight: two", "members.0.weight: 'two'; expected a number above 0"),
        (
            "weight: 2",
            "backend: padle",
            "members.0.backend: 'padle'; expected one of auto, dynamic, paddle, onnx, openvino",
        ),
        ("weight: 2", "bands: [0]", "members.0.bands: [0]; expected a whole number of at least 1"),
        ("weight: 2", "config: c.yml", "c.yml does not exist; expected a path relative to this file"),
        ("input_size: 128", "input_size: [1, 2, 3]", "[1, 2, 3]; expected a width and a height"),
        ("input_size: 128", "input_size: 0.5", "0.5; expected a whole number of at least 1"),
        ("model: b", "model: c", "e.yml:8: members.1.model: "),
        ("model: b", "model: 3", "members.1.model: 3; expected a path"),
        ("model: b", "model: e.yml", "e.yml is an ensemble itself; expected one network"),
        ("lr]", "left]", "members.1.views: ['identity', 'identity', 'left']; expected one of identity, lr"),
        ("[identity, identity, lr]", "lr", "members.1.views: 'lr'; expected a list with at least one entry"),
        ("mean: [0, 0.5]", "mean: []", "members.1.mean: []; expected a list with at least one entry"),
        ("crop_size: [96, 64]", "stride: 32", "e.yml:2: stride: without crop_size"),
        ("crop_size: [96, 64]", "policy: slide", "did you mean 'sliding'?"),
        ("crop_size: [96, 64]", "alpha_is_data: 1", "alpha_is_data: 1; expected yes or no"),
        ("crop_size: [96, 64]", "average: logits", "e.yml:2: the key 'average' is written twice"),
        ("crop_size: [96, 64]", "val_dataset: {}", "a configuration; expected a model"),
    ],
)
def test_mistakes_are_one_line_with_their_place(write, old, new, message):
    assert old in GOOD
    with pytest.raises(RssegError) as caught:
        read_ensemble(write(GOOD.replace(old, new)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("members", ["[]", "{}", "a.safetensors", "[a.safetensors]", "[{weight: 1}]", "null"])
def test_without_members(write, members):
    with pytest.raises(RssegError, match=r"e.yml:2: members"):
        read_ensemble(write(f"average: probs\nmembers: {members}\n"))


def test_no_file(tmp_path):
    with pytest.raises(RssegError, match=r"e.yml: no such file; expected the YAML of an ensemble"):
        read_ensemble(tmp_path / "e.yml")


def test_the_page_shows_what_can_be_read(write):
    page = (Path(__file__).parents[2] / "docs/ensembles.md").read_text(encoding="utf-8")
    text = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1]
    path = write(text, "below/e.yml")
    for named in re.findall(r"model: (\S+)", text):
        (path.parent / named).mkdir(parents=True)
    read = read_ensemble(path)
    assert [member.weight for member in read.members] == [2, 1, 1]
    assert read.changes == {"window": (512, 512), "stride": (384, 384)}
    tables = re.findall(r"^\| (`[a-z_`, ]+`) \|", page, re.MULTILINE)
    named = [key for cell in tables for key in re.findall(r"`(\w+)`", cell)]
    own = ("dynamic", "paddle", "onnx", "_base_")  # the table of memory; what the reader of YAML knows
    assert sorted(set(named) - set(own)) == sorted({*WHOLE, *MEMBER})
