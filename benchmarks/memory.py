"""Peak memory of predicting and scoring images of growing height: python benchmarks/memory.py

Each image is a tiled GeoTIFF on disk; each measurement is a process of its own that loads the model, predicts the
image and writes the map (or scores it against a label raster) and reports its peak resident memory. Flat is the claim.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from measure import ROOT, cpu, our_switches, peak_mb, run


def write_scene(path: Path, height: int, width: int, bands: int) -> None:
    """A tiled raster of noise, written in strips so that this process stays small as well."""
    import rasterio

    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "height": height, "width": width, "count": bands, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, tiled=True, compress="deflate") as out:
        for y in range(0, height, 256):
            rows = min(256, height - y)
            top = 255 if bands == 3 else 5
            out.write(rng.integers(0, top, (bands, rows, width), np.uint8), window=((y, y + rows), (0, width)))


def worker(task: str, folder: Path) -> None:
    import paddle

    from paddle_rsseg.data.raster import open_raster
    from paddle_rsseg.evaluation.confusion import confusion_matrix
    from paddle_rsseg.geo.writer import write_label_raster
    from paddle_rsseg.inference.backends import make_backend
    from paddle_rsseg.inference.engine import WindowPredictor
    from paddle_rsseg.inference.spec import InferenceSpec
    from paddle_rsseg.models import create_model
    from paddle_rsseg.windows import Window

    paddle.set_device("cpu")
    spec = InferenceSpec(num_classes=5, window=(256, 256), stride=(192, 192))
    engine = WindowPredictor(make_backend(create_model("farseg_r18", num_classes=5), spec), spec)
    engine.predict(np.zeros((300, 300, 3), np.uint8))
    loaded = peak_mb()
    scene = open_raster(folder / "scene.tif")
    if task == "predict":
        write_label_raster(folder / "map", engine.bands(scene), scene, spec)
    else:
        label = open_raster(folder / "label.tif")
        total = np.zeros((5, 5), np.int64)
        for band in engine.bands(scene):
            truth = label.read(Window(band.y0, band.y1, 0, scene.width))[..., 0]
            total += confusion_matrix(band.labels, truth, 5, 255)
        assert total.sum() == scene.height * scene.width
    peak = peak_mb()
    print(json.dumps({"loaded_mb": loaded, "peak_mb": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--heights", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "memory.json")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker[0], Path(args.worker[1]))
        return
    switches = our_switches()
    rows = []
    for task in ("predict", "score"):
        for height in args.heights:
            with tempfile.TemporaryDirectory() as folder:
                write_scene(Path(folder, "scene.tif"), height, args.width, 3)
                write_scene(Path(folder, "label.tif"), height, args.width, 1)
                row = run(sys.executable, "memory.py", "--worker", task, folder, switches=switches)
            rows.append({"task": task, "height": height, "width": args.width, **row})
            print(
                f"{task:<8} {height:>6} × {args.width}: "
                f"model loaded {row['loaded_mb']:.0f} MB, peak {row['peak_mb']:.0f} MB",
                flush=True,
            )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"cpu": cpu(), "rows": rows}, indent=1))
    print(f"written: {os.path.relpath(args.out)}")


if __name__ == "__main__":
    main()
