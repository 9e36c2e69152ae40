"""Does our training reach what a plain PyTorch loop reaches? python benchmarks/dubai_quality.py --torch PYTHON

FarSeg-R18 on the Dubai images, tiles 1-4 for training, 5-6 held out, three seeds. For each seed both sides start from
the same weights and follow the same schedule; both results are scored by our `val` (the PyTorch one after conversion,
which so is part of the check). The PyTorch loop runs twice: on the very batches that ours saw, which compares the
training, and on crops of its own, which shows what the luck of the crops is worth. Writes dubai_quality.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from measure import ROOT, clean_environment, cpu

CONFIG = "configs/farseg/farseg_r18_dubai.yml"
SIDES = ("ours", "torch", "torch_own_crops")


def call(*words: object) -> float:
    """Run a command of the project or a peer; seconds it took."""
    started = time.time()
    done = subprocess.run([str(w) for w in words], cwd=ROOT, env=clean_environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(map(str, words))} failed:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    return time.time() - started


def initial_weights(seed: int, npz: Path, native: Path) -> None:
    """The same starting point for both sides: our initialisation of a seed, in torch's names and in our format."""
    code = f"""
import numpy as np, paddle, paddle_rsseg as rs
from paddle_rsseg.weights.native import save_weights
paddle.seed({seed})
settings = rs.load_config({CONFIG!r})
state = {{k: v.numpy() for k, v in rs.create_model(settings).state_dict().items()}}
save_weights({str(native)!r}, state, {{}})
rename = lambda k: k.replace("._mean", ".running_mean").replace("._variance", ".running_var")
np.savez({str(npz)!r}, **{{rename(k): v for k, v in state.items()}})
"""
    call(sys.executable, "-c", code)


def write_batches(seed: int, iters: int, batch: int, roots: list[str], folder: Path) -> None:
    """The batches that our training sees with this seed, as images.npy and labels.npy."""
    code = f"""
import numpy as np, paddle_rsseg as rs
from paddle_rsseg.config import build_dataset
from paddle_rsseg.data.loader import TrainSampler, make_train_loader
dataset = build_dataset(rs.load_config({CONFIG!r}, {["seed=" + str(seed), *roots]!r}), "train")
loader = make_train_loader(dataset, TrainSampler(len(dataset), {batch}, {seed}))
images, labels = zip(*[(b["image"].numpy(), b["label"].numpy()) for b, _ in zip(loader, range({iters}))])
np.save({str(folder / "images.npy")!r}, np.stack(images))
np.save({str(folder / "labels.npy")!r}, np.stack(labels))
"""
    call(sys.executable, "-c", code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", default=sys.executable, help="python of an environment with torch, numpy and opencv")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/dubai")
    parser.add_argument("--iters", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=ROOT / "output" / "dubai_quality")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "dubai_quality.json")
    args = parser.parse_args()
    import paddle_rsseg as rs

    settings = rs.load_config(ROOT / CONFIG)
    crop = next(
        t["crop_size"][0] for t in settings.train_dataset.args["transforms"] if t["type"] == "RandomPaddingCrop"
    )
    recipe = {
        "iters": args.iters,
        "batch": settings.batch_size,
        "crop": crop,
        "lr": settings.lr_scheduler.learning_rate,
    }
    roots = [f"{part}.dataset_root={args.data}" for part in ("train_dataset", "val_dataset")]
    rows = []
    for seed in args.seeds:
        work = args.work / f"seed_{seed}"
        work.mkdir(parents=True, exist_ok=True)
        if (work / "row.json").exists():  # an interrupted benchmark goes on with the next seed
            rows.append(json.loads((work / "row.json").read_text()))
            continue
        initial_weights(seed, work / "init.npz", work / "init.safetensors")
        # the plain loop has no warm-up, so neither side has
        schedule = [f"loss.types.0.T_max={args.iters // 2}", "lr_scheduler.warmup_iters=0"]
        seconds = {}
        seconds["ours"] = call(
            sys.executable,
            "tools/train.py",
            "--config",
            CONFIG,
            "--iters",
            args.iters,
            "--seed",
            seed,
            "--save_interval",
            args.iters,
            "--save_dir",
            work / "ours",
            "--no_progress",
            "--opts",
            *roots,
            *schedule,
            f"model.pretrained={work / 'init.safetensors'}",
        )
        write_batches(seed, args.iters, recipe["batch"], roots, work)
        for name, more in (("torch", ["--batches", work]), ("torch_own_crops", [])):
            seconds[name] = call(
                args.torch,
                "benchmarks/peers/torch_dubai.py",
                "--data",
                args.data,
                "--init",
                work / "init.npz",
                "--out",
                work / f"{name}.pth",
                "--horizon",
                args.iters // 2,
                "--seed",
                seed,
                "--threads",
                os.cpu_count(),
                *(w for k, v in recipe.items() for w in (f"--{k}", v)),
                *more,
            )
        for name in ("images", "labels"):
            (work / f"{name}.npy").unlink()
        scores = {}
        weights_of = {name: work / f"{name}.pth" for name in SIDES[1:]} | {"ours": work / "ours" / f"iter_{args.iters}"}
        for name, weights in weights_of.items():
            call(
                sys.executable,
                "tools/val.py",
                "--config",
                CONFIG,
                "--model_path",
                weights,
                "--is_slide",
                "--save_dir",
                work / f"score_{name}",
                "--opts",
                *roots,
            )
            scores[name] = json.loads((work / f"score_{name}" / "metrics.json").read_text())["mIoU"]
        rows.append({"seed": seed, "mIoU": scores, "train_seconds": seconds})
        (work / "row.json").write_text(json.dumps(rows[-1]))
        print(f"seed {seed}: " + ", ".join(f"{k} {scores[k]:.4f} ({seconds[k]:.0f} s)" for k in SIDES), flush=True)
    print(f"\n{cpu()}; {recipe}")
    for name in SIDES:
        values = [row["mIoU"][name] for row in rows]
        print(f"{name:<6} mIoU mean {np.mean(values):.4f}, min {min(values):.4f}, max {max(values):.4f}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"cpu": cpu(), "recipe": recipe, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
