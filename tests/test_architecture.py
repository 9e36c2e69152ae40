"""docs/architecture.md says which rooms there are and who may import whom; the code keeps to it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "paddle_rsseg"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def tiers() -> list[list[str]]:
    """The line ``a · b`` → ``c`` of the page."""
    line = next(line for line in PAGE.splitlines() if line.startswith("`errors` →"))
    return [part.strip(" `").split(" · ") for part in line.split("→")]


RANK = {room: rank for rank, rooms in enumerate(tiers()) for room in rooms}


def room_of(module: str) -> str:
    """paddle_rsseg.inference.spec → inference/spec, which is a room of its own; …data.raster → data."""
    parts = module.split(".")[1:]
    longest = "/".join(parts[:2])
    return longest if longest in RANK else parts[0]


def imports(source: str) -> Iterator[tuple[int, str]]:
    """(line, module) of every import of the package, those within functions and of type checkers too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            # `from paddle_rsseg.inference import spec` names a module, `… import Predictor` does not
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.startswith("paddle_rsseg."))


def trespasses(module: str, source: str) -> list[str]:
    own = room_of(module)
    found = []
    for line, name in imports(source):
        other = room_of(name)
        if other in ("__version__", own):
            continue
        if RANK[other] >= RANK[own]:
            found.append(f"{module}:{line} imports {name}")
    return found


MODULES = {
    ".".join(("paddle_rsseg", *path.relative_to(PACKAGE).with_suffix("").parts)): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"  # the public names, fetched when they are used
}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    assert not trespasses(module, MODULES[module].read_text(encoding="utf-8"))


def test_the_check_sees_trespasses():
    assert trespasses("paddle_rsseg.data.raster", "def f():\n    from paddle_rsseg.config import load_config")
    assert trespasses("paddle_rsseg.data.raster", "import paddle_rsseg.inference.engine")
    assert trespasses("paddle_rsseg.data.raster", "from paddle_rsseg import training")
    assert not trespasses("paddle_rsseg.data.raster", "from paddle_rsseg.inference.spec import normalize")
    assert not trespasses("paddle_rsseg.data.raster", "from paddle_rsseg.data.view import RasterView")


def test_the_table_names_every_room_and_no_other():
    table = set(re.findall(r"^\| `([a-z_/.]+)` \|", PAGE, flags=re.MULTILINE))
    rooms = {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    rooms |= {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert table - {"data/prepare/"} == rooms
    assert {room.strip("/").removesuffix(".py") for room in rooms} == {room for room in RANK if "/" not in room}


def test_the_files_the_page_names_exist():
    for room, text in re.findall(r"^\| `([a-z_]+)/` \|([^|]*)\|", PAGE, flags=re.MULTILINE):
        for name in re.findall(r"`([a-z][a-z_]*)(?:/|\.py)?`", text):
            there = [PACKAGE / room / name, PACKAGE / room / f"{name}.py"]
            assert any(path.exists() for path in there), f"{room}: {name}"


def test_a_wheel_holds_every_file_that_is_no_code():
    patterns = re.findall(r"^paddle_rsseg = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)[0]
    held = {path for pattern in re.findall(r'"([^"]+)"', patterns) for path in PACKAGE.glob(pattern)}
    others = {p for p in PACKAGE.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc") and p.name[0] != "."}
    assert {"report.css", "dubai.csv", "py.typed"} <= {path.name for path in others}
    assert others == held
