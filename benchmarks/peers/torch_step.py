"""One training step of FarSeg in PyTorch, as step.py does it in Paddle. Prints one JSON line.

It is no peer: it says what two threads of the processor can do with the same convolutions.
"""

from __future__ import annotations

import argparse
import json
import os
import time

import numpy as np
import torch
from measure import peak_mb
from torch_farseg import FarSeg, annealed_focal

CLASSES = 16


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["train"])
    parser.add_argument("work", help="folder with image.npy (H×W×3 float32) and label.npy")
    parser.add_argument("--arch", default="farseg_r50")
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    model = FarSeg(int(args.arch.removeprefix("farseg_r")), CLASSES).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.007, momentum=0.9, weight_decay=1e-4)
    image = np.load(f"{args.work}/image.npy")[: args.crop, : args.crop]
    x = torch.from_numpy(image.transpose(2, 0, 1)[None].repeat(args.batch, 0))
    y = torch.from_numpy(np.load(f"{args.work}/label.npy").astype("int64")[None].repeat(args.batch, 0))
    times = []
    for step in range(1, args.steps + 2):
        started = time.perf_counter()
        loss = annealed_focal(model(x), y, step, 10000)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 35.0)
        optimizer.step()
        loss.item()
        times.append(time.perf_counter() - started)
    print(json.dumps({"seconds": float(np.median(times[1:])), "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
