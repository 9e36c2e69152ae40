"""The whole road in about ten minutes on two CPU cores: data, check, training, score, export, map.

Every step is one of the project's own commands; it is printed before it runs, so that it can be repeated,
changed and understood. Without ``--data`` the scenes come from the project's generator; ``--data DIR`` takes
the real Dubai images instead (``rsseg data get dubai`` downloads them).
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def step(title: str, *command: str | Path) -> None:
    """Announce a command, run it, and stop the demo if it fails."""
    words = [str(word) for word in command]
    print(f"\n\033[1m▶ {title}\033[0m\n  $ {shlex.join(['python', *words])}", flush=True)
    started = time.time()
    code = subprocess.run([sys.executable, *words], cwd=ROOT).returncode
    if code:
        print(f"error: '{title}' failed with exit code {code}; the demo stops here", file=sys.stderr)
        sys.exit(code)
    print(f"  ({time.time() - started:.0f} s)", flush=True)


def glue_dubai_tile(data: Path, tile: str, out: Path) -> Path:
    """The nine parts of a Dubai tile join without a seam: one larger real image, as a tiled TIFF."""
    import numpy as np
    import rasterio

    parts = []
    for i in range(1, 10):
        with rasterio.open(data / tile / "images" / f"image_part_{i:03d}.jpg") as part:
            parts.append(part.read())
    # parts of a row or column may differ by one pixel
    heights = [min(p.shape[1] for p in parts[row * 3 : row * 3 + 3]) for row in range(3)]
    widths = [min(p.shape[2] for p in parts[column::3]) for column in range(3)]
    rows = [
        np.concatenate([parts[3 * row + c][:, : heights[row], : widths[c]] for c in range(3)], axis=2)
        for row in range(3)
    ]
    mosaic = np.concatenate(rows, axis=1)
    out.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": mosaic.shape[1], "width": mosaic.shape[2]}
    with rasterio.open(out, "w", **profile, tiled=True, compress="deflate") as target:
        target.write(mosaic)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("output/demo"), help="where everything goes")
    parser.add_argument("--data", type=Path, help="folder of the Dubai images; without it scenes are generated")
    parser.add_argument("--iters", type=int, help="training steps (default: enough to learn, about four minutes)")
    args = parser.parse_args()
    started = time.time()
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)

    if args.data:
        data = args.data.resolve()
        if not (data / "Tile 1").is_dir():
            sys.exit(
                f"error: {data}: no folder 'Tile 1'; expected the Dubai images ('rsseg data get dubai' fetches them)"
            )
        config, iters = "configs/farseg/farseg_r18_dubai.yml", args.iters or 180
        roots = [f"train_dataset.dataset_root={data}", f"val_dataset.dataset_root={data}"]
        scene = glue_dubai_tile(data, "Tile 6", out / "scene" / "dubai_tile_6.tif")
    else:
        data = out / "data"
        config, iters = "configs/farseg/farseg_r18_synth.yml", args.iters or 180
        roots = [f"train_dataset.dataset_root={data}", f"val_dataset.dataset_root={data}"]
        roots += [f"train_dataset.train_path={data}/train.txt", f"val_dataset.val_path={data}/val.txt"]
        scenes = ["--legend", "landcover", "--scenes"]
        if not (data / "val.txt").exists():
            step("Make a data set", "tools/synth.py", data, *scenes, "16", "--size", "768", "768")
        larger = ["1", "--size", "1500", "2100", "--seed", "99", "--georeferenced", "--val_fraction", "0"]
        step("Make a larger, georeferenced scene", "tools/synth.py", out / "scene", *scenes, *larger)
        scene = next(iter(sorted((out / "scene" / "images").glob("*.tif"))))

    opts = ["--opts", *roots]
    run, score, exported, maps = out / "run", out / "score", out / "export", out / "map"
    weights = run / "best_model"
    step("Check the data before training", "tools/doctor.py", config, *opts)
    often = ["--iters", str(iters), "--save_interval", str(iters)]
    train = [*often, "--save_dir", run, "--do_eval", "--resume_model", "auto"]
    step("Train a small FarSeg", "tools/train.py", "--config", config, *train, *opts)
    trained = ["--config", config, "--model_path", weights]
    step("Score held-out images by sliding window", "tools/val.py", *trained, "--is_slide", "--save_dir", score, *opts)
    step("Export it as a static graph", "tools/export.py", *trained, "--save_dir", exported, *opts)
    deploy = ["--config", exported / "deploy.yaml", "--image_path", scene, "--save_dir", maps]
    step("Map the scene with Paddle Inference", "deploy/python/infer.py", *deploy)

    print(f"\n\033[1mDone in {(time.time() - started) / 60:.1f} minutes.\033[0m")
    for label, pattern in (("map", "*label*"), ("overlay", "*overlay*")):
        for path in sorted(maps.rglob(pattern)):
            print(f"  {label:<11} {path}")
    print(f"  {'report':<11} {score / 'report.html'}\n  {'checkpoint':<11} {weights}\n  {'exported':<11} {exported}")


if __name__ == "__main__":
    main()
