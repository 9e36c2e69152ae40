"""Compare a network with numbers of its original, and write the report that a reviewer of reproductions expects."""

from __future__ import annotations

import argparse

NEEDS_PADDLE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arch", nargs="?", metavar="ARCH",
        help="a network (FarSeg), one of its originals (seghz/hrnet_w48) or a pattern of them ('farseg/*')",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="show the originals there are numbers of")
    parser.add_argument(
        "--golden", metavar="DIR", help="folder of the numbers (default: $RSSEG_GOLDEN, else the clone's tests/golden)"
    )
    parser.add_argument("--save_dir", default="output/align", help="for the reports (default: %(default)s)")
    parser.add_argument(
        "--dtype", nargs="+", choices=("float64", "float32"), default=["float64"],
        help="one or both: float64 shows errors of 1e-9, float32 is the type of training (default: float64)",
    )  # fmt: skip
    parser.add_argument("--no_reprod_log", action="store_true", help="without the .npy files of reprod_log")


def run(args: argparse.Namespace) -> int | None:
    """Exit code 0: everything inside its tolerance; 1: something is not; 2: bad input."""
    from itertools import product
    from pathlib import Path

    import paddle

    from paddle_rsseg.alignment import STEPS, library, reprod
    from paddle_rsseg.alignment.report import Entry, verdict, write_report, write_results
    from paddle_rsseg.alignment.run import Mismatch, measure
    from paddle_rsseg.cli.results import check_directory
    from paddle_rsseg.errors import RssegError

    cases = library.golden_cases(library.golden_directory(args.golden))
    if args.list:
        for case in cases:
            print(f"{case.network:<14} {case.backbone:<22} {case.name:<36} {case.source}")
        return None
    if args.arch is None:
        raise RssegError("rsseg align", "no ARCH", "a network or one of its originals", "--list shows them")
    chosen = library.choose(cases, args.arch)
    check_directory(args.save_dir)
    paddle.set_device("cpu")  # double precision everywhere, and no atomics that change the last bits
    directory = Path(args.save_dir) / args.arch.replace("/", "-").replace("*", "all")
    entries = []
    for case, dtype in product(chosen, dict.fromkeys(args.dtype)):
        entry = Entry(case.name, dtype)
        print(f"{entry.title}: {case.source}", flush=True)
        try:
            entry.measured = measure(case.path, dtype)
        except Mismatch as error:
            entry.mismatch = str(error)
            print(f"✗ cannot be compared: {error}")
        else:
            if not args.no_reprod_log:
                place = directory / entry.title.replace("/", "-").replace(" ", "-") / "log_reprod"
                entry.checked = reprod.write(entry.measured, place)
            for deviation in entry.measured.deviations:
                print(f"  {deviation}")
        entries.append(entry)
        print("  " + ", ".join(f"{step} {verdict(entry.passed(step))}" for step in STEPS), flush=True)
    write_report(directory / "report.md", args.arch, entries)
    write_results(directory / "results.json", entries)
    failed = {entry.name for entry in entries if not entry.ok}
    print(f"{len(chosen) - len(failed)} of {len(chosen)} originals aligned, report in {directory / 'report.md'}")
    return 1 if failed else None
