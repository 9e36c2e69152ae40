"""Choose a validation set with evenly spread classes: lists of the chosen images and of the rest."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="YAML of the training")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY=VALUE", help="override values of the YAML")
    parser.add_argument("--split", choices=("train", "val"), default="train", help="from which (default: train)")
    parser.add_argument("--images", type=int, required=True, metavar="N", help="how many")
    parser.add_argument("--write", required=True, metavar="FILE", help="list of the chosen images")
    parser.add_argument(
        "--write_rest", metavar="FILE", help="list of the others: train on these, or scores are not honest"
    )
    parser.add_argument("--separator", default=" ", help="between image and label in the lists (default: a space)")
    parser.add_argument("--num_workers", type=int, help="processes (default: one per CPU)")


def run(args: argparse.Namespace) -> int | None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from paddle_rsseg.config import build_dataset, load_config
    from paddle_rsseg.data.choose import class_counts, maximum_entropy, write_list
    from paddle_rsseg.data.class_weights import entropy

    without = [f"{name}_dataset.transforms=[]" for name in ("train", "val")]
    dataset = build_dataset(load_config(args.config, [*args.opts, *without]), args.split)
    counts = class_counts(dataset, args.num_workers, Console(stderr=True))
    chosen, entropies = maximum_entropy(counts, args.images)

    pairs = [item[:2] for item in dataset.scenes()]
    root = getattr(dataset, "dataset_root", "")
    others = sorted(set(range(len(pairs))) - set(chosen))
    write_list(args.write, [pairs[i] for i in chosen], root, args.separator)
    if args.write_rest:
        write_list(args.write_rest, [pairs[i] for i in others], root, args.separator)

    before, after = counts.sum(axis=0), counts[chosen].sum(axis=0)
    table = Table(title=f"{len(chosen)} of {len(pairs)} images")
    for name in ("class", "name", "% of all", "% of the chosen"):
        table.add_column(name, justify="left" if name == "name" else "right")
    names = dataset.classes or [""] * dataset.num_classes
    for k, (name, b, a) in enumerate(zip(names, before / before.sum(), after / after.sum(), strict=True)):
        table.add_row(str(k), name, f"{100 * b:.2f}", f"{100 * a:.2f}")
    Console().print(table)
    print(f"entropy of all pixels {entropy(before):.4f}, of the chosen ones {entropy(after):.4f}")
    print(
        f"entropy of the images' mean frequencies: highest {max(entropies):.4f} with {np.argmax(entropies) + 1} images"
    )
    print(f"{args.write}: {len(chosen)} images" + (f"; {args.write_rest}: {len(others)}" if args.write_rest else ""))
    return None
