"""Do the back ends draw the same map? python benchmarks/backend_agreement.py

FarSeg-R18, trained for a few hundred steps by the project's own command, on the Dubai mosaics (RGB), and another on a
Sentinel-2 scene of eight bands, whose labels are made from its water and vegetation indices. Each scene is mapped as
`rsseg predict` does it by the dynamic graph, Paddle Inference, ONNX Runtime and OpenVINO. Where two maps differ, the
margin between the two most probable classes tells whether it was a near-tie. It ends with an error if fewer than
99.99 % of a scene's pixels agree. OpenVINO in bfloat16 rounds on purpose: it is compared, but nothing is wanted of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from measure import ROOT, clean_environment, conditions
from scenes import DUBAI, mosaic

from paddle_rsseg.windows import grid

SENTINEL = ROOT.parent / "shared/data/geotiff/sentinel2_beaufort/s2b_l1c_20181013_8band_uint8.tif"
BACKENDS = ("dynamic", "paddle", "onnx", "openvino")
ROUNDED = "openvino-bf16"
PAIRS = [*combinations(BACKENDS, 2), ("dynamic", ROUNDED)]
WANTED = 0.9999
EDGES = [0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1]


def command(*words: object) -> None:
    done = subprocess.run([str(w) for w in words], cwd=ROOT, env=clean_environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(map(str, words))} failed:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")


def train(name: str, config: Path, iters: int, work: Path, *opts: str) -> Path:
    """Weights of a training that is not repeated if it lies there."""
    weights = work / name / f"iter_{iters}"
    if not weights.exists():
        print(f"training {name}, {iters} steps", flush=True)
        words = ("--iters", iters, "--save_interval", iters, "--save_dir", work / name, "--no_progress")
        command(sys.executable, "tools/train.py", "--config", config, *words, *(("--opts", *opts) if opts else ()))
    return weights


def sentinel_config(work: Path) -> Path:
    """Water, dense and sparse vegetation, and the rest, told by NDWI and NDVI; and a configuration to learn them."""
    with rasterio.open(SENTINEL) as file:
        bands = file.read().astype(np.float32)
    green, red, infrared = bands[2], bands[3], bands[7]
    water = (green - infrared) / np.maximum(green + infrared, 1)
    plants = (infrared - red) / np.maximum(infrared + red, 1)
    label = np.select([water > 0, plants > 0.5, plants > 0.2], [0, 1, 2], 3).astype(np.uint8)
    outside = (bands == 255).all(axis=0)
    label[outside] = 255
    lines = []  # in pieces, as a sample is cut from one file that is read whole
    for window in grid(*label.shape, (512, 512), (512, 512)):
        if (label[window.slices] == 255).all():
            continue
        names = [f"{kind}_{window.y0}_{window.x0}.tif" for kind in ("image", "label")]
        for name, values in zip(names, (bands.astype(np.uint8), label[None]), strict=True):
            part = values[(slice(None), *window.slices)]
            size = {"count": len(part), "height": window.height, "width": window.width}
            with rasterio.open(work / name, "w", driver="GTiff", dtype="uint8", **size) as file:
                file.write(part)
        lines.append(" ".join(names))
    (work / "list.txt").write_text("\n".join(lines) + "\n")
    seen = bands[:, ~outside] / 255
    normalize = {"type": "Normalize", "mean": seen.mean(1).tolist(), "std": seen.std(1).tolist()}
    crops = [{"type": "RandomPaddingCrop", "crop_size": [256, 256]}, {"type": "RandomHorizontalFlip", "prob": 0.5}]
    data = {"type": "Dataset", "dataset_root": str(work), "num_classes": 4, "bands": list(range(1, 9)), "nodata": 255}
    settings = {
        "_base_": str(ROOT / "configs/_base_/small_400.yml"),
        "batch_size": 2,
        "train_dataset": {**data, "train_path": str(work / "list.txt"), "transforms": [*crops, normalize]}
        | {"mode": "train"},
        "val_dataset": {**data, "val_path": str(work / "list.txt"), "transforms": [normalize], "mode": "val"},
        "model": {"type": "FarSeg", "backbone": "ResNet18", "num_classes": 4, "in_channels": 8},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]},
        "test_config": {"is_slide": True, "crop_size": [384, 384], "stride": [256, 256]},
    }
    path = work / "sentinel.yml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


def compare(scene: Path, predictors: dict[str, Any]) -> dict:
    """Shares of equal labels, and the margins of the dynamic graph where labels differ."""
    from paddle_rsseg.inference.products import Products

    maps, sure, margin = {}, {}, None
    for kind, predictor in predictors.items():
        bands = list(predictor.engine.bands(scene, Products(("confidence", "margin"))))
        maps[kind] = np.concatenate([band.labels for band in bands])
        sure[kind] = np.concatenate([band.layers["confidence"][0] for band in bands])
        if kind == "dynamic":
            margin = np.concatenate([band.layers["margin"][0] for band in bands])
    data = maps["dynamic"] != predictors["dynamic"].spec.ignore_index
    assert margin is not None
    counts = np.bincount(maps["dynamic"][data], minlength=predictors["dynamic"].spec.num_classes)
    row: dict[str, Any] = {"scene": scene.name, "pixels": int(data.sum()), "pixels_of_each_class": counts.tolist()}
    row["margins_of_all_pixels"] = np.histogram(margin[data], EDGES)[0].tolist()
    for one, other in PAIRS:
        differ = (maps[one] != maps[other]) & data
        assert ((maps[one] != maps[other]) <= data).all(), "a pixel without data got a class"
        row[f"{one} and {other}"] = {
            "agreement": float(1 - differ.sum() / data.sum()),
            "pixels_that_differ": int(differ.sum()),
            "their_margins": np.histogram(margin[differ], EDGES)[0].tolist(),
            "their_largest_margin": float(margin[differ].max()) if differ.any() else 0.0,
            "largest_difference_of_confidence": float(np.abs(sure[one] - sure[other]).max()),
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iters", type=int, default=300)
    parser.add_argument("--tiles", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6], help="of Dubai")
    parser.add_argument("--work", type=Path, default=ROOT / "output" / "backend_agreement", help="keeps the trainings")
    parser.add_argument("--dubai_weights", type=Path, help="of a training done before, in place of one done now")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "backend_agreement.json")
    args = parser.parse_args()
    from paddle_rsseg.inference.predictor import Predictor

    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    config = "configs/farseg/farseg_r18_dubai.yml"
    roots = [f"{part}.dataset_root={DUBAI}" for part in ("train_dataset", "val_dataset")]
    weights = args.dubai_weights or train("dubai", ROOT / config, args.iters, args.work, *roots)
    jobs: list[tuple[Path, list[Path]]] = [(weights, [mosaic(tile, args.work) for tile in args.tiles])]
    jobs.append((train("sentinel", sentinel_config(args.work), args.iters, args.work), [SENTINEL]))
    results: dict[str, Any] = {"iters": args.iters, "margin_bins": EDGES, "before": conditions(), "rows": []}
    for weights, scenes in jobs:
        predictors = {kind: Predictor(weights, backend=kind) for kind in (*BACKENDS, ROUNDED)}
        for scene in scenes:
            results["rows"].append(row := compare(scene, predictors))
            for one, other in PAIRS:
                pair = row[f"{one} and {other}"]
                print(
                    f"{row['scene']:<36}{one + ', ' + other:<24}{pair['agreement']:.5%} of {row['pixels']} pixels, "
                    f"{pair['pixels_that_differ']} differ, largest margin {pair['their_largest_margin']:.1e}",
                    flush=True,
                )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1))
    print(f"written: {os.path.relpath(args.out)}")
    pairs = [f"{one} and {other}" for one, other in PAIRS if ROUNDED not in (one, other)]
    worst = min(row[pair]["agreement"] for row in results["rows"] for pair in pairs)
    if worst < WANTED:
        sys.exit(f"error: only {worst:.5%} of a scene's pixels agree, {WANTED:.2%} are wanted")


if __name__ == "__main__":
    main()
