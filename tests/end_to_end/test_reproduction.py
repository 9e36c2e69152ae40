"""The reproduction ledger names every recipe of a published row, and no other."""

import re

from tiny_run import ROOT

SYSTEMS = ("naic", "seghz", "remote", "ecology")
LEDGER = (ROOT / "docs/reproduction.md").read_text(encoding="utf-8")


def test_every_recipe_is_in_the_ledger_once():
    trained = re.findall(r"tools/train\.py --config configs/((?:" + "|".join(SYSTEMS) + r")/[\w.]+\.yml)", LEDGER)
    there = [f"{system}/{path.name}" for system in SYSTEMS for path in (ROOT / "configs" / system).glob("*.yml")]
    assert sorted(trained) == sorted(there)


def test_every_row_says_what_was_measured():
    rows = [line for line in LEDGER.splitlines() if line.startswith("| ") and "tools/train.py" in line]
    assert len(rows) > 50
    for row in rows:
        measured = row.split("|")[-3].strip()
        assert measured == "not run here" or re.search(r"\d", measured), row


def test_every_ensemble_has_one_row():
    named = re.findall(r"--model_path (configs/ensembles/\w+\.yml).*\|$", LEDGER, re.MULTILINE)
    assert sorted(named) == sorted(
        f"configs/ensembles/{path.name}" for path in (ROOT / "configs/ensembles").glob("*.yml")
    )
    rows = [line for line in LEDGER.splitlines() if line.startswith("| ") and "configs/ensembles/" in line]
    assert all(row.split("|")[-3].strip() == "not run here" or re.search(r"\d", row.split("|")[-3]) for row in rows)


def test_every_named_file_exists():
    for name in re.findall(r"configs/[\w./]+\.yml", LEDGER):
        assert (ROOT / name).is_file(), name
