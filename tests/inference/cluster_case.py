"""Scenes and a network that worker processes can open: it notes every window, and can kill its process once."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import rasterio

from paddle_rsseg.inference.predictor import Predictor
from paddle_rsseg.inference.products import Products
from paddle_rsseg.inference.scene import Outputs
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.inference.work import SceneWorker
from paddle_rsseg.runtime import process_cores

SPEC = InferenceSpec(num_classes=3, window=(32, 32), stride=(20, 20), classes=("a", "b", "c"))
OUTPUTS = Outputs(products=Products(("confidence",), "uint8"))


class Network:
    """The bands of the input are the logits.

    Args:
        notes: a directory; a file per process gets a letter for every window.
        deadly: the process dies at the window of this number, if none has died before; a negative number: its machine,
            that is the process of Ray which stands for it.
        hangs: the process stops there in place of dying.
    """

    name, fingerprint, default_batch = "noting", "1", 1

    def __init__(self, notes: Path, deadly: int | None, hangs: bool):
        self.notes, self.deadly, self.hangs, self.seen = notes, deadly, hangs, 0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.seen += 1
        with open(self.notes / str(os.getpid()), "a") as file:
            file.write("." * len(batch))
        if self.deadly is not None and abs(self.deadly) == self.seen and not (self.notes / "dead").exists():
            (self.notes / "dead").write_text(str(os.getpid()))
            end = signal.SIGSTOP if self.hangs else signal.SIGKILL
            os.kill(os.getpid() if self.deadly > 0 else os.getppid(), end)
            time.sleep(100)  # it must not go on without its machine
        return batch * 4


def open_worker(
    save_dir: Path, notes: Path, deadly: int | None = None, hangs: bool = False, device: str = "cpu"
) -> SceneWorker:
    notes.mkdir(parents=True, exist_ok=True)
    with open(notes.parent / "threads", "a") as file:
        file.write(f"{process_cores()} {os.environ.get('OMP_NUM_THREADS')}\n")
    return SceneWorker(Predictor(Network(notes, deadly, hangs), SPEC), save_dir, OUTPUTS)


def windows(notes: Path) -> int:
    """How many all processes have computed."""
    return sum(len(path.read_text()) for path in notes.iterdir())


def make_scenes(directory: Path, sizes=((300, 90), (45, 70), (210, 61))) -> list[tuple[Path, str]]:
    """Georeferenced images of these heights and widths, and one that is broken."""
    directory.mkdir()
    rng = np.random.default_rng(5)
    scenes = []
    for i, (height, width) in enumerate(sizes):
        path = directory / f"scene{i}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=3, dtype="uint8", crs="EPSG:32640",
            transform=rasterio.Affine(2, 0, 9, 0, -2, 9),
        ) as file:  # fmt: skip
            file.write(rng.integers(0, 256, (3, height, width), np.uint8))
        scenes.append((path, f"part/{path.stem}"))
    broken = directory / "broken.tif"
    broken.write_bytes(scenes[0][0].read_bytes()[:150])
    return [scenes[0], (broken, "broken"), *scenes[1:]]


def contents(save_dir: Path) -> dict[str, bytes]:
    """Of all results, by name; what journals hold is none."""
    files = [p for p in save_dir.rglob("*") if p.is_file() and ".rsseg" not in p.parts]
    return {str(p.relative_to(save_dir)): p.read_bytes() for p in files}
