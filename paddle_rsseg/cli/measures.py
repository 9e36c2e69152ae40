"""The options of val that ask for more than the confusion matrix. Not a verb."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from paddle_rsseg.errors import RssegError

#: evaluation.boundary.RATIO, written out so that --help need not import what computes
RIM = 0.02


def add_measure_arguments(what: argparse._ArgumentGroup) -> None:
    what.add_argument(
        "--protocols", nargs="+", choices=("stitched", "slide", "patch"), metavar="NAME",
        help="one or several: stitched (whole scenes, each pixel once), slide (each image by windows), patch (each "
        "patch by itself); the first gets the measures and pictures",
    )  # fmt: skip
    what.add_argument(
        "--boundary", nargs="?", type=float, const=RIM, metavar="WIDTH",
        help="boundary IoU; of rims of so many pixels, or of this share of the window's diagonal (default: 0.02)",
    )  # fmt: skip
    what.add_argument(
        "--sizes", nargs="*", type=float, metavar="AREA",
        help="scores by the size of objects; the areas at which bins begin (default: 64 1024 9216)",
    )  # fmt: skip
    what.add_argument("--size_unit", choices=("px", "m2"), default="px", help="of --sizes (default: %(default)s)")
    what.add_argument(
        "--calibrate", nargs="?", const="", metavar="FILE",
        help="fit a temperature and say how good probabilities are; it is written to FILE (default: temperature.yml "
        "in --save_dir), for predict and export",
    )  # fmt: skip
    what.add_argument(
        "--precision", type=float, default=0.9, metavar="P",
        help="with --calibrate: the least confidence a class needs for this precision (default: %(default)s)",
    )  # fmt: skip
    what.add_argument(
        "--blocks", nargs="?", type=int, const=512, metavar="SIDE",
        help="confidence intervals over blocks of this side in pixels (default: 512), for a single scene; else they "
        "are over scenes",
    )  # fmt: skip
    what.add_argument(
        "--class_frequencies", nargs="+", type=float, metavar="F",
        help="one a class: adds Σ F·IoU, the frequency-weighted IoU with given frequencies",
    )  # fmt: skip
    what.add_argument("--full", action="store_true", help="--boundary, --sizes and --calibrate")


def measures_of(args: argparse.Namespace) -> Any:
    """The :class:`paddle_rsseg.evaluation.Measures` that the command line asks for.

    Raises:
        RssegError: a value out of range, or options that make no sense without others.
    """
    from paddle_rsseg.evaluation.calibration import PIXELS
    from paddle_rsseg.evaluation.measures import Measures
    from paddle_rsseg.evaluation.objects import EDGES

    calibrate, boundary, sizes = args.calibrate, args.boundary, args.sizes
    if args.full:
        boundary = RIM if boundary is None else boundary
        sizes = [] if sizes is None else sizes
        calibrate = "" if calibrate is None else calibrate
    if args.size_unit != "px" and not sizes:
        raise RssegError("--size_unit", "m2 without areas", fix="give --sizes in m², such as --sizes 10 100 1000")
    return Measures(
        boundary=boundary,
        sizes=None if sizes is None else tuple(sizes) or EDGES,
        size_unit=args.size_unit,
        calibration=0 if calibrate is None else PIXELS,
        precision=args.precision,
        block=args.blocks,
        frequencies=tuple(args.class_frequencies) if args.class_frequencies else None,
    )


def temperature_path(args: argparse.Namespace) -> Path | None:
    """Where the fitted temperature is to be written; None: nowhere.

    Raises:
        RssegError: nothing says where.
    """
    if args.calibrate:
        return Path(args.calibrate)
    if args.save_dir and (args.calibrate is not None or args.full):
        return Path(args.save_dir) / "temperature.yml"
    if args.calibrate is not None:
        raise RssegError("--calibrate", "no place for the temperature", "a file name, or --save_dir")
    return None
