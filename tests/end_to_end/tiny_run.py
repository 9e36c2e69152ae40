"""A data set, a network and a configuration so small that a whole training takes seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[2]
SIZE = 48
NORMALIZE = {"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def make_data(root: Path, train: int = 10, val: int = 3) -> None:
    """PNG pairs with PaddleSeg lists: three classes that a network can tell by colour."""
    rng = np.random.default_rng(0)
    for folder in ("img", "ann"):
        (root / folder).mkdir(parents=True)
    for part, count in (("train", train), ("val", val)):
        lines = []
        for i in range(count):
            label = np.kron(rng.integers(0, 3, (4, 4)), np.ones((SIZE // 4, SIZE // 4))).astype(np.uint8)
            image = np.stack([label * 80 + 30] * 3, -1) + rng.integers(0, 25, (SIZE, SIZE, 3))
            label[:3] = 255
            names = [f"img/{part}{i}.png", f"ann/{part}{i}.png"]
            cv2.imwrite(str(root / names[0]), image.astype(np.uint8))
            cv2.imwrite(str(root / names[1]), label)
            lines.append(" ".join(names))
        (root / f"{part}.txt").write_text("\n".join(lines) + "\n")


def write_config(root: Path, **changes) -> Path:
    """A configuration of the data in ``root``; ``changes`` replace top-level keys."""
    data = {"type": "Dataset", "dataset_root": str(root), "num_classes": 3}
    config = {
        "batch_size": 2,
        "iters": 8,
        "train_dataset": {
            **data, "mode": "train", "train_path": str(root / "train.txt"),
            "transforms": [{"type": "RandomHorizontalFlip"}, {"type": "RandomRotate90K", "K": [0, 1, 2, 3]}, NORMALIZE],
        },
        "val_dataset": {**data, "mode": "val", "val_path": str(root / "val.txt"), "transforms": [NORMALIZE]},
        "model": {
            "type": "FarSeg", "backbone": "ResNet18", "num_classes": 3,
            "fpn_out_channels": 16, "fsr_out_channels": 16, "decoder_out_channels": 16,
        },
        "optimizer": {"type": "sgd", "momentum": 0.9, "weight_decay": 1e-4},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01, "end_lr": 0, "power": 0.9},
        "loss": {"types": [{"type": "AnnealingSoftmaxFocalLoss", "T_max": 6, "gamma": 2.0}], "coef": [1]},
        **changes,
    }  # fmt: skip
    path = root / "config.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def train_command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "tools" / "train.py"), *map(str, arguments), "--device", "cpu"]


def environment(threads: int = 1) -> dict[str, str]:
    """The same thread count for all runs: sums in another order have other last bits."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "RSSEG_NO_REEXEC": "1"}


def run(command: list[str], timeout: float = 240) -> subprocess.CompletedProcess:
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=timeout)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def journal(save_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (save_dir / "metrics.jsonl").read_text().splitlines()]
