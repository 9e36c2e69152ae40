"""Where the golden files lie, and the check that every alignment test makes."""

from __future__ import annotations

import os
from pathlib import Path

from paddle_rsseg.alignment import align

ROOT = Path(__file__).parents[2]
OWN = ROOT / "tests" / "golden"
SHARED = Path(os.environ.get("RSSEG_GOLDEN", ROOT.parent / "shared" / "golden"))


def golden_files(pattern: str) -> list[Path]:
    """Files such as ``farseg/farseg50*.npz``: all of the shared folder, else the copies in ``tests/golden``."""
    return sorted(SHARED.glob(pattern)) or sorted(OWN.glob(pattern))


def check(path: Path, **options) -> None:
    """Every number inside its tolerance; ``options`` are those of :func:`paddle_rsseg.alignment.align`."""
    deviations = align(path, **options)
    table = "\n".join(map(str, deviations))
    print(table)
    assert all(deviation.ok for deviation in deviations), f"{path.name}:\n{table}"
