"""The ``rsseg`` command: verbs, exit codes, one-line errors, and what an import costs."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from paddle_rsseg import __version__
from paddle_rsseg.cli import main as cli
from paddle_rsseg.errors import RssegError

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "tests/config/files/source_patch.yml"
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "RSSEG_NO_REEXEC": "1"}


def python(*words: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, env=ENV, timeout=120, **kwargs
    )


def test_importing_the_package_imports_neither_paddle_nor_opencv():
    code = "import sys, paddle_rsseg, paddle_rsseg.cli.main as m; m.verbs()\n"
    code += "print(sorted({'paddle', 'cv2', 'rasterio', 'numpy', 'yaml'} & set(sys.modules)))"
    assert python("-c", code).stdout.strip() == "[]"


def test_the_help_of_every_verb_imports_nothing_heavy():
    code = (
        "import sys\nfrom paddle_rsseg.cli import main as m\n"
        "for verb in m.verbs():\n"
        "    try: m.main([verb, '--help'])\n"
        "    except SystemExit: pass\n"
        "print('HEAVY', sorted({'paddle', 'cv2', 'rasterio'} & set(sys.modules)))"
    )
    assert "HEAVY []" in python("-c", code).stdout


def test_the_public_names_are_there():
    import paddle_rsseg as rs

    for name in rs.__all__:
        assert callable(getattr(rs, name)) or name == "__version__"
    # `export` is a function and a package: both must go on working
    import paddle_rsseg.export

    assert callable(rs.export)
    with pytest.raises(AttributeError, match="no attribute 'exprt'"):
        rs.exprt  # noqa: B018


def test_version_is_that_of_the_package():
    line = next(x for x in (ROOT / "pyproject.toml").read_text().splitlines() if x.startswith("version"))
    assert f'"{__version__}"' in line
    assert python("-m", "paddle_rsseg.cli.main", "--version").stdout.strip() == f"paddle_rsseg {__version__}"


def test_every_module_of_the_command_line_is_a_verb():
    modules = {path.stem for path in (ROOT / "paddle_rsseg/cli").glob("*.py")} - {"__init__", "main"}
    public = {name for name in modules if not name.startswith("_")}
    helpers = {name for name in public if "def add_arguments" not in (ROOT / f"paddle_rsseg/cli/{name}.py").read_text()}
    assert public - helpers == set(cli.verbs())
    assert all(cli.verbs().values()), "each needs a line of help"


def test_every_verb_has_its_tool_and_every_tool_runs_uninstalled(tmp_path):
    calls = {path: path.read_text() for path in (ROOT / "tools").rglob("*.py")}
    for verb in cli.verbs():
        assert any(f'main(["{verb}"' in text for text in calls.values()), verb
    # -S and an empty PYTHONPATH would lose the dependencies too; a foreign working directory is what a clone has
    env = {key: value for key, value in ENV.items() if key != "PYTHONPATH"}
    tool = ROOT / "tools/info.py"
    done = subprocess.run([sys.executable, tool, "--help"], capture_output=True, text=True, env=env, cwd=tmp_path)
    assert (done.returncode, "usage: rsseg info" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inof"], "unknown verb 'inof'; did you mean 'info'?"),
        (["info", "--evn"], "unknown argument '--evn'; did you mean '--env'?"),
        (["info", "a.yml", "b.yml"], "unknown argument 'b.yml'"),
        (["prepare", "isaid", "x", "--ovrwrite"], "did you mean '--overwrite'?"),
        ([], "the following arguments are required: VERB"),
    ],
)
def test_a_wrong_word_is_told_with_the_right_one(capsys, words, message):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


BAD = {
    "no file": ("nowhere.yml", [], "nowhere.yml: No such file or directory"),
    "a misspelt key": (RECIPE, ["batchsize=3"], "did you mean 'batch_size'?"),
    "a wrong type": (RECIPE, ["iters=six"], "iters: six; expected an integer"),
    "an unknown class": (RECIPE, ["model.type=FarSegg"], "did you mean 'FarSeg'?"),
    "a wrong argument": (RECIPE, ["loss.types.0.gama=3"], "did you mean 'gamma'?"),
    "a bad override": (RECIPE, ["iters"], "expected key=value"),
    "parts that disagree": (RECIPE, ["model.num_classes=3"], "but the data sets have 16 classes"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_line_and_exit_code_2(kind):
    path, opts, message = BAD[kind]
    done = python(ROOT / "tools/info.py", path, *(["--opts", *opts] if opts else []))
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert message in lines[0]


def test_bad_yaml_is_one_line_and_exit_code_2(tmp_path):
    (tmp_path / "bad.yml").write_text("a: [1\nb: 2\n")
    done = python(ROOT / "tools/info.py", tmp_path / "bad.yml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path}/bad.yml:2: not valid YAML")
    assert len(done.stderr.splitlines()) == 1


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} {ROOT}/tools/info.py {RECIPE} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=ENV)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("error", "code", "text"), [
    (RssegError("x.tif", "broken"), 2, "error: x.tif: broken\n"), (KeyboardInterrupt(), 130, "interrupted\n"),
    (OSError(errno.ENOSPC, "No space left on device"), 2, "error: writing: No space left on device\n"),
    (OSError(errno.EROFS, "Read-only file system", "a/b.txt"), 2, "error: a/b.txt: Read-only file system\n"),
])  # fmt: skip
def test_how_a_command_may_end(monkeypatch, capsys, error, code, text):
    from paddle_rsseg.cli import info

    def run(args: object) -> None:
        raise error

    monkeypatch.setattr(info, "run", run)
    assert cli.main(["info"]) == code
    assert capsys.readouterr().err == text


@pytest.mark.parametrize(
    ("mistake", "kind"), [(lambda args: 1 / 0, ZeroDivisionError), (lambda args: os.stat("no/such"), FileNotFoundError)]
)
def test_our_own_mistakes_keep_their_traceback(monkeypatch, mistake, kind):
    from paddle_rsseg.cli import info

    monkeypatch.setattr(info, "run", mistake)
    with pytest.raises(kind):
        cli.main(["info"])


def test_info_prints_yaml_that_loads_again(tmp_path, capsys):
    from paddle_rsseg.config import load_config

    assert cli.main(["info", str(RECIPE), "--opts", "loss.types.0.gamma=3", "model.backbone={type: ResNet18}"]) == 0
    printed = capsys.readouterr().out
    (tmp_path / "printed.yml").write_text(printed)
    expected = load_config(RECIPE, ["loss.types.0.gamma=3", "model.backbone={type: ResNet18}"])
    assert load_config(tmp_path / "printed.yml") == expected
    assert "--opts loss.types.0.gamma" in printed
    assert f"{RECIPE}:2" in printed


def test_info_lists_what_there_is(capsys):
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    for name in ("FarSeg", "ResNet50", "AnnealingSoftmaxFocalLoss", "Dataset", "RandomRotate90K"):
        assert f"\n  {name} " in out


def test_info_on_the_environment(capsys):
    import numpy

    assert cli.main(["info", "--env"]) == 0
    out = capsys.readouterr().out
    assert numpy.__version__ in out
    assert "nothing unsafe found" in out


def test_a_wrong_word_is_one_line(capsys):
    with pytest.raises(SystemExit):
        cli.main(["synth", "--bandz", "3"])
    assert capsys.readouterr().err == (
        "error: unknown argument '--bandz'; did you mean '--bands'?; 'rsseg synth --help' shows the arguments\n"
    )
