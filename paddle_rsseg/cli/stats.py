"""Compute mean and std of every band, and class counts, of the training data."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="YAML of the training")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY=VALUE", help="override values of the YAML")
    parser.add_argument("--split", choices=("train", "val"), default="train", help="which data set (default: train)")
    parser.add_argument("--num_workers", type=int, help="processes (default: one per CPU)")
    parser.add_argument("--write", metavar="FILE", help="also write the Normalize transform as YAML")


def run(args: argparse.Namespace) -> int | None:
    from pathlib import Path

    import yaml
    from rich.console import Console
    from rich.table import Table

    from paddle_rsseg.config import build_dataset, load_config
    from paddle_rsseg.data.statistics import compute_statistics
    from paddle_rsseg.errors import RssegError

    # the transforms do not matter here, and a Normalize that does not fit yet must not stand in its own way
    without = [f"{name}_dataset.transforms=[]" for name in ("train", "val")]
    dataset = build_dataset(load_config(args.config, [*args.opts, *without]), args.split)
    console = Console()
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

    total = int(result.class_pixels.sum())
    if total:
        table = Table(title=f"classes: {total:,} labelled pixels, {result.ignored:,} ignored")
        for name in ("class", "name", "pixels", "%", "median-frequency weight"):
            table.add_column(name, justify="left" if name == "name" else "right")
        names = dataset.classes or [""] * dataset.num_classes
        rows = zip(names, result.class_pixels, result.class_weights, strict=True)
        for k, (name, count, weight) in enumerate(rows):
            table.add_row(str(k), name, f"{count:,}", f"{100 * count / total:.2f}", f"{weight:.3f}")
        console.print(table)

    text = yaml.safe_dump([result.normalize_spec()], sort_keys=False, default_flow_style=None, width=110)
    print(f"\nfor train_dataset.transforms and val_dataset.transforms:\n\n{text}")
    if args.write:
        try:
            Path(args.write).write_text(text, encoding="utf-8")
        except OSError as error:
            raise RssegError(args.write, f"cannot be written: {error.strerror}", "a writable path") from error
        print(f"written to {args.write}")
    return None
