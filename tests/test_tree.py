"""Reading YAML: bases, merging, overrides, and errors that name the line."""

from __future__ import annotations

import pytest

from paddle_rsseg import tree
from paddle_rsseg.errors import RssegError


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> str:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write


def read(path: str) -> object:
    return tree.plain(tree.read(path))


def refused(path: str) -> str:
    with pytest.raises(RssegError) as caught:
        tree.read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_numbers_with_an_exponent_are_numbers(write):
    values = read(write("a.yml", "a: 1e-4\nb: 6e4\nc: -2.5E+3\nd: 1.0e-4\ne: '1e-4'\nf: e5\ng: 1e\n"))
    assert values == {"a": 1e-4, "b": 6e4, "c": -2500.0, "d": 1e-4, "e": "1e-4", "f": "e5", "g": "1e"}


def test_bases_are_merged_key_by_key_and_lists_replaced(write):
    write("base/a.yml", "x: {p: 1, q: 2}\nl: [1, 2, 3]\nonly: a\n")
    path = write("b.yml", "_base_: base/a.yml\nx: {q: 3}\nl: [9]\n")
    assert read(path) == {"x": {"p": 1, "q": 3}, "l": [9], "only": "a"}


def test_of_several_bases_the_first_wins_as_in_paddleseg(write):
    write("a.yml", "x: a\n")
    write("b.yml", "x: b\ny: b\n")
    assert read(write("c.yml", "_base_: [a.yml, b.yml]\n")) == {"x": "a", "y": "b"}


def test_bases_of_bases_are_relative_to_the_file_that_names_them(write):
    write("deep/data/d.yml", "x: {from: d, also: d}\n")
    write("deep/c.yml", "_base_: data/d.yml\nx: {from: c}\n")
    assert read(write("b.yml", "_base_: ./deep/c.yml\n")) == {"x": {"from": "c", "also": "d"}}


@pytest.mark.parametrize(
    ("flag", "expected"), [("False", {"type": "Adam"}), ("True", {"type": "Adam", "momentum": 0.9})]
)
def test_inherited_false_drops_the_base(write, flag, expected):
    write("a.yml", "optimizer: {type: sgd, momentum: 0.9}\n")
    path = write("b.yml", f"_base_: a.yml\noptimizer:\n  _inherited_: {flag}\n  type: Adam\n")
    assert read(path) == {"optimizer": expected}


def test_a_base_in_a_circle_is_told_with_its_chain(write):
    write("a.yml", "_base_: b.yml\n")
    write("b.yml", "x: 1\n_base_: sub/../a.yml\n")
    assert refused("a.yml") == "b.yml:2: _base_: a.yml is based on itself; a.yml → b.yml → a.yml"


def test_the_same_base_twice_is_no_circle(write):
    write("a.yml", "x: 1\n")
    write("b.yml", "_base_: a.yml\n")
    assert read(write("c.yml", "_base_: [a.yml, b.yml]\n")) == {"x": 1}


def test_anchors_and_merge_keys(write):
    path = write("a.yml", "a: &a {p: 1, q: 2}\nb:\n  <<: *a\n  q: 3\nc: *a\n")
    assert read(path) == {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}, "c": {"p": 1, "q": 2}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "x.yml:5: the key 'c' is written twice; first in line 3"),
        ("a: 1\nb: [1, 2\nc: 3\n", "x.yml:3: not valid YAML"),
        ("a: 1\n\tb: 2\n", "x.yml:2: not valid YAML"),
        ("a: !!python/object/apply:os.system [echo]\n", "x.yml:1: not valid YAML: could not determine a constructor"),
        ("a: *nobody\n", "x.yml:1: not valid YAML: found undefined alias"),
        ("on: 1\n", "x.yml:1: the key 'on' is no text"),
        ("a: 1\n---\nb: 2\n", "x.yml:2: not valid YAML"),
        ("a: 2024-13-45\n", "x.yml: not valid YAML"),
        ("", "x.yml: empty; expected a mapping"),
        ("- a\n", "x.yml: a list at the top; expected a mapping"),
        ("a: &a [*a]\n", "nested too deeply"),
        ("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{y}: &{y} [{','.join([f'*{x}'] * 10)}]\n" for x, y in ("ab", "bc", "cd", "de", "ef")), "grown too large"),
        ("_base_: nothing.yml\n", "nothing.yml: No such file or directory; expected a YAML configuration; named by"),
        ("a: 1\n_base_: [3]\n", "x.yml:2: _base_: 3; expected the path of a YAML file"),
    ],
)  # fmt: skip
def test_a_bad_file_gets_one_line_with_its_place(write, text, message):
    assert message in refused(write("x.yml", text))


def test_no_file_a_directory_and_no_text(write, tmp_path):
    assert refused("none.yml").startswith("none.yml: No such file or directory; expected a YAML configuration")
    assert refused(str(tmp_path)).startswith(f"{tmp_path}: Is a directory")
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    assert refused("binary.yml").startswith("binary.yml: not a text file in UTF-8")


def test_every_value_knows_its_line(write):
    write("a.yml", "x:\n  p: 1\n  q:\n  - r: 2\n")
    root = tree.read(write("b.yml", "# comment\n_base_: a.yml\nx: {p: 3}\n"))
    root = tree.assign(root, "x.q.0.r=5")
    origins = dict(tree.origins(root))
    assert origins["x.p"] == "b.yml:3"
    assert origins["x.q"] == "a.yml:3"
    assert origins["x.q.0.r"] == "--opts x.q.0.r"
    assert tree.place(root, ["x", "q", 0, "r"]) == "--opts x.q.0.r"
    assert tree.place(root, ["x", "absent"]) == "b.yml:3: x.absent"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("a=1e-3", {"a": 1e-3}),
        ("a=text", {"a": "text"}),
        ("a=null", {"a": None}),
        ("a=", {"a": None}),
        ("a=[1, {b: 2}]", {"a": [1, {"b": 2}]}),
        ("a=896,896", {"a": [896, 896]}),
        ("a=(0.75, 1.0)", {"a": [0.75, 1.0]}),
        ("a=one, two", {"a": "one, two"}),
        ("a=x=y=z", {"a": "x=y=z"}),
        ("a=True", {"a": True}),
        ("new.sub.key=3", {"new": {"sub": {"key": 3}}}),
    ],
)
def test_an_override_is_yaml(option, expected):
    assert tree.plain(tree.assign(tree.Node({}, "x.yml:1"), option)) == expected


def test_an_override_reaches_into_lists_and_leaves_its_argument_alone():
    root = tree.parse("loss: {types: [{type: A, gamma: 2}, {type: B}]}", "x.yml")
    changed = tree.assign(root, "loss.types.1.gamma=3")
    assert tree.plain(changed)["loss"]["types"] == [{"type": "A", "gamma": 2}, {"type": "B", "gamma": 3}]
    assert "gamma" not in tree.plain(root)["loss"]["types"][1]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("l.2=1", "--opts l.2: '2' is no index of a list of 2; expected 0 to 1"),
        ("l.x=1", "'x' is no index"),
        ("s.x=1", "--opts s.x: 'x' lies below the value 3"),
        ("novalue", "--opts: 'novalue'; expected key=value"),
        ("=3", "expected key=value"),
        ("a..b=3", "expected key=value"),
        ("a=[1", "--opts a: not valid YAML"),
    ],
)
def test_a_bad_override_is_told(option, message):
    root = tree.parse("l: [1, 2]\ns: 3", "x.yml")
    with pytest.raises(RssegError, match=None) as caught:
        tree.assign(root, option)
    assert message in str(caught.value)
