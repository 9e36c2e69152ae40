"""Map images: a label map for each, georeferenced where the image is, and an overlay picture."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from paddle_rsseg.cli.windows import add_window_arguments, window_changes
from paddle_rsseg.geo.writer import FORMATS
from paddle_rsseg.inference.products import DTYPES

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

    what = parser.add_argument_group("the results")
    what.add_argument(
        "--format", choices=FORMATS, default="auto",
        help="of label maps; auto: GeoTIFF where the image is georeferenced, else PNG; cog: cloud-optimised GeoTIFF",
    )  # fmt: skip
    what.add_argument(
        "--products", nargs="+", default=[], metavar="NAME",
        help="write beside the map: probabilities, confidence, entropy, margin (all from 0 to 1)",
    )  # fmt: skip
    what.add_argument(
        "--product_type", choices=DTYPES, default="uint8", help="numbers of products; uint8: 0 to 250, 255 is no data"
    )
    what.add_argument("--no_overlay", action="store_true", help="no picture of the image under its map")
    what.add_argument(
        "--probability", type=int, metavar="CLASS",
        help="write the probability of this class (float32, -1 without data) in place of the label map",
    )  # fmt: skip
    what.add_argument(
        "--overwrite", action="store_true",
        help="do again what an earlier run has done; else that is kept where image, model and options are the same",
    )  # fmt: skip

    run = parser.add_argument_group("the run")
    run.add_argument("--batch_size", type=int, metavar="N", help="windows at once (default: 1 on a CPU, 4 on a GPU)")
    run.add_argument(
        "--backend", choices=("auto", "dynamic", "paddle", "onnx"), default="auto",
        help="auto: the compiled graph on a CPU, checked against the model; the model itself on a GPU",
    )  # fmt: skip
    run.add_argument("--device", choices=("cpu", "gpu"), help="default: a GPU if there is one")


def run(args: argparse.Namespace) -> int | None:
    import sys

    from paddle_rsseg.cli.progress import progress_bar
    from paddle_rsseg.cli.results import check_directory
    from paddle_rsseg.errors import RssegError
    from paddle_rsseg.inference.images import find_images
    from paddle_rsseg.inference.predictor import Predictor
    from paddle_rsseg.inference.products import Products
    from paddle_rsseg.inference.scene import Outputs
    from paddle_rsseg.training import distributed

    outputs = Outputs(
        overlay=not args.no_overlay, products=Products(tuple(args.products), args.product_type),
        probability=args.probability, file_format=args.format,
    )  # fmt: skip
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
                written += predictor.predict_file(path, args.save_dir, name, outputs, share, args.overwrite)
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
