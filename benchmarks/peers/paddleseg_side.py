"""One measurement with PaddleSeg 2.8 as it is; runs in its own environment. Prints one JSON line.

``slide``: `paddleseg.core.infer.slide_inference` over one image, network and weights ours.
``train``: the bare step of step.py under this environment; not `paddleseg.core.train`, which fails on Paddle 3.3.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import paddle
from measure import peak_mb
from step import timed_steps

from paddle_rsseg.models import create_model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["slide", "train"])
    parser.add_argument("work", help="folder with weights.npz, image.npy and where labels go")
    parser.add_argument("--arch", default="farseg_r50")
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--stride", type=int, default=384)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    args = parser.parse_args()
    paddle.set_device("cpu")
    model = create_model(args.arch, num_classes=16)
    weights = np.load(f"{args.work}/weights.npz")
    model.set_state_dict({name: weights[name] for name in weights.files})
    image = np.load(f"{args.work}/image.npy")  # H×W×3 float32, normalised

    if args.task == "slide":
        from paddleseg.core import infer

        model.eval()
        tensor = paddle.to_tensor(image.transpose(2, 0, 1)[None])
        with paddle.no_grad():
            model(tensor[:, :, : args.crop, : args.crop])  # warm up
            started = time.perf_counter()
            logits = infer.slide_inference(model, tensor, (args.crop, args.crop), (args.stride, args.stride))
            labels = logits.argmax(axis=1).numpy()[0].astype("uint8")
            seconds = time.perf_counter() - started
        np.save(f"{args.work}/labels_paddleseg.npy", labels)
    else:
        seconds = timed_steps(model, args.work, args.crop, args.batch, args.steps)
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
