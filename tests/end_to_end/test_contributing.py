"""CONTRIBUTING.md followed literally, in a copy of the package: its model must pass the contract that it promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def code_blocks() -> dict[str, str]:
    """{path in the first line's comment: text} of the page's Python blocks."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE))


def test_the_example_model_passes_the_contract(tmp_path):
    shutil.copytree(ROOT / "paddle_rsseg", tmp_path / "paddle_rsseg", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests" / "models").mkdir(parents=True)
    for name in ("contract.py", "converter.py"):
        shutil.copy(ROOT / "tests" / "models" / name, tmp_path / "tests" / "models")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    blocks = code_blocks()
    assert set(blocks) == {"paddle_rsseg/models/tiny.py", "tests/models/test_models_tiny.py"}
    for name, text in blocks.items():
        assert not (ROOT / name).exists(), "the example must not stand in the way of a real one"
        (tmp_path / name).write_text(text, encoding="utf-8")
    listing = tmp_path / "paddle_rsseg" / "models" / "__init__.py"
    text = listing.read_text(encoding="utf-8")
    start = "from paddle_rsseg.models import (\n"
    assert start in text
    listing.write_text(text.replace(start, f"{start}    tiny,\n"), encoding="utf-8")

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/models/test_models_tiny.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 12
