"""How other suites map a scene: three ways, one network. Prints one JSON line; runs in PaddleSeg's environment.

``paddleseg``: `paddleseg.core.infer.slide_inference` itself: the image and float64 sums of all logits in memory.
``mmseg``: mmsegmentation 1.x, by its description: each window's logits are padded with zeros to the whole image and
added to float32 sums; a map of counts divides them.
``paddlers``: PaddleRS's block-wise prediction, by its description, with its default of keeping what came last: each
block is read, mapped and written on its own, so nothing is blended and the seams stay.
``paddlers_accum``: its other way: probabilities summed in float16 in a band of rows, divided by counts.

The last three are written here, after descriptions and not from their code, on Paddle's dynamic graph. All read the
pixels from an .npy file (which is cheaper than a GeoTIFF) and take the same windows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import small_network  # noqa: F401  (registers it)
from measure import Timed, report, resident_mb

from paddle_rsseg.models import create_model


def starts(length: int, size: int, stride: int) -> list[int]:
    return [min(k * stride, length - size) for k in range(-(-max(length - size, 0) // stride) + 1)]


def grid(height: int, width: int, size: int, stride: int) -> Iterator[tuple[int, int]]:
    for y in starts(height, size, stride):
        for x in starts(width, size, stride):
            yield y, x


def normalised(pixels: np.ndarray) -> paddle.Tensor:
    """1×3×H×W float32 of H×W×3 uint8: (v / 255 - 0.5) / 0.5, as all sides do it."""
    return paddle.to_tensor(((pixels.astype("float32") / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None])


def paddleseg(model, image: np.ndarray, size: int, stride: int) -> np.ndarray:
    from paddleseg.core import infer

    logits = infer.slide_inference(model, normalised(image), (size, size), (stride, stride))
    return paddle.argmax(logits, axis=1, keepdim=True, dtype="int32").numpy()[0, 0].astype("uint8")


def mmseg(model, image: np.ndarray, size: int, stride: int) -> np.ndarray:
    pixels = normalised(image)
    height, width = image.shape[:2]
    sums, counts = None, paddle.zeros([1, 1, height, width])
    for y, x in grid(height, width, size, stride):
        logits = model(pixels[:, :, y : y + size, x : x + size])[0]
        padded = F.pad(logits, [x, width - x - size, y, height - y - size])
        sums = padded if sums is None else sums.add_(padded)
        counts[:, :, y : y + size, x : x + size] += 1
    return paddle.argmax(sums / counts, axis=1, dtype="int32").numpy()[0].astype("uint8")


def paddlers(model, image: np.ndarray, size: int, stride: int) -> np.ndarray:
    height, width = image.shape[:2]
    labels = np.zeros((height, width), np.uint8)  # stands for the file into which blocks are written
    for y, x in grid(height, width, size, stride):
        logits = model(normalised(image[y : y + size, x : x + size]))[0]
        labels[y : y + size, x : x + size] = paddle.argmax(logits, axis=1, dtype="int32").numpy()[0]
    return labels


def paddlers_accum(model, image: np.ndarray, size: int, stride: int) -> np.ndarray:
    height, width = image.shape[:2]
    labels = np.zeros((height, width), np.uint8)
    rows = starts(height, size, stride)
    sums = counts = None
    for i, y in enumerate(rows):
        for x in starts(width, size, stride):
            logits = model(normalised(image[y : y + size, x : x + size]))[0]
            shares = F.softmax(logits, axis=1).numpy()[0].transpose(1, 2, 0)
            if sums is None:
                sums = np.zeros((size, width, shares.shape[2]), np.float16)
                counts = np.zeros((size, width, 1), np.float16)
            sums[:, x : x + size] += shares.astype(np.float16)
            counts[:, x : x + size] += 1
        done = (rows[i + 1] if i + 1 < len(rows) else height) - y
        labels[y : y + done] = (sums[:done] / counts[:done]).argmax(axis=2)
        for band in (sums, counts):
            band[: size - done] = band[done:].copy()
            band[size - done :] = 0
    return labels


WAYS = {way.__name__: way for way in (paddleseg, mmseg, paddlers, paddlers_accum)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=list(WAYS))
    parser.add_argument("work", help="folder with model.json, weights.npz, scene.npy and where labels go")
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--stride", type=int, required=True)
    args = parser.parse_args()
    Path("/proc/self/oom_score_adj").write_text("1000")  # where memory runs out, let it be this process that ends
    paddle.set_device("cpu")
    with open(f"{args.work}/model.json") as file:
        model = create_model(json.load(file))
    weights = np.load(f"{args.work}/weights.npz")
    model.set_state_dict({name: weights[name] for name in weights.files})
    model.eval()
    with paddle.no_grad():
        model(paddle.zeros([1, 3, args.window, args.window]))  # warm up
        loaded, timed = resident_mb(), Timed(model)
        labels = WAYS[args.way](timed, np.load(f"{args.work}/scene.npy"), args.window, args.stride)
        np.save(f"{args.work}/labels_{args.way}.npy", labels)
    report(timed, loaded)


if __name__ == "__main__":
    main()
