"""Map images: a label map for each, georeferenced where the image is, and an overlay picture."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from paddle_rsseg.cli.windows import add_window_arguments, window_changes

NEEDS_PADDLE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="YAML",
        help="configuration; not needed for an exported model or weights that carry their own description",
    )  # fmt: skip
    parser.add_argument(
        "--model_path", required=True, metavar="PATH",
        help="checkpoint directory, .safetensors, .pdparams, .pth, or the directory of an exported model",
    )  # fmt: skip
    parser.add_argument(
        "--image_path", required=True, metavar="PATH",
        help="an image, a directory of images (searched with its subdirectories), or a .txt list, one path a line",
    )  # fmt: skip
    parser.add_argument(
        "--save_dir", default="output/map", metavar="DIR", help="for the results (default: %(default)s)"
    )
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY=VALUE", help="override values of the YAML")

    parser.add_argument(
        "--bands",
        nargs="+",
        type=int,
        metavar="N",
        help="bands of the images that the model sees, counted from 1, in its order",
    )

    how = parser.add_argument_group("windows; what is not given comes with the model")
    add_window_arguments(how, weights="cosine", aug="--aug_pred")

    run = parser.add_argument_group("the run")
    run.add_argument("--batch_size", type=int, metavar="N", help="windows at once (default: 1 on a CPU, 4 on a GPU)")
    run.add_argument(
        "--backend", choices=("auto", "dynamic", "paddle", "onnx"), default="auto",
        help="auto: the compiled graph on a CPU, checked against the model; the model itself on a GPU",
    )  # fmt: skip
    run.add_argument("--device", choices=("cpu", "gpu"), help="default: a GPU if there is one")
    run.add_argument("--no_overlay", action="store_true", help="label maps only")
    run.add_argument(
        "--probability", type=int, metavar="CLASS",
        help="write the probability of this class (float32, -1 without data) in place of the label map",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int | None:
    import sys

    from paddle_rsseg.cli.progress import progress_bar
    from paddle_rsseg.cli.results import check_directory
    from paddle_rsseg.errors import RssegError
    from paddle_rsseg.inference.images import find_images
    from paddle_rsseg.inference.predictor import Predictor
    from paddle_rsseg.training import distributed

    images = find_images(Path(args.image_path), Path(args.save_dir))
    settings = None
    if args.config:
        from paddle_rsseg.config import load_config

        settings = load_config(args.config, args.opts)
    elif args.opts:
        raise RssegError("--opts", "without --config", fix="it overrides values of a YAML")
    distributed.setup(args.device)
    check_directory(args.save_dir)  # once, not an error for every image
    predictor = Predictor(
        args.model_path, settings=settings, backend=args.backend, batch_size=args.batch_size,
        bands=tuple(args.bands) if args.bands else None, **window_changes(args),
    )  # fmt: skip
    spec = predictor.spec
    if args.probability is not None and not 0 <= args.probability < spec.num_classes:
        raise RssegError("--probability", str(args.probability), f"a class from 0 to {spec.num_classes - 1}")
    window = f"windows {spec.window[1]}×{spec.window[0]}, stride {spec.stride[1]}×{spec.stride[0]}"
    if spec.policy != "sliding":
        window = f"{spec.policy} windows, margin {spec.margin}"
    print(f"mapping {len(images)} images with {args.model_path} ({window})")
    written, failed = [], 0
    with progress_bar("images") as progress:
        for i, (path, name) in enumerate(images):
            try:
                share = partial(_part, progress, i, len(images))
                written += predictor.predict_file(
                    path, args.save_dir, name, not args.no_overlay, share, args.probability
                )
            except RssegError as error:
                failed += 1
                print(f"error: {error}", file=sys.stderr)
    for path in written[:6]:
        print(f"  {path}")
    if len(written) > 6:
        print(f"  … and {len(written) - 6} more")
    print(f"{len(images) - failed} of {len(images)} images mapped, results in {args.save_dir}")
    return 2 if failed else None


def _part(progress: Callable[[float, float], None], image: int, images: int, rows: int, height: int) -> None:
    progress(image + rows / height, images)
