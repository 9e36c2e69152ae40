"""Write soft labels, smoothed near the borders of the classes: one file a mask, for SoftTargetLoss."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="YAML of the training")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY=VALUE", help="override values of the YAML")
    parser.add_argument("--out_dir", metavar="DIR", help="where to (default: soft_dir of train_dataset)")
    parser.add_argument("--radius", type=int, default=5, help="of an edge, in pixels (default: %(default)s)")
    parser.add_argument(
        "--alpha", type=float, default=0.2, help="share of an edge pixel that all classes divide (default: %(default)s)"
    )
    parser.add_argument("--num_workers", type=int, help="processes (default: one per CPU)")


def run(args: argparse.Namespace) -> int | None:
    from rich.console import Console

    from paddle_rsseg.config import build_dataset, load_config
    from paddle_rsseg.data.soft import write_soft_labels
    from paddle_rsseg.errors import RssegError

    settings = load_config(args.config, args.opts)
    out_dir = args.out_dir or settings.train_dataset.args.get("soft_dir")
    if out_dir is None:
        where = settings.place("train_dataset.soft_dir")
        raise RssegError(where, "not given", "a folder for the soft labels", "or give --out_dir")
    # the files that are to be written need not be there yet, and the masks are read as they are
    without = ["train_dataset.soft_dir=null", "train_dataset.transforms=[]", "val_dataset.transforms=[]"]
    dataset = build_dataset(load_config(args.config, [*args.opts, *without]), "train")
    console = Console(stderr=True)
    try:
        written = write_soft_labels(dataset, out_dir, args.radius, args.alpha, args.num_workers, console)
    except KeyboardInterrupt:
        console.print("interrupted; the same command continues", highlight=False)
        return 130
    print(f"{out_dir}: {written.new} soft labels written, {written.kept} were there already")
    if args.out_dir:
        print(f"for the training: --opts train_dataset.soft_dir={out_dir}")
    return None
