"""TIPC's inference step: an exported model on the validation images through Paddle Inference, timed.

The images go through the network one piece each, so that the three times are those of ``batch_size`` images.
Scenes of any size are the business of ``deploy/python/infer.py``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a bare clone has the package beside this folder

import numpy as np

from paddle_rsseg import runtime
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.spec import InferenceSpec

WARM_UP = 5  # images that are computed but not timed


def flag(text: str) -> bool:
    """TIPC's ``True`` and ``False``."""
    if text not in ("True", "False"):
        raise argparse.ArgumentTypeError(f"{text!r}; expected True or False")
    return text == "True"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--model_dir", required=True, help="exported model")
    parser.add_argument("--config", required=True, help="YAML whose val_dataset holds the images")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--enable_mkldnn", type=flag, default=True, help="oneDNN's convolutions on the CPU")
    parser.add_argument("--cpu_threads", type=int, help="default: every core this process may use")
    parser.add_argument("--batch_size", type=int, default=1, help="images computed together")
    parser.add_argument("--use_trt", type=flag, default=False, help="TensorRT; not supported")
    parser.add_argument("--precision", default="fp32", help="only fp32")
    parser.add_argument("--benchmark", type=flag, default=False, help="print times and memory")
    parser.add_argument("--model_name", default="", help="name in the report")
    parser.add_argument("--save_log_path", help="file for the report; it is printed either way")
    args = parser.parse_args()
    runtime.restart_for_cpu(args.device)
    runtime.quiet_paddle()
    try:
        infer(args)
    except RssegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def infer(args: argparse.Namespace) -> None:
    """Predict every validation image, print how often each class was found, and the report."""
    from autolog import AutoLog

    from paddle_rsseg import load_config
    from paddle_rsseg.config import build_dataset
    from paddle_rsseg.inference.backends import PaddleInferenceBackend
    from paddle_rsseg.inference.load import read_deploy
    from paddle_rsseg.inference.stitch import argmax

    if args.use_trt:
        raise RssegError("--use_trt", "True", "False", "TensorRT is not supported")
    if args.precision != "fp32":
        raise RssegError("--precision", args.precision, "fp32", "the exported graph computes in single precision")
    if args.batch_size < 1 or (args.cpu_threads or 1) < 1:
        raise RssegError("--batch_size, --cpu_threads", f"{args.batch_size}, {args.cpu_threads}", "1 or more")
    threads = args.cpu_threads or runtime.available_cores()
    spec = read_deploy(args.model_dir)
    backend = PaddleInferenceBackend(args.model_dir, threads, args.device, onednn=args.enable_mkldnn)
    dataset = build_dataset(load_config(args.config), "val")
    images = [image for image, _ in (dataset.paths(i) for i in range(len(dataset)))]

    for path in images[:WARM_UP]:
        backend(load([path], spec)[0])
    log, counts = AutoLog(), np.zeros(spec.num_classes, np.int64)
    for start in range(0, len(images), args.batch_size):
        log.start()
        batch, sizes = load(images[start : start + args.batch_size], spec)
        log.stamp()
        logits = backend(batch)
        log.stamp()
        labels = [argmax(scores[:, :height, :width]) for scores, (height, width) in zip(logits, sizes, strict=True)]
        log.stamp()
        counts += sum(np.bincount(label.ravel(), minlength=spec.num_classes) for label in labels)
    shares = ", ".join(
        f"{name} {share:.1%}" for name, share in zip(dataset.classes, counts / counts.sum(), strict=True)
    )
    print(f"{len(images)} images: {shares}")
    if args.benchmark:
        report(args, log, threads, batch.shape, len(images))


def load(paths: Sequence[str], spec: InferenceSpec) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """N×C×H×W float32 network input of images, padded to one size, and the (height, width) of each.

    Raises:
        RssegError: an image larger than the fixed size of the graph, or with other bands than the model's.
    """
    from paddle_rsseg.data.raster import open_raster

    inputs = []
    for path in paths:
        with open_raster(path) as raster:
            pixels, valid = raster.read_valid(None, spec.bands, spec.nodata)
        if pixels.shape[2] != spec.in_channels:
            raise RssegError(path, f"{pixels.shape[2]} bands", f"{spec.in_channels}, as the model was trained with")
        inputs.append(spec.normalize(pixels, valid))
    sizes = [image.shape[:2] for image in inputs]
    largest = max(height for height, _ in sizes), max(width for _, width in sizes)
    if spec.pad == "window":
        if largest[0] > spec.window[0] or largest[1] > spec.window[1]:
            raise RssegError(
                paths[0], f"{largest[0]}×{largest[1]} pixels",
                f"at most {spec.window[0]}×{spec.window[1]}, the graph's size",
                "deploy/python/infer.py takes any size",
            )  # fmt: skip
        largest = spec.window
    else:
        largest = tuple(-(-side // spec.pad_to) * spec.pad_to for side in largest)
    batch = np.zeros((len(inputs), spec.in_channels, *largest), np.float32)
    for out, image in zip(batch, inputs, strict=True):
        out[:, : image.shape[0], : image.shape[1]] = image.transpose(2, 0, 1)
    return batch, sizes


def report(args: argparse.Namespace, log, threads: int, shape: Sequence[int], images: int) -> None:
    """The report, on the terminal and in ``--save_log_path``."""
    conf = {
        "runtime_device": args.device,
        "ir_optim": True,
        "enable_memory_optim": False,
        "enable_tensorrt": False,
        "enable_mkldnn": args.enable_mkldnn and args.device == "cpu",
        "cpu_math_library_num_threads": threads,
    }
    model = {"model_name": args.model_name, "precision": args.precision}
    data = {"batch_size": args.batch_size, "input_shape": "x".join(map(str, shape[1:])), "data_num": images}
    log.report(conf, model, data)
    if args.save_log_path:
        with open(args.save_log_path, "w", encoding="utf-8") as file:
            log.report(conf, model, data, file)


if __name__ == "__main__":
    sys.exit(main())
