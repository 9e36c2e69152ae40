"""Download a data set that is free to use (get), or list what can be downloaded (list)."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    get = verbs.add_parser(
        "get", help="download a data set, check every file, continue what was interrupted", allow_abbrev=False
    )
    get.set_defaults(parser=get)
    get.add_argument("name", metavar="NAME", help="for example dubai; see 'rsseg data list'")
    get.add_argument("--to", metavar="DIR", help="directory to write (default: data/NAME)")
    get.add_argument(
        "--source", action="append", metavar="URL", help="take the files from below this address; may be given again"
    )
    get.add_argument(
        "--num_workers", type=int, default=4, metavar="N", help="files under way at once (default: %(default)s)"
    )
    listing = verbs.add_parser("list", help="what can be downloaded", allow_abbrev=False)
    listing.set_defaults(parser=listing)


def run(args: argparse.Namespace) -> int | None:
    from paddle_rsseg.cli.progress import progress_bar
    from paddle_rsseg.data.download import download, load_table, table_names

    if args.action == "list":
        for name in table_names():
            table = load_table(name)
            print(f"{name}\n  {table.title}\n  {len(table.files)} files, {table.size / 1e6:.1f} MB; {table.licence}")
            print(f"  {table.page}")
        return None
    table = load_table(args.name)
    to = args.to or f"data/{table.name}"
    print(f"{table.title}\nlicence: {table.licence}\ncitation: {table.citation}\n{table.page}")
    with progress_bar(f"downloading {table.name}") as update:
        report = download(table, to, args.source, max(1, args.num_workers), update)
    print(f"{to}: {len(report.fetched)} files downloaded, {len(report.kept)} were already right")
    return None
