"""Compute mean and std of every band, and class counts with the loss weights made of them, of the training data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", help="YAML of the training")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY=VALUE", help="override values of the YAML")
    parser.add_argument("--split", choices=("train", "val"), default="train", help="which data set (default: train)")
    parser.add_argument(
        "--counts", nargs="+", type=int, metavar="PIXELS", help="no data set: weights from these, one a class"
    )
    parser.add_argument("--lift", type=float, default=0.0, help="added to the log_inverse weights below --below")
    parser.add_argument("--below", type=float, default=float("inf"), help="(default: all of them)")
    parser.add_argument("--num_workers", type=int, help="processes (default: one per CPU)")
    parser.add_argument("--write", metavar="FILE", help="also write the Normalize transform as YAML")
    parser.add_argument("--write_weights", metavar="FILE", help="also write the weights as YAML, one list a formula")


def run(args: argparse.Namespace) -> int | None:
    from rich.console import Console

    from paddle_rsseg.errors import RssegError

    if (args.config is None) == (args.counts is None):
        raise RssegError("rsseg stats", "neither or both of CONFIG and --counts", "one of them")
    if args.counts is not None and args.write:
        raise RssegError("--write", "no images with --counts", "a CONFIG", "weights: --write_weights")
    console = Console()
    if args.counts is not None:
        _classes(console, args, [""] * len(args.counts), args.counts)
        return None

    import yaml
    from rich.table import Table

    from paddle_rsseg.config import build_dataset, load_config
    from paddle_rsseg.data.statistics import compute_statistics

    # the transforms do not matter here, and a Normalize that does not fit yet must not stand in its own way
    without = [f"{name}_dataset.transforms=[]" for name in ("train", "val")]
    dataset = build_dataset(load_config(args.config, [*args.opts, *without]), args.split)
    result = compute_statistics(dataset, args.num_workers, Console(stderr=True))

    scenes = len(dataset.scenes())
    table = Table(
        title=f"{args.split}: {scenes} images, {result.bands.count:,} pixels, {100 * result.valid_share:.2f} % valid"
    )
    for name in ("band", "mean", "std", "min", "max"):
        table.add_column(name, justify="right")
    bands = dataset.bands or range(1, dataset.in_channels + 1)
    numbers = zip(bands, result.bands.mean, result.bands.std, result.bands.minimum, result.bands.maximum, strict=True)
    for band, *values in numbers:
        table.add_row(str(band), *(f"{v:.6g}" for v in values))
    console.print(table)

    if result.class_pixels.sum():
        names = dataset.classes or [""] * dataset.num_classes
        _classes(console, args, names, result.class_pixels.tolist(), result.ignored)
    elif args.write_weights:
        raise RssegError(args.write_weights, "no labelled pixel to make weights of", "a split with labels")

    text = yaml.safe_dump([result.normalize_spec()], sort_keys=False, default_flow_style=None, width=110)
    print(f"\nfor train_dataset.transforms and val_dataset.transforms:\n\n{text}")
    _write(args.write, text)
    return None


def _classes(
    console: Console, args: argparse.Namespace, names: Sequence[str], counts: Sequence[int], ignored: int | None = None
) -> None:
    """The table of the classes, and their weights by every formula."""
    from math import log

    import yaml
    from rich.table import Table

    from paddle_rsseg.data.class_weights import FORMULAS, entropy
    from paddle_rsseg.errors import RssegError

    disorder, total = entropy(counts), sum(counts)
    table = Table(title=f"classes: {total:,} labelled pixels" + ("" if ignored is None else f", {ignored:,} ignored"))
    for name in ("class", "name", "pixels", "%"):
        table.add_column(name, justify="left" if name == "name" else "right")
    for k, (name, count) in enumerate(zip(names, counts, strict=True)):
        table.add_row(str(k), name, f"{count:,}", f"{100 * count / total:.2f}")
    console.print(table)
    print(f"entropy {disorder:.4f}; ln {len(counts)} = {log(len(counts)):.4f} if all classes were as frequent")

    weights: dict[str, list[float]] = {}
    for formula, function in FORMULAS.items():
        lift: dict[str, Any] = {"lift": args.lift, "below": args.below} if formula == "log_inverse" else {}
        try:
            weights[formula] = [float(f"{w:.5g}") for w in function(counts, **lift)]
        except RssegError as error:  # a logarithm of one class alone
            print(f"{formula}: {error}")
    lines = [f"weight: {yaml.safe_dump(w, default_flow_style=True, width=10_000).strip()}" for w in weights.values()]
    print("\nfor a loss that takes 'weight', such as CrossEntropyLoss, one of:\n")
    print("\n".join(f"{line}  # {formula}" for formula, line in zip(weights, lines, strict=True)))
    _write(args.write_weights, yaml.safe_dump(weights, sort_keys=False, default_flow_style=None, width=110))


def _write(path: str | None, text: str) -> None:
    from pathlib import Path

    from paddle_rsseg.errors import RssegError

    if path is None:
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise RssegError(path, f"cannot be written: {error.strerror}", "a writable path") from error
    print(f"written to {path}")
