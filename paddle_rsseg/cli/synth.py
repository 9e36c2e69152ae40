"""Render aerial scenes with exact labels: a data set that needs no download."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", nargs="?", help="directory to write; may be left out with --preview")
    parser.add_argument(
        "--legend", choices=("isaid", "landcover"), default="isaid",
        help="iSAID's 16 classes (default), or building, land, road, vegetation, water",
    )  # fmt: skip
    parser.add_argument("--scenes", type=int, default=12, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(1024, 1024), metavar=("H", "W"), help="pixels (default: 1024 1024)"
    )
    parser.add_argument(
        "--bands", type=int, default=3, metavar="1..12",
        help="1: panchromatic; else red, green, blue, near infrared, … (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", choices=("uint8", "uint16"), default="uint8",
        help="uint8: tones as on a screen (default); uint16: reflectance × 10,000",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the same seed gives the same files")
    parser.add_argument(
        "--gsd",
        type=float,
        metavar="M",
        help="metres a pixel; default: drawn per scene, 0.3 to 0.5 or what shows 300 m",
    )
    parser.add_argument(
        "--georeferenced", action=argparse.BooleanOptionalAction, default=False,
        help="write GeoTIFF in UTM zone 40 north (default: PNG where 1 or 3 bands allow it)",
    )  # fmt: skip
    parser.add_argument(
        "--nodata", type=float, default=0.0, metavar="COLLAR",
        help="slanted border without data (0 in the image, 255 in the label), its width as share of the side",
    )  # fmt: skip
    parser.add_argument(
        "--label_noise", type=float, default=0.0, metavar="P",
        help="share of things with a wrong label, and borders drawn as carelessly",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=("lists", "folders", "zips"), default="lists",
        help="PaddleSeg's list files (default), image and colour mask folders, or archives like iSAID's",
    )  # fmt: skip
    parser.add_argument(
        "--val_fraction",
        type=float,
        default=0.25,
        metavar="F",
        help="share of scenes for validation (default: %(default)s)",
    )
    parser.add_argument(
        "--colors", choices=("kit", "ref"), default="kit",
        help="iSAID's colours in --format zips: the devkit's (default) or the FarSeg release's",
    )  # fmt: skip
    parser.add_argument(
        "--preview", metavar="FILE.png", help="also write a contact sheet of three scenes and their labels"
    )
    parser.add_argument(
        "--num_workers", type=int, metavar="N", help="processes (default: one per CPU; 0: none but this one)"
    )


def run(args: argparse.Namespace) -> int | None:
    from rich.console import Console

    from paddle_rsseg.data.synth import DatasetOptions, write_dataset, write_preview
    from paddle_rsseg.errors import RssegError

    if not args.out and not args.preview:
        raise RssegError("synth", "neither OUT nor --preview", "where to write")
    options = DatasetOptions(
        scenes=args.scenes, height=args.size[0], width=args.size[1], legend=args.legend, bands=args.bands,
        dtype=args.dtype, seed=args.seed, gsd=args.gsd, georeferenced=args.georeferenced, collar=args.nodata,
        label_noise=args.label_noise, format=args.format, val_fraction=args.val_fraction, colors=args.colors,
    )  # fmt: skip
    if args.preview:
        write_preview(args.preview, options)
        print(f"preview: {args.preview}")
    if not args.out:
        return None
    console = Console(stderr=True)
    counts = write_dataset(args.out, options, args.num_workers, console if console.is_terminal else None)
    total = max(1, sum(counts.values()))
    shares = ", ".join(f"{name} {100 * n / total:.2g} %" for name, n in counts.items())
    train = options.scenes - options.validation
    print(f"{args.out}: {train} scenes for training, {options.validation} for validation,", end=" ")
    print(f"{args.size[0]}×{args.size[1]} pixels, {args.bands} band{'s' if args.bands > 1 else ''}")
    print(f"pixels: {shares}")
    missing = [name for name, n in counts.items() if n == 0]
    if missing:
        print(f"no pixel of: {', '.join(missing)} (more or larger scenes show more)")
    return None
