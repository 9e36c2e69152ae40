"""A plain PyTorch training loop on the Dubai images: what a competent user would write in an afternoon.

Same initial weights, crop size, batch, augmentation distribution, loss and schedule as the recipe it is compared with.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch_farseg import FarSeg, annealed_focal

COLOURS = [(60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41)]
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def load(root: Path, tiles: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = []
    for tile in tiles:
        for image in sorted((root / f"Tile {tile}/images").glob("*.jpg")):
            mask = cv2.imread(str(root / f"Tile {tile}/masks" / f"{image.stem}.png"))[..., ::-1]
            label = np.full(mask.shape[:2], 255, np.uint8)
            for k, colour in enumerate(COLOURS):
                label[(mask == colour).all(-1)] = k
            pairs.append((cv2.imread(str(image))[..., ::-1], label))
    return pairs


def crop(pair, size: int, rng: np.random.Generator):
    image, label = pair
    y, x = (int(rng.integers(0, n - size + 1)) for n in label.shape)
    image, label = image[y : y + size, x : x + size], label[y : y + size, x : x + size]
    if rng.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    if rng.random() < 0.5:
        image, label = image[::-1], label[::-1]
    k = int(rng.integers(4))
    image, label = np.rot90(image, k), np.rot90(label, k)
    return ((image / np.float32(255) - MEAN) / STD).transpose(2, 0, 1), label


def own_batches(root: Path, size: int, batch: int, seed: int):
    """Endless (N×3×size×size float32, N×size×size int64)."""
    rng = np.random.default_rng(seed)
    pairs = load(root, [1, 2, 3, 4])
    order: list[int] = []
    while True:
        if len(order) < batch:
            order = list(rng.permutation(len(pairs)))
        images, labels = zip(*(crop(pairs[order.pop()], size, rng) for _ in range(batch)), strict=True)
        yield np.stack(images), np.stack(labels).astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--init", required=True, help=".npz of the initial weights, torch names")
    parser.add_argument("--out", required=True)
    parser.add_argument("--depth", type=int, default=18)
    parser.add_argument("--iters", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--crop", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--power", type=float, default=0.9)
    parser.add_argument("--horizon", type=int, required=True, help="T_max of the annealing")
    parser.add_argument("--clip", type=float, default=35.0)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=Path, help="folder of images.npy and labels.npy to train on, in their order")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    batches = own_batches(args.data, args.crop, args.batch, args.seed)
    if args.batches:
        stored = [np.load(args.batches / f"{name}.npy", mmap_mode="r") for name in ("images", "labels")]
        batches = zip(*stored, strict=True)
    model = FarSeg(args.depth, len(COLOURS))
    init = np.load(args.init)
    state = {name: torch.from_numpy(init[name]) for name in init.files}
    missing, extra = model.load_state_dict(state, strict=False)
    assert not extra, extra
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9, weight_decay=1e-4)
    model.train()
    for step in range(1, args.iters + 1):
        x, y = (torch.from_numpy(np.array(array)) for array in next(batches))
        for group in optimizer.param_groups:
            group["lr"] = args.lr * (1 - (step - 1) / args.iters) ** args.power
        loss = annealed_focal(model(x), y, step, args.horizon)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
        if step % 20 == 0:
            print(f"{step}/{args.iters} loss {loss.item():.4f}", flush=True)
    torch.save({"model": model.state_dict()}, args.out)


if __name__ == "__main__":
    main()
