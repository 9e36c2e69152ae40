"""docs/models.md lists what is registered and what ships, and says what was measured, not something else."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from pathlib import Path

import pytest
import yaml

from paddle_rsseg.models import create_model
from paddle_rsseg.models.cost import learnable
from paddle_rsseg.registry import BACKBONES, MODELS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")

_spec = importlib.util.spec_from_file_location("models_page", ROOT / "tools" / "models_page.py")
models_page = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(models_page)
DATA = json.loads(models_page.DATA.read_text(encoding="utf-8"))


def first_column(heading: str) -> list[str]:
    section = re.search(rf"^## {heading}$(.*?)(^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]
    return [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")][2:]


def test_it_lists_every_network_and_recipe_and_no_other():
    listed = first_column("Networks")
    assert listed == list(models_page.networks())
    assert {re.split(r",| \(", name)[0] for name in listed} == set(MODELS.names())
    recipes = [path.stem for path in (ROOT / "configs").glob("[!_]*/*.yml") if path.parent.name != "ensembles"]
    assert all(recipe in PAGE for recipe in recipes)


def test_it_lists_every_encoder_and_no_other():
    assert first_column("Encoders") == BACKBONES.names()


def test_it_is_what_the_tool_writes_of_the_measurements():
    assert models_page.page(DATA) == PAGE, "python tools/models_page.py"


@pytest.mark.parametrize("name", ["FarSeg, ResNet18"])
def test_a_size_is_counted_right(name):
    assert models_page.measure_network(models_page.networks()[name]["spec"]) == {
        key: DATA["networks"][name][key] for key in ("parameters", "multiply_adds")
    }
    assert models_page.measure_encoder("MobileNetV2") == DATA["encoders"]["MobileNetV2"]


def test_every_original_lies_within_its_tolerance():
    assert models_page.alignment()
    assert [one["original"] for one in models_page.alignment() if not one["ok"]] == []


PUBLISHED = yaml.safe_load(models_page.COUNTS.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["network"])
def test_published_parameter_counts(row):
    model = create_model(row["spec"])
    assert round(sum(math.prod(p.shape) for p in learnable(model).values()) / 1e6, 2) == row["here"]


def test_where_counts_differ_the_page_says_why():
    assert all("why" in row for row in PUBLISHED if row["here"] != row["published"])
