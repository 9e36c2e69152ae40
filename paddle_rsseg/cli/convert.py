"""Convert weights of PyTorch, PaddleSeg or PaddleRS to a native file that knows its model and pre-processing."""

from __future__ import annotations

import argparse

NEEDS_PADDLE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help=".pth, .pt, .pdparams or .safetensors; nothing in it is executed")
    parser.add_argument("destination", metavar="OUT", help="the .safetensors file to write")
    parser.add_argument("--arch", help="model, for example farseg_r50; default: that of --config")
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


def run(args: argparse.Namespace) -> int | None:
    from paddle_rsseg.errors import RssegError
    from paddle_rsseg.weights.convert import convert

    if not args.arch and not args.config:
        raise RssegError("convert", "neither --arch nor --config", "the model to convert for", "--arch farseg_r50")
    settings = None
    if args.config:
        from paddle_rsseg.config import load_config

        settings = load_config(args.config, args.opts)
    report = convert(
        args.source, args.destination, args.arch, args.num_classes, args.swap_isaid_st_ra, settings, args.allow_partial
    )
    print(report)
    if args.swap_isaid_st_ra:
        print("exchanged   rows 2 and 12 of the classifier")
    print(f"written     {args.destination}" + ("  (an encoder, for 'pretrained')" if report.backbone_only else ""))
    return None
