"""Map images with an exported model: ``python deploy/python/infer.py --config EXPORT/deploy.yaml --image_path IMAGES``.

Needs Paddle Inference (or, with ``--backend onnx``, ONNX Runtime alone, or OpenVINO alone) and the package's inference
half, not the training code: see ``deploy/README.md``.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare clone has the package beside this folder

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference import runtimes
from paddle_rsseg.inference.images import find_images
from paddle_rsseg.windows import WEIGHTS


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0, or 2 after bad input, told in one line for each."""
    args = parse(argv)
    try:
        return run(args)
    except RssegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--config",
        required=True,
        type=Path,
        help="deploy.yaml of the exported model, or its directory; or the YAML of an ensemble of such",
    )
    parser.add_argument(
        "--image_path", required=True, type=Path, help="an image, a directory, or a .txt list of images"
    )
    parser.add_argument("--save_dir", default=Path("output/infer"), type=Path, help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="cpu, gpu or gpu:1 (default: %(default)s)")
    parser.add_argument(
        "--backend", choices=runtimes.STATIC, default="paddle",
        help="onnx: ONNX Runtime, openvino: OpenVINO, for what was exported with --format onnx; they take no Paddle. "
        "openvino-bf16 rounds, and is several times faster on some processors (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--cpu_threads", type=int, help="default: every core this process may use")
    parser.add_argument("--batch_size", type=int, help="windows computed at once (default: 1 on a CPU, 4 on a GPU)")
    parser.add_argument(
        "--window_weights", choices=WEIGHTS, default="cosine",
        help="of the pixels of a window; all but uniform leave no seams (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--views", nargs="+", help="average over these views: identity, lr, tb, lrtb, diag, diag2, …")
    parser.add_argument("--scales", nargs="+", type=float, help="average over these sizes of a window")
    parser.add_argument("--no_overlay", action="store_true", help="write label maps only")
    parser.add_argument("--benchmark", action="store_true", help="print where the time goes")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    images = find_images(args.image_path, args.save_dir)

    # late, so that --help and a mistyped path do not wait for Paddle
    from paddle_rsseg.inference.scene import Outputs

    started = time.perf_counter()
    predictor, networks = open_predictor(args)
    if args.benchmark:
        print(f"model loaded in {time.perf_counter() - started:.2f} s")
        # the first window also prepares the operators; its time belongs to no image
        started = time.perf_counter()
        batch = predictor.engine.batch_size
        for network in networks:
            network(np.zeros((batch, network.spec.in_channels, *network.spec.window), np.float32))
        print(f"warmed up with a batch of {batch} in {time.perf_counter() - started:.2f} s")
    failed = 0
    for path, name in images:
        for network in networks:
            network.seconds, network.windows = 0.0, 0
        started = time.perf_counter()
        try:
            written = predictor.predict_file(path, args.save_dir, name, outputs=Outputs(overlay=not args.no_overlay))
        except RssegError as error:  # the other images are none the worse for it
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        print(f"{path} → {', '.join(map(str, written))}")
        if args.benchmark:
            total = time.perf_counter() - started
            seconds, windows = (sum(getattr(network, name) for network in networks) for name in ("seconds", "windows"))
            print(f"  {total:.3f} s, of which the network {seconds:.3f} s for {windows} windows")
    if failed:
        print(f"{failed} of {len(images)} images failed", file=sys.stderr)
    return 2 if failed else 0


def augmentation(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of test-time augmentation; what it does not say comes with the model."""
    return {key: tuple(getattr(args, key)) for key in ("views", "scales") if getattr(args, key)}


def open_predictor(args: argparse.Namespace) -> tuple[Any, list[Timed]]:
    """The predictor, and stop watches around its networks: one, or those of an ensemble."""
    from paddle_rsseg.inference.ensemble_file import is_ensemble, read_ensemble
    from paddle_rsseg.inference.load import read_deploy
    from paddle_rsseg.inference.predictor import Predictor

    said = {"batch_size": args.batch_size, "blend": args.window_weights, **augmentation(args)}
    if not is_ensemble(args.config):
        spec = read_deploy(args.config)
        verify(args.config, args.backend)
        predictor = Predictor(open_network(args), spec, **said)
        scorers = [predictor.engine.score]
    else:
        for member in read_ensemble(args.config).members:
            file = member.model.suffix == ".onnx"
            export = member.model.parent if file else member.model
            read_deploy(export)
            verify(export, "onnx" if file else member.backend or args.backend)
        predictor = Predictor(
            args.config, backend=args.backend, device=args.device, threads=args.cpu_threads, **said
        )  # fmt: skip
        scorers = [turn.score for turn in predictor.engine.score.turns]
    for scorer in scorers:
        scorer.backend = Timed(scorer.backend, scorer.spec)
    return predictor, [scorer.backend for scorer in scorers]


def open_network(args: argparse.Namespace) -> Any:
    directory = args.config if args.config.is_dir() else args.config.parent
    if args.backend in runtimes.ON_ONNX:
        return runtimes.ON_ONNX[args.backend](directory, args.cpu_threads, args.device)
    from paddle_rsseg import runtime

    runtime.quiet_paddle()
    from paddle_rsseg.inference.backends import PaddleInferenceBackend

    return PaddleInferenceBackend(directory, args.cpu_threads, args.device)


class Timed:
    """A back end that notes how long it computed."""

    def __init__(self, backend: Any, spec: Any):
        self.backend, self.spec = backend, spec
        self.seconds = 0.0
        self.windows = 0

    def __call__(self, batch: Any) -> Any:
        started = time.perf_counter()
        logits = self.backend(batch)
        self.seconds += time.perf_counter() - started
        self.windows += len(batch)
        return logits


def verify(config: Path, backend: str) -> None:
    """The files that the back end reads are those that were checked at export."""
    import yaml

    path = config / "deploy.yaml" if config.is_dir() else config
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    names, sums = content.get("model"), content.get("sha256")
    roles = ("onnx",) if backend in runtimes.ON_ONNX else ("graph", "parameters")
    if backend == "auto" and isinstance(names, dict):
        roles = tuple(names)
    if isinstance(names, dict) and "onnx" in roles and "onnx" not in names:
        raise RssegError(path, "the export has no ONNX file", fix="export it with --format onnx")
    if not isinstance(names, dict) or not isinstance(sums, dict) or not all(names.get(role) in sums for role in roles):
        raise RssegError(path, f"sha256: {sums}", "one sum each for the files of the model", "export it again")
    for name in (names[role] for role in roles):
        file = path.parent / name
        if not file.is_file():
            raise RssegError(file, "no such file", "the files of one export together")
        if hashlib.sha256(file.read_bytes()).hexdigest() != sums[name]:
            raise RssegError(
                file, "is not the file that was exported", "the files of one export together", "copy it again"
            )


if __name__ == "__main__":
    sys.exit(main())
