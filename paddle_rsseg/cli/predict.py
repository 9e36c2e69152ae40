"""Map images: a label map for each, georeferenced where the image is, and an overlay picture."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

from paddle_rsseg.cli.windows import add_window_arguments, window_changes
from paddle_rsseg.inference import runtimes
from paddle_rsseg.inference.products import DTYPES
from paddle_rsseg.inference.spec import InferenceSpec

NEEDS_PADDLE = True
#: as in ``geo.writer`` and ``geo.vectorfile``, which are not imported for ``--help``
FORMATS = ("auto", "tif", "cog", "png")
VECTORS = ("gpkg", "geojson", "fgb")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="YAML",
        help="configuration; not needed for an exported model or weights that carry their own description",
    )  # fmt: skip
    parser.add_argument(
        "--model_path", required=True, metavar="PATH",
        help="checkpoint directory, .safetensors, .pdparams, .pth, directory of an export, or YAML of an ensemble",
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
    what.add_argument(
        "--vectors", choices=VECTORS,
        help="also polygons with class, area and mean confidence, exactly those of the map (docs/vectors.md)",
    )  # fmt: skip
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
    run.add_argument("--backend", choices=runtimes.BACKENDS, default="auto", help=runtimes.HELP)
    run.add_argument("--device", choices=("cpu", "gpu"), help="default: a GPU if there is one")

    several = parser.add_argument_group("several processes; docs/cluster.md")
    several.add_argument(
        "--engine", choices=("process", "ray"), default="process",
        help="process: this one, or those of paddle.distributed.launch; ray: workers of a Ray cluster, or of a Ray "
        "that this command starts here and ends",
    )  # fmt: skip
    several.add_argument("--address", metavar="HOST:PORT", help="of a running Ray cluster, or auto")
    several.add_argument("--workers", type=int, metavar="N", help="default: as many as there is room for")
    several.add_argument("--threads", type=int, metavar="N", help="of a worker (default: 4, or its share of the CPUs)")


def run(args: argparse.Namespace) -> int | None:
    import sys

    from paddle_rsseg import ranks
    from paddle_rsseg.cli.progress import progress_bar
    from paddle_rsseg.cli.results import check_directory
    from paddle_rsseg.errors import RssegError
    from paddle_rsseg.inference.images import find_images
    from paddle_rsseg.inference.products import Products
    from paddle_rsseg.inference.scene import Outputs
    from paddle_rsseg.inference.work import open_worker, predict_scenes

    outputs = Outputs(
        overlay=not args.no_overlay, products=Products(tuple(args.products), args.product_type),
        probability=args.probability, file_format=args.format, vectors=args.vectors,
    )  # fmt: skip
    images = find_images(Path(args.image_path), Path(args.save_dir))
    settings = None
    if args.config:
        from paddle_rsseg.config import load_config

        settings = load_config(args.config, args.opts)
    elif args.opts:
        raise RssegError("--opts", "without --config", fix="it overrides values of a YAML")
    _check_engine(args)
    check_directory(args.save_dir)  # once, not an error for every image
    opening = partial(
        open_worker, Path(args.model_path).absolute(), Path(args.save_dir).absolute(), outputs, args.overwrite,
        settings=settings, backend=args.backend, batch_size=args.batch_size,
        bands=tuple(args.bands) if args.bands else None, **window_changes(args),
    )  # fmt: skip
    scenes = [(path.absolute(), name) for path, name in images]
    tell = partial(print, file=sys.stderr)
    if args.engine == "ray":
        from paddle_rsseg.inference.cluster import run_on_ray

        print(f"mapping {len(images)} images with {args.model_path} on {args.address or 'a Ray of this machine'}")
        with progress_bar("windows") as progress:
            outcome = run_on_ray(
                opening, scenes, args.address, args.workers, args.threads,
                None if args.device is None else args.device == "gpu", tell, progress,
            )  # fmt: skip
    else:
        device = ranks.setup(args.device)
        worker = opening(device=device)
        if ranks.is_main():
            print(f"mapping {len(images)} images with {args.model_path} ({_windows(worker.predictor.spec)})")
        with progress_bar("bands", quiet=not ranks.is_main()) as progress:
            outcome = predict_scenes(worker, scenes, tell, progress)
        if not ranks.is_main():
            return None
    written = [path for scene in sorted(outcome.written) for path in outcome.written[scene]]
    for path in written[:6]:
        print(f"  {os.path.relpath(path)}")
    if len(written) > 6:
        print(f"  … and {len(written) - 6} more")
    print(f"{len(outcome.written)} of {len(images)} images mapped, results in {args.save_dir}")
    return 2 if outcome.errors else None


def _check_engine(args: argparse.Namespace) -> None:
    from paddle_rsseg import ranks
    from paddle_rsseg.errors import RssegError

    for name in ("address", "workers", "threads"):
        value = getattr(args, name)
        if value is not None and args.engine != "ray":
            raise RssegError(f"--{name}", "without --engine ray", fix="add it, or start with paddle.distributed.launch")
        if isinstance(value, int) and value < 1:
            raise RssegError(f"--{name}", str(value), "at least 1")
    if args.engine == "ray" and ranks.world_size() > 1:
        raise RssegError("--engine ray", "under paddle.distributed.launch", "one of the two")


def _windows(spec: InferenceSpec) -> str:
    """Of what size, and how they lie, in a few words."""
    if spec.policy != "sliding":
        return f"{spec.policy} windows, margin {spec.margin}"
    return f"windows {spec.window[1]}×{spec.window[0]}, stride {spec.stride[1]}×{spec.stride[0]}"
