"""Two processes share images, and the rows of few large ones: the result is that of one process, exactly."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from test_evaluation_evaluate import SPEC, ArrayDataset, network

from paddle_rsseg.evaluation.evaluate import evaluate
from paddle_rsseg.evaluation.measures import Measures

#: name → (sizes of the images, protocol, what is measured)
CASES = {
    "several": (((50, 70), (32, 48), (20, 90), (32, 48), (97, 31)), "slide", Measures()),
    "one": (((300, 70),), "slide", Measures.full(calibration=500)),
    "patches": (((32, 48), (50, 60), (40, 40)), "patch", Measures()),
    "no grid": (((20, 30),), "slide", Measures()),
}
SCRIPT = """
import pickle, sys
from dataclasses import asdict
from pathlib import Path
sys.path.insert(0, {here!r})
from test_evaluation_sharing import CASES, scored
from paddle_rsseg import ranks
ranks.setup("cpu")
for name in CASES:
    result = scored(name)
    Path({place!r}, f"{{name}} {{ranks.rank()}}").write_bytes(pickle.dumps(result))
"""


def scored(name: str) -> dict:
    """What an evaluation found, in plain numbers, and how many windows this process computed."""
    sizes, protocol, measures = CASES[name]
    windows = 0

    def counting(batch):
        nonlocal windows
        windows += len(batch)
        return network(batch)

    found = evaluate(counting, ArrayDataset(sizes), SPEC, protocol, examples=2, measures=measures)
    return {
        "matrix": found.matrix, "images": [(i.name, i.matrix.tolist()) for i in found.images],
        "boundary": found.boundary, "objects": found.objects,
        "calibration": None if found.calibration is None else asdict(found.calibration),
        "best": [(e.name, e.panels) for e in found.best], "worst": [(e.name, e.panels) for e in found.worst],
        "windows": windows,
    }  # fmt: skip


@pytest.fixture(scope="module")
def ranks_found(tmp_path_factory) -> dict:
    place = tmp_path_factory.mktemp("sharing")
    script = place / "script.py"
    script.write_text(textwrap.dedent(SCRIPT).format(here=str(Path(__file__).parent), place=str(place)))
    command = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(place)}
    done = subprocess.run(
        [*command, "--log_dir", str(place / "log"), str(script)],
        capture_output=True, text=True, timeout=200, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, (place / "log" / "workerlog.0").read_text()
    assert not list(place.glob("rsseg-val-*"))
    return {(name, rank): pickle.loads((place / f"{name} {rank}").read_bytes()) for name in CASES for rank in (0, 1)}


@pytest.mark.parametrize("name", CASES)
def test_both_find_what_one_process_finds(ranks_found, name):
    alone = scored(name)
    both = [ranks_found[name, rank] for rank in (0, 1)]
    shares = [found.pop("windows") for found in both]
    total = alone.pop("windows")
    for found in both:
        np.testing.assert_equal(found, alone)
    if name == "one":  # half of the rows each, and a row of windows above the cut
        assert max(shares) <= total / 2 + 2 * 2
        assert sum(shares) <= total + 2
    if name == "no grid":
        assert sorted(shares) == [0, 1]
