"""Merge maps of single classes, of binary networks say, into label maps of all classes."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", metavar="LABELS", help="a label map of all classes, or a directory of them")
    parser.add_argument(
        "--map", nargs="+", required=True, metavar="CLASS=PATH",
        help="where one class is: its probability as 'predict --probability' writes it, or a map of 0 and 1; a "
        "directory of them where LABELS is one. Where several say yes, the first one given is right",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", nargs="+", type=float, default=[0.5], metavar="P",
        help="the probability from which on it is the class; one for all, or one a map (default: 0.5)",
    )  # fmt: skip
    parser.add_argument(
        "--scale", type=float, metavar="S", help="maps of whole numbers hold probabilities times this, such as 255"
    )
    parser.add_argument(
        "--save_dir", default="output/combined", metavar="DIR", help="for the results (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int | None:
    from paddle_rsseg.cli.progress import progress_bar
    from paddle_rsseg.cli.results import check_directory
    from paddle_rsseg.errors import RssegError
    from paddle_rsseg.inference.combine import OneClass, combine, find_map
    from paddle_rsseg.inference.images import find_images

    chosen: dict[int, Path] = {}
    for word in args.map:
        index, _, path = word.partition("=")
        if not index.isdigit() or not path or int(index) in chosen:
            raise RssegError(f"--map {word}", "not a class and its map", "CLASS=PATH, each class once")
        chosen[int(index)] = Path(path)
    if len(args.threshold) not in (1, len(chosen)):
        raise RssegError("--threshold", f"{len(args.threshold)} for {len(chosen)} maps", "one, or one a map")
    limits = args.threshold * len(chosen) if len(args.threshold) == 1 else args.threshold
    found = find_images(Path(args.labels), Path(args.save_dir), "LABELS")
    # a directory of 'predict' has other results beside the label maps
    found = [(path, name) for path, name in found if name.endswith("_label")] or found
    labels = [(path, name.removesuffix("_label")) for path, name in found]
    check_directory(args.save_dir)
    with progress_bar("label maps") as progress:
        for i, (path, name) in enumerate(labels):
            maps = [
                OneClass(index, find_map(where, name, len(labels) > 1), limit, args.scale)
                for (index, where), limit in zip(chosen.items(), limits, strict=True)
            ]
            written = combine(path, maps, Path(args.save_dir) / f"{name}_label")
            progress(i + 1, len(labels))
    print(f"{len(labels)} label maps with {len(chosen)} classes put in, the last one {written}")
    return None
