"""Score a model on the validation images, and write a report."""

from __future__ import annotations

import argparse
from typing import Any

from paddle_rsseg.cli.measures import add_measure_arguments, measures_of, temperature_path
from paddle_rsseg.cli.windows import add_window_arguments, window_changes
from paddle_rsseg.inference import runtimes

NEEDS_PADDLE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="YAML", help="configuration with the model and val_dataset")
    parser.add_argument(
        "--model_path", required=True, metavar="PATH",
        help="checkpoint directory, .safetensors, .pdparams, .pth, directory of an export, or YAML of an ensemble",
    )  # fmt: skip
    parser.add_argument("--save_dir", metavar="DIR", help="write report.html, metrics.json and tables there")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY=VALUE", help="override values of the YAML")

    how = parser.add_argument_group("protocol; what is not given comes from test_config")
    how.add_argument("--is_slide", action="store_true", help="sliding window over each image; else each image whole")
    add_window_arguments(how)

    add_measure_arguments(parser.add_argument_group("what is measured; the confusion matrix always is"))

    run = parser.add_argument_group("the run")
    run.add_argument("--batch_size", type=int, metavar="N", help="windows computed together (default: window_batch)")
    run.add_argument("--backend", choices=runtimes.BACKENDS, default="auto", help=runtimes.HELP)
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
    from paddle_rsseg.inference.temperature import write_temperature
    from paddle_rsseg.training import distributed

    settings = load_config(args.config, args.opts)
    check_protocol(args, settings)
    changes, measures, temperature = window_changes(args), measures_of(args), temperature_path(args)
    distributed.setup(args.device)
    main = distributed.is_main()
    if main and args.save_dir:  # before the hours of scoring, not after
        check_directory(args.save_dir)
    if main and temperature is not None:
        check_directory(str(temperature.parent), "--calibrate")
    if main:
        print(f"scoring {args.model_path} on {settings.val_dataset.type} ({args.config})")
    with progress_bar("images", quiet=not main) as progress:
        result = evaluate(
            args.model_path, settings,
            protocol=args.protocols or ("slide" if args.is_slide else None),
            batch_size=args.batch_size or settings.test_config.window_batch,
            backend=args.backend,
            examples=args.examples if args.save_dir else 0,
            progress=progress,
            measures=measures,
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
    if temperature is not None and result.calibration is not None:
        print(f"  {write_temperature(temperature, result.calibration.fitted, _fitted_on(result))}")
    return None


def _fitted_on(result: Any) -> dict[str, Any]:
    """What a temperature is worth knowing with."""
    fit = result.calibration
    facts = {key: result.info[key] for key in ("weights", "config", "protocol", "average", "window weights")
             if key in result.info}  # fmt: skip
    error = {"before": round(fit.before.ece, 5), "after": round(fit.after.ece, 5)}
    return {"fitted on": {**facts, "images": len(result.images), "pixels": fit.pixels}, "calibration error": error}


def _how(info: dict) -> str:
    """The protocol in a few words."""
    names = ("protocol", "window (w × h)", "stride (w × h)", "average", "padding", "backend")
    found = {name.removesuffix(" (w × h)"): info[name] for name in names if name in info}
    return ", ".join(f"{key} {'×'.join(map(str, v)) if isinstance(v, list) else v}" for key, v in found.items())


def check_protocol(args: argparse.Namespace, settings: object) -> None:
    """No option of windows without windows."""
    from paddle_rsseg.errors import RssegError

    slides = args.is_slide or (args.protocols and set(args.protocols) != {"patch"})
    if args.is_slide and args.protocols and "slide" not in args.protocols:
        raise RssegError("--is_slide", f"beside --protocols {' '.join(args.protocols)}", "one of them")
    for name in ("crop_size", "stride", "policy", "margin", "pad", "window_weights"):
        if getattr(args, name) is not None and not (slides or settings.test_config.is_slide):  # type: ignore[attr-defined]
            raise RssegError(f"--{name}", "without --is_slide", fix="add --is_slide, or images are scored whole")
