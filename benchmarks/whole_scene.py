"""Peak memory of mapping scenes of up to 20,000 × 20,000 pixels: python benchmarks/whole_scene.py --final

Real pixels, enlarged (scenes.py), in a tiled GeoTIFF; 16 classes, windows of 896 every 512, the defaults of `rsseg
predict`. Each measurement is a process of its own that loads the model and maps the file to a file, as a user does. The
claims: less than 2.5 GB above the loaded model, linear in the width, constant in the height. A network of three
convolutions keeps it to minutes; FarSeg on scenes as wide, but low, shows what a real one adds, and another row what
all products in 8 bits add. Without --final the scenes are small, to try the command.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measure import ROOT, Timed, conditions, our_switches, report, resident_mb, run
from scenes import write_scene

CLASSES = 16
NETWORKS: dict[str, dict[str, Any]] = {
    "small": {"type": "SmallNetwork"},
    "farseg_r18": {"type": "FarSeg", "backbone": "ResNet18"},
    "farseg_r50": {"type": "FarSeg", "backbone": "ResNet50"},
}
#: (claim, network, height, width)
TRIAL = [
    ("height", "small", 1000, 2000), ("height", "small", 2000, 2000), ("height", "small", 3000, 2000),
    ("width", "small", 1408, 1000), ("width", "small", 1408, 2000), ("width", "small", 1408, 3000),
    ("products", "small", 1408, 3000),
]  # fmt: skip
FINAL = [
    ("whole", "small", 20000, 20000),
    ("height", "small", 5000, 5000), ("height", "small", 10000, 5000), ("height", "small", 20000, 5000),
    ("width", "small", 2944, 5000), ("width", "small", 2944, 10000), ("width", "small", 2944, 20000),
    ("products", "small", 2944, 20000), ("network", "farseg_r18", 1408, 20000),
    ("network", "farseg_r50", 1408, 20000),
]  # fmt: skip


def worker(claim: str, network: str, work: Path) -> None:
    """Map scene.tif; prints memory and seconds as JSON."""
    import paddle
    import small_network  # noqa: F401  (registers it)

    from paddle_rsseg.inference.predictor import Predictor
    from paddle_rsseg.inference.products import NAMES, NONE, Products
    from paddle_rsseg.inference.scene import Outputs
    from paddle_rsseg.inference.spec import InferenceSpec
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import save_weights

    paddle.set_device("cpu")
    paddle.seed(0)
    model = {**NETWORKS[network], "num_classes": CLASSES, "in_channels": 3}
    weights = work / "model.safetensors"
    description = {"model": model, "inference": InferenceSpec(num_classes=CLASSES).to_dict()}
    save_weights(weights, create_model(model).state_dict(), description)
    predictor = Predictor(weights)
    scorer: Any = predictor.engine.score
    loaded = resident_mb()
    scorer.backend = timed = Timed(scorer.backend)
    products = Products(tuple(NAMES), "uint8") if claim == "products" else NONE
    written = predictor.predict_file(
        work / "scene.tif", work / "maps", outputs=Outputs(overlay=False, products=products)
    )
    report(timed, loaded, written_mb=sum(file.stat().st_size for file in written) / 2**20)


def verdicts(rows: list[dict]) -> dict:
    """The claims in numbers: most memory, growth with the height, and how straight the line over the width is."""
    found: dict[str, Any] = {"largest_above_mb": max(row["above_mb"] for row in rows)}
    heights = [row for row in rows if row["claim"] == "height"]
    if heights:
        found["over_heights_mb"] = [row["above_mb"] for row in heights]
    wide = [row for row in rows if row["claim"] == "width"]
    if len(wide) > 1:
        width, above = (np.array([row[key] for row in wide]) for key in ("width", "above_mb"))
        slope, offset = np.polyfit(width, above, 1)
        found["over_widths"] = {
            "mb_per_1000_px": float(slope * 1000),
            "mb_at_width_0": float(offset),
            "largest_distance_from_line_mb": float(np.abs(slope * width + offset - above).max()),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--final", action="store_true", help="the sizes that the README quotes; needs 4 GB and minutes")
    parser.add_argument("--scratch", type=Path, help="directory for the scenes (default: the system's for temporaries)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "whole_scene.json")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(*args.worker[:2], Path(args.worker[2]))
        return
    results: dict[str, Any] = {"switches": our_switches(), "final": args.final, "rows": []}
    for claim, network, height, width in FINAL if args.final else TRIAL:
        before = conditions()
        with tempfile.TemporaryDirectory(dir=args.scratch) as work:
            results["pixels"] = write_scene(Path(work, "scene.tif"), height, width)
            row = run(sys.executable, "whole_scene.py", "--worker", claim, network, work, switches=results["switches"])
        results["rows"].append(
            {"claim": claim, "network": network, "height": height, "width": width, **row, "before": before}
        )
        share = 1 - row["network_seconds"] / row["seconds"]
        print(
            f"{claim:<9}{network:<11}{height:>6} × {width:<6} loaded {row['loaded_mb']:5.0f} MB, "
            f"{row['above_mb']:5.0f} above, {row['seconds']:6.1f} s, {row['windows']} windows, "
            f"{share:.0%} not in the network",
            flush=True,
        )
        results["verdicts"] = verdicts(results["rows"])
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(results, indent=1))  # after every row: an interrupted run is not lost
    print(json.dumps(results["verdicts"], indent=1))
    print(f"written: {os.path.relpath(args.out)}")


if __name__ == "__main__":
    main()
