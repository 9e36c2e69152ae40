"""The AI Studio notebook runs from top to bottom."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "farseg_aistudio.ipynb"


def test_notebook_runs_and_shows_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("RSSEG_HOME", str(NOTEBOOK.parents[1]))
    monkeypatch.setenv("RSSEG_WORK", str(tmp_path))
    monkeypatch.setenv("RSSEG_NOTEBOOK_ITERS", "4")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit the notebook without outputs"
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2
    assert list((tmp_path / "map").glob("*")), "no map was written"
