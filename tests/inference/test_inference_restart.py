"""Killed without warning and started again: the same bytes, and no finished band computed twice."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

from paddle_rsseg.inference.spec import InferenceSpec

WINDOW, STRIDE = 64, 40
HEIGHT, WIDTH = 700, 300
#: a network that takes its time and leaves a dot for every window; no Paddle, so that the process starts fast
RUN = """
    import os, sys, time
    import numpy as np
    from paddle_rsseg.inference import Predictor
    from paddle_rsseg.inference.products import Products
    from paddle_rsseg.inference.scene import Outputs
    from paddle_rsseg.inference.spec import InferenceSpec

    scene, out, dots, pause = sys.argv[1:]
    dots = os.open(dots, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    class Network:
        fingerprint = "a slow one"
        default_batch = 1

        def __call__(self, batch):
            os.write(dots, b".")
            time.sleep(float(pause))
            place = np.linspace(-1, 1, batch.shape[2], dtype=np.float32)[:, None] * batch.mean()
            return np.stack([batch[:, 0], batch[:, 1] + place, batch[:, 2] * place], axis=1)

    spec = InferenceSpec(num_classes=3, window=(WINDOW, WINDOW), stride=(STRIDE, STRIDE))
    outputs = Outputs(products=Products(("probabilities",), "float16"))
    Predictor(Network(), spec).predict_file(scene, out, outputs=outputs)
"""


class Runs:
    """Runs of one job in processes of their own.

    Args:
        folder: for the scene and the results.
    """

    def __init__(self, folder: Path):
        self.scene, self.folder, self.dots = folder / "scene.tif", folder, folder / "dots"
        pixels = np.random.default_rng(0).integers(0, 256, (3, HEIGHT, WIDTH), np.uint8)
        place = {"crs": "EPSG:32640", "transform": rasterio.Affine(2, 0, 9, 0, -2, 9)}
        with rasterio.open(
            self.scene, "w", driver="GTiff", height=HEIGHT, width=WIDTH, count=3, dtype="uint8", **place
        ) as file:
            file.write(pixels)
        self.code = textwrap.dedent(RUN).replace("WINDOW", str(WINDOW)).replace("STRIDE", str(STRIDE))

    def start(self, out: str, pause: float) -> subprocess.Popen:
        self.dots.unlink(missing_ok=True)
        words = [self.scene, self.folder / out, self.dots, pause]
        return subprocess.Popen([sys.executable, "-c", self.code, *map(str, words)])

    def finish(self, out: str, pause: float = 0.0) -> tuple[dict[str, bytes], int]:
        """Run to the end; (the results' bytes by name, windows that were computed)."""
        assert self.start(out, pause).wait(120) == 0
        results = {path.name: path.read_bytes() for path in (self.folder / out).iterdir() if path.is_file()}
        return results, len(self.dots.read_bytes()) if self.dots.exists() else 0

    def finished(self, out: str) -> set[int]:
        """Bands in the journal."""
        return {int(path.stem) for path in (self.folder / out / ".rsseg" / "scene_label").glob("[0-9]*.npz")}


def windows_of(missing: list[int]) -> int:
    """Windows to compute for these bands: of their rows of the grid, and of those that reach in from above."""
    rows, columns = InferenceSpec(num_classes=3, window=(WINDOW, WINDOW), stride=(STRIDE, STRIDE)).spans(HEIGHT, WIDTH)
    needed = {i for index in missing for i, row in enumerate(rows) if i <= index and row.last > rows[index].first}
    return len(needed) * len(columns)


def test_two_kills_change_nothing(tmp_path):
    runs = Runs(tmp_path)
    whole, windows = runs.finish("whole")
    assert sorted(whole) == ["scene_label.tif", "scene_overlay.jpg", "scene_probabilities.tif"]
    count = len(InferenceSpec(num_classes=3, window=(WINDOW,) * 2, stride=(STRIDE,) * 2).spans(HEIGHT, WIDTH)[0])
    assert windows == windows_of(list(range(count)))
    moments = random.Random(1)
    for bands in (3, 9):
        process = runs.start("killed", pause=0.01)
        while len(runs.finished("killed")) < bands:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        process.wait()
        assert not [path for path in (tmp_path / "killed").glob("*.tif") if not path.name.startswith(".")]
    missing = sorted(set(range(count)) - runs.finished("killed"))
    assert 0 < len(missing) < count
    results, windows = runs.finish("killed")
    assert results == whole
    assert windows == windows_of(missing)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(tmp_path):
    runs, moments, kills, rounds = Runs(tmp_path), random.Random(7), 0, 0
    started = time.monotonic()
    whole, _ = runs.finish("whole", pause=0.01)
    seconds = time.monotonic() - started
    while kills < 20:
        out = f"killed_{rounds}"
        process = runs.start(out, pause=0.01)
        try:
            process.wait(moments.uniform(0, 1.1 * seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        else:  # it was faster than the hand that kills: what it wrote counts, and the next round begins anew
            assert runs.finish(out)[0] == whole
            rounds += 1
    assert runs.finish(f"killed_{rounds}")[0] == whole
