"""Make polygons of label maps: GeoPackage, GeoJSON or FlatGeobuf, with class, area and confidence."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

#: as in ``geo.vectorfile`` and ``geo.vectorize``, which are not imported for ``--help``
FORMATS = ("gpkg", "geojson", "fgb")
SMALL = ("drop", "merge")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("maps", metavar="MAPS", help="a label map, as 'predict' writes it, or a directory of them")
    parser.add_argument(
        "-o", "--output", metavar="PATH",
        help="the file, or a directory for the files of several maps (default: beside each map, NAME_polygons.gpkg)",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=FORMATS, help="where --output is no file (default: gpkg); geojson is in WGS84"
    )
    parser.add_argument(
        "--min_area", type=float, default=0.0, metavar="M2",
        help="smallest area of a region in m², of a map without CRS in pixels (default: all regions)",
    )  # fmt: skip
    parser.add_argument(
        "--small", choices=SMALL, default="drop",
        help="drop: leave smaller regions out; merge: into the class they have the longest border with",
    )  # fmt: skip
    parser.add_argument(
        "--simplify", type=float, default=0.0, metavar="M",
        help="simplify borders, the same for both neighbours: corners go whose triangle has less area than M times M "
        "metres; 1 to 2 pixels make staircases straight",
    )  # fmt: skip
    parser.add_argument(
        "--fill_holes", type=int, default=0, metavar="PIXELS",
        help="first fill holes in each class, in the order of the classes, that have fewer pixels (NAIC_AI-RS: 50)",
    )  # fmt: skip
    parser.add_argument(
        "--confidence", metavar="PATH",
        help="NAME_confidence.tif of 'predict --products confidence', or a directory of them; polygons get the mean",
    )  # fmt: skip
    parser.add_argument(
        "--classes", nargs="+", metavar="CLASS", help="names or numbers of the classes to write (default: all)"
    )


def run(args: argparse.Namespace) -> int | None:
    import sys

    from paddle_rsseg.cli.progress import progress_bar
    from paddle_rsseg.cli.results import check_directory
    from paddle_rsseg.data.files import remove_parts
    from paddle_rsseg.errors import RssegError
    from paddle_rsseg.geo.vectorfile import need_vector_packages
    from paddle_rsseg.geo.vectorize import choose_classes, vectorize
    from paddle_rsseg.geo.writer import read_legend
    from paddle_rsseg.inference.images import find_images

    need_vector_packages()
    maps = find_images(Path(args.maps), Path(args.maps) / ".rsseg", "MAPS")
    if Path(args.maps).is_dir():  # a directory of 'predict' has other results beside the label maps
        maps = [(path, name) for path, name in maps if name.endswith("_label")] or maps
    wanted = [(path, *_places(args, path, name.removesuffix("_label"), len(maps) > 1)) for path, name in maps]
    for directory in {str(output.parent) for _, output, _ in wanted}:
        check_directory(directory, "--output")
    failed = 0
    with progress_bar("label maps") as progress:
        for i, (path, output, confidence) in enumerate(wanted):
            try:
                classes = choose_classes(args.classes, read_legend(path)) if args.classes else None
                count = vectorize(
                    path, output, args.min_area, args.small, args.simplify, confidence, classes, args.fill_holes,
                    partial(_share, progress, i, len(wanted)),
                )  # fmt: skip
                remove_parts(output)
                print(f"  {output}: {count} polygons")
            except RssegError as error:
                failed += 1
                print(f"error: {error}", file=sys.stderr)
    if len(wanted) > 1:
        print(f"{len(wanted) - failed} of {len(wanted)} label maps made into polygons")
    return 2 if failed else None


def _share(progress: Callable[[float, float], None], done: int, total: int, rows: int, height: int) -> None:
    progress(done + rows / height, total)


def _places(args: argparse.Namespace, path: Path, name: str, several: bool) -> tuple[Path, Path | None]:
    """Where the polygons of a map go, and where its confidence is."""
    from paddle_rsseg.errors import RssegError

    file_name = f"{name}_polygons.{args.format or 'gpkg'}"
    if args.output is None:
        output = path.parent / Path(file_name).name
    elif Path(args.output).suffix and not several and not Path(args.output).is_dir():
        output = Path(args.output)
        if args.format not in (None, output.suffix.lower()[1:]):
            raise RssegError(f"--output {output}", f"with --format {args.format}", "one of them")
    else:
        output = Path(args.output) / file_name
        if several and Path(args.output).suffix.lower()[1:] in FORMATS:
            raise RssegError(f"--output {args.output}", "one file for several maps", "a directory")
    if args.confidence is None:
        return output, None
    confidence = Path(args.confidence)
    if confidence.is_dir():
        confidence /= f"{name}_confidence.tif"
        if not confidence.is_file():
            raise RssegError(f"--confidence {args.confidence}", f"no {name}_confidence.tif", "one for every map")
    elif several:
        raise RssegError(f"--confidence {confidence}", "one file for several maps", "a directory")
    return output, confidence
