"""Convert weights of PyTorch, PaddleSeg or PaddleRS to a native file that knows its model and pre-processing."""

from __future__ import annotations

import argparse

NEEDS_PADDLE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="IN",
        help=".pth, .pt, .pdparams or .safetensors, nothing in it is executed; or a name of 'rsseg weights list'",
    )  # fmt: skip
    parser.add_argument("destination", metavar="OUT", help="the .safetensors file to write")
    parser.add_argument(
        "--arch",
        help="model or encoder, for example farseg_r50 or ResNet50; default: that of --config, or of the named weights",
    )
    parser.add_argument("--num_classes", type=int, help="default: what the file's classifier has")
    parser.add_argument(
        "--swap_isaid_st_ra",
        action="store_true",
        help="exchange storage tank and roundabout (rows 2 and 12 of the classifier): the official FarSeg release "
        "has them in each other's place",
    )
    parser.add_argument("--config", help="YAML that gives the model and its pre-processing; default: FarSeg on iSAID")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY=VALUE", help="override values of --config")
    parser.add_argument("--allow_partial", action="store_true", help="write the file although tensors do not fit")
    parser.add_argument("--layout", metavar="NAME", help="where a file may be of two layouts")
    parser.add_argument("--all", action="store_true", help="list the tensors that match too")
    parser.add_argument(
        "--weights_dir", metavar="DIR",
        help="folder of downloaded weights (default: $RSSEG_WEIGHTS, else ~/.cache/paddle_rsseg/weights)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int | None:
    from paddle_rsseg.cli.progress import progress_bar
    from paddle_rsseg.weights.convert import convert
    from paddle_rsseg.weights.store import locate

    settings = None
    if args.config:
        from paddle_rsseg.config import load_config

        settings = load_config(args.config, args.opts)
    with progress_bar(f"downloading {args.source}") as update:
        locate(args.source, args.weights_dir, lambda done, total: update(done, total or 0))
    report = convert(
        args.source, args.destination, args.arch, args.num_classes, args.swap_isaid_st_ra, settings,
        args.allow_partial, args.layout, args.weights_dir,
    )  # fmt: skip
    print("\n".join(report.lines(every=args.all)))
    if args.swap_isaid_st_ra:
        print("exchanged   rows 2 and 12 of the classifier")
    print(f"written     {args.destination}" + ("  (an encoder, for 'pretrained')" if report.backbone_only else ""))
    return None
