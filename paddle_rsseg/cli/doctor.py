"""Read all the data of a training and report what is wrong with it, each with the way out."""

from __future__ import annotations

import argparse

SHOWN = 3  # files a finding names on screen; --json has them all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="YAML of the training")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY=VALUE", help="override values of the YAML")
    parser.add_argument("--json", metavar="FILE", help="write the whole diagnosis as JSON")
    parser.add_argument("--num_workers", type=int, help="processes (default: one per CPU)")


def run(args: argparse.Namespace) -> int | None:
    """Exit code 0: nothing that breaks training; 1: errors found; 2: the settings themselves are wrong."""
    import json
    from pathlib import Path

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from paddle_rsseg.config import build_dataset, load_config
    from paddle_rsseg.data.doctor import diagnose
    from paddle_rsseg.errors import RssegError

    settings = load_config(args.config, args.opts)
    datasets = {split: build_dataset(settings, split) for split in ("train", "val")}
    result = diagnose(datasets, args.num_workers, Console(stderr=True))
    console = Console()

    table = Table(title=", ".join(f"{count} {split} images" for split, count in result.images.items()))
    table.add_column("class", justify="right")
    table.add_column("name")
    for split in result.classes:
        table.add_column(f"{split} pixels", justify="right")
        table.add_column("%", justify="right")
    names = datasets["train"].classes or [""] * datasets["train"].num_classes
    for k, name in enumerate(names):
        row = []
        for pixels in result.classes.values():
            row += [f"{pixels[k]:,}", f"{100 * pixels[k] / max(sum(pixels), 1):.2f}"] if k < len(pixels) else ["", ""]
        table.add_row(str(k), escape(name), *row)
    table.add_row("", "ignored", *(text for n in result.ignored.values() for text in (f"{n:,}", "")))
    console.print(table)

    if result.findings:
        table = Table(show_lines=True)
        table.add_column("", no_wrap=True)
        for name in ("finding", "where", "way out"):
            table.add_column(name, overflow="fold")
        for f in result.findings:
            where = "\n".join(f.where[:SHOWN]) + (
                f"\n… and {len(f.where) - SHOWN} more" if len(f.where) > SHOWN else ""
            )
            mark = "[bold red]error[/]" if f.severity == "error" else "[yellow]warning[/]"
            table.add_row(mark, escape(f"{f.split}: {f.what} ({len(f.where)})"), escape(where), escape(f.fix))
        console.print(table)
    errors = sum(f.severity == "error" for f in result.findings)
    print(f"{errors} errors, {len(result.findings) - errors} warnings" if result.findings else "nothing found: train")

    if args.json:
        try:
            Path(args.json).write_text(json.dumps(result.to_dict(), indent=1, ensure_ascii=False), encoding="utf-8")
        except OSError as error:
            raise RssegError(args.json, f"cannot be written: {error.strerror}", "a writable path") from error
        print(f"written to {args.json}")
    return 0 if result.healthy else 1
