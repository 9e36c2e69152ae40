"""One measurement of paddle_rsseg; the counterpart of peers/paddleseg_side.py. Prints one JSON line.

``slide``: the window engine over one image, as `val` and `predict` use it (compiled back end, row bands).
``train``: the bare step of step.py.  ``weights``: make the weights both sides load.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import paddle
from measure import peak_mb
from step import timed_steps

from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.models import create_model

CLASSES = 16


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["weights", "slide", "train"])
    parser.add_argument("work", help="folder with weights.npz, image.npy and where labels go")
    parser.add_argument("--arch", default="farseg_r50")
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--stride", type=int, default=384)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--backend", default="openvino")
    args = parser.parse_args()
    paddle.set_device("cpu")
    paddle.seed(0)
    model = create_model(args.arch, num_classes=CLASSES)
    if args.task == "weights":
        np.savez(f"{args.work}/weights.npz", **{name: value.numpy() for name, value in model.state_dict().items()})
        print("{}")
        return
    weights = np.load(f"{args.work}/weights.npz")
    model.set_state_dict({name: weights[name] for name in weights.files})
    image = np.load(f"{args.work}/image.npy")  # H×W×3 float32, normalised
    spec = InferenceSpec(
        num_classes=CLASSES,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        scale=1.0,
        average="logits",
        pad="window",
        window=(args.crop, args.crop),
        stride=(min(args.stride, args.crop),) * 2,
    )

    if args.task == "slide":
        from paddle_rsseg.inference.backends import make_backend
        from paddle_rsseg.inference.engine import WindowPredictor

        model.eval()
        started = time.perf_counter()
        backend = make_backend(model, spec, args.backend)
        compile_seconds = time.perf_counter() - started
        backend(image[None, : args.crop, : args.crop].transpose(0, 3, 1, 2).copy())  # warm up
        started = time.perf_counter()
        labels = WindowPredictor(backend, spec).predict(image)
        seconds = time.perf_counter() - started
        np.save(f"{args.work}/labels_{args.backend}.npy", labels)
        extra = {"compile_seconds": compile_seconds, "backend": backend.name}
    else:
        seconds, extra = timed_steps(model, args.work, args.crop, args.batch, args.steps), {}
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb(), **extra}))


if __name__ == "__main__":
    main()
