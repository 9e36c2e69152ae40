"""Score a model on the validation images, and write a report."""

from __future__ import annotations

import argparse

NEEDS_PADDLE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="YAML", help="configuration with the model and val_dataset")
    parser.add_argument(
        "--model_path", required=True, metavar="PATH",
        help="checkpoint directory, .safetensors, .pdparams, .pth, or the directory of an exported model",
    )  # fmt: skip
    parser.add_argument("--save_dir", metavar="DIR", help="write metrics.json, confusion.csv and report.html there")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY=VALUE", help="override values of the YAML")

    how = parser.add_argument_group("protocol; what is not given comes from test_config")
    how.add_argument("--is_slide", action="store_true", help="sliding window over each image; else each image whole")
    how.add_argument("--crop_size", nargs=2, type=int, metavar=("WIDTH", "HEIGHT"), help="of a window, in pixels")
    how.add_argument("--stride", nargs=2, type=int, metavar=("X", "Y"), help="step of the window (default: 4/7 of it)")
    how.add_argument("--average", choices=("probs", "logits"), help="what overlapping windows average")
    how.add_argument(
        "--pad", choices=("multiple", "window"), help="small windows: zeros up to a multiple of 32, or to a full window"
    )
    how.add_argument("--window_weights", choices=("uniform", "cosine"), help="of the pixels of a window")

    run = parser.add_argument_group("the run")
    run.add_argument("--batch_size", type=int, metavar="N", help="windows computed together (default: window_batch)")
    run.add_argument(
        "--backend", choices=("auto", "dynamic", "paddle", "onnx"), default="auto",
        help="auto: the compiled graph on a CPU, checked against the model; the model itself on a GPU",
    )  # fmt: skip
    run.add_argument("--device", choices=("cpu", "gpu"), help="default: a GPU if there is one")
    run.add_argument(
        "--examples", type=int, default=4, metavar="N", help="best and worst images in the report (default: 4)"
    )
    run.add_argument(
        "--num_workers", type=int, metavar="N", help="accepted for PaddleSeg's sake; one thread reads ahead"
    )


def run(args: argparse.Namespace) -> int | None:
    import sys

    import paddle

    from paddle_rsseg import __version__
    from paddle_rsseg.cli.progress import progress_bar
    from paddle_rsseg.cli.results import check_directory
    from paddle_rsseg.config import load_config
    from paddle_rsseg.evaluation.evaluate import evaluate
    from paddle_rsseg.evaluation.report import print_table, write_report
    from paddle_rsseg.training import distributed

    settings = load_config(args.config, args.opts)
    changes = window_changes(args, settings)
    distributed.setup(args.device)
    main = distributed.is_main()
    if main and args.save_dir:  # before the hours of scoring, not after
        check_directory(args.save_dir)
    if main:
        print(f"scoring {args.model_path} on {settings.val_dataset.type} ({args.config})")
    with progress_bar("images", quiet=not main) as progress:
        result = evaluate(
            args.model_path, settings,
            protocol="slide" if args.is_slide else None,
            batch_size=args.batch_size or settings.test_config.window_batch,
            backend=args.backend,
            examples=args.examples if args.save_dir else 0,
            progress=progress,
            **changes,
        )  # fmt: skip
    if not main:
        return None
    result.info |= {
        "config": args.config,
        "command": " ".join(["rsseg", "val", *sys.argv[2 if sys.argv[1:2] == ["val"] else 1 :]]),
        "versions": f"paddle_rsseg {__version__}, Paddle {paddle.__version__}",
    }
    print_table(result)
    print(f"{len(result.images)} images in {result.seconds:.1f} s ({_how(result.info)})")
    if args.save_dir:
        for path in write_report(result, args.save_dir, f"{settings.model.type} on {settings.val_dataset.type}"):
            print(f"  {path}")
    return None


def _how(info: dict) -> str:
    """The protocol in a few words."""
    names = ("protocol", "window (w × h)", "stride (w × h)", "average", "padding", "backend")
    found = {name.removesuffix(" (w × h)"): info[name] for name in names if name in info}
    return ", ".join(f"{key} {'×'.join(map(str, v)) if isinstance(v, list) else v}" for key, v in found.items())


def window_changes(args: argparse.Namespace, settings: object) -> dict:
    """The fields of the inference description that the command line overrides; sizes turn from (w, h) to (h, w)."""
    from paddle_rsseg.errors import RssegError

    test = settings.test_config  # type: ignore[attr-defined]
    for name in ("crop_size", "stride", "average", "pad", "window_weights"):
        if getattr(args, name) is not None and not (args.is_slide or test.is_slide):
            raise RssegError(f"--{name}", "without --is_slide", fix="add --is_slide, or images are scored whole")
    crop = args.crop_size
    stride = args.stride or (crop and [max(1, side * 4 // 7) for side in crop])
    for name, size in (("--crop_size", crop), ("--stride", stride)):
        if size is not None and min(size) < 1:
            raise RssegError(name, " ".join(map(str, size)), "a width and a height of at least 1")
    return {
        "window": tuple(crop[::-1]) if crop else None,
        "stride": tuple(stride[::-1]) if stride else None,
        "average": args.average,
        "pad": args.pad,
        "blend": args.window_weights,
    }
