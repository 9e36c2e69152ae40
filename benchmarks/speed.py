"""Speed beside PaddleSeg 2.8, in one run: python benchmarks/speed.py --peer "$(bash benchmarks/peer_environment.sh)"

Both sides get the same FarSeg, the same weights, windows and pixels; every measurement is a process of its own, in turn
(ours, theirs, ours, …), so that a machine that changes its pace changes it for both. With --torch, a step of PyTorch
too, which says what the processor can do. Writes speed.json and a table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from measure import ROOT, cpu, our_switches, run, spread


def real_pixels(height: int, width: int) -> np.ndarray:
    """H×W×3 normalised pixels: the Sentinel-2 scene of the shared data where it is, else a generated scene."""
    scene = ROOT.parent / "shared/data/geotiff/sentinel2_beaufort/s2b_rgb_x2_5258x4402_jpeg_DERIVED.tif"
    if scene.exists():
        import rasterio

        with rasterio.open(scene) as raster:
            image = raster.read(window=((0, 4402), (400, 400 + 5000))).transpose(1, 2, 0)
    else:
        from paddle_rsseg.data.synth import render_scene

        image = render_scene(0, 2048, 2048).image
    image = np.tile(image, (-(-height // image.shape[0]), -(-width // image.shape[1]), 1))[:height, :width]
    return ((image / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).astype("float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", required=True, help="python of the PaddleSeg environment")
    parser.add_argument("--torch", help="python of an environment with torch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--arch", default="farseg_r50")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "speed.json")
    args = parser.parse_args()
    ours, switches = sys.executable, our_switches()
    results: dict = {"cpu": cpu(), "switches": switches, "arch": args.arch, "size": args.size}

    with tempfile.TemporaryDirectory() as work:
        np.save(f"{work}/image.npy", real_pixels(args.size, args.size))
        np.save(
            f"{work}/label.npy", np.random.default_rng(0).integers(0, 16, (256, 256), dtype=np.uint8).astype("uint8")
        )
        run(ours, "ours_side.py", "weights", work, "--arch", args.arch)
        # task → side → (python, script, further words, switches)
        peer, crop = "peers/paddleseg_side.py", ("--crop", 256)
        plan: dict[str, dict[str, tuple]] = {
            "slide": {
                "ours": (ours, "ours_side.py", (), switches),
                "ours, Paddle Inference": (ours, "ours_side.py", ("--backend", "paddle"), switches),
                "ours, bfloat16": (ours, "ours_side.py", ("--backend", "openvino-bf16"), switches),
                "paddleseg as it comes": (args.peer, peer, (), None),
                "paddleseg, equal switches": (args.peer, peer, (), switches),
            },
            "train": {
                "ours": (ours, "ours_side.py", crop, switches),
                "paddleseg as it comes": (args.peer, peer, crop, None),
                "paddleseg, equal switches": (args.peer, peer, crop, switches),
            },
        }
        if args.torch:
            plan["train"]["PyTorch"] = (args.torch, "peers/torch_step.py", crop, switches)
        for task, sides in plan.items():
            rows: dict[str, list[dict]] = {name: [] for name in sides}
            for _ in range(args.rounds):
                for name, (python, script, words, chosen) in sides.items():
                    done = run(python, script, task, work, "--arch", args.arch, *words, switches=chosen)
                    rows[name].append(done)
                    print(f"{task:<6} {name:<28} {done['seconds']:.2f} s", file=sys.stderr, flush=True)
            results[task] = {
                name: {
                    "seconds": [r["seconds"] for r in done],
                    "peak_mb": max(r["peak_mb"] for r in done),
                    "backend": done[0].get("backend"),
                }
                for name, done in rows.items()
            }
        theirs = np.load(f"{work}/labels_paddleseg.npy")
        results["label_agreement"] = {
            backend: float((theirs == np.load(f"{work}/labels_{backend}.npy")).mean())
            for backend in ("openvino", "paddle", "openvino-bf16")
        }

    print(f"\n{results['cpu']}; switches {switches}; {args.arch}, {args.size}² pixels")
    print(f"{'':<34}{'seconds':>24}{'ratio to ours':>16}{'peak MB':>10}")
    for task in ("slide", "train"):
        base = float(np.median(results[task]["ours"]["seconds"]))
        for name, row in results[task].items():
            ratio = float(np.median(row["seconds"])) / base
            print(f"{task:<7}{name:<27}{spread(row['seconds']):>24}{ratio:>15.2f}×{row['peak_mb']:>10.0f}")
    for backend, same in results["label_agreement"].items():
        print(f"same label as PaddleSeg, {backend}: {same:.6%} of the pixels")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1))
    print(f"written: {os.path.relpath(args.out)}")


if __name__ == "__main__":
    main()
