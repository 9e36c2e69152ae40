"""Public weights: list the known ones, show a file, convert it, verify it against PyTorch."""

from __future__ import annotations

import argparse

FOLDER = "folder of downloaded weights (default: $RSSEG_WEIGHTS, else ~/.cache/paddle_rsseg/weights)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from paddle_rsseg.cli import convert

    verbs = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = verbs.add_parser("list", help="known public weights", allow_abbrev=False)
    listing.add_argument("--arch", metavar="TEXT", help="only those whose network or name contains this, in any case")
    show = verbs.add_parser("show", help="a row of the table, or what a local file holds", allow_abbrev=False)
    show.add_argument("what", metavar="NAME|FILE")
    conversion = verbs.add_parser(
        "convert", help="write a file of this project, with its model and pre-processing inside", allow_abbrev=False
    )
    convert.add_arguments(conversion)
    check = verbs.add_parser(
        "verify", help="run ours and the network of torchvision, timm or segmentation_models_pytorch",
        allow_abbrev=False,
    )  # fmt: skip
    check.add_argument("what", metavar="NAME|FILE", help="the original file, not a converted one")
    check.add_argument("--arch", help="network, for example ResNet50; default: what the table says")
    check.add_argument("--layout", metavar="NAME", help="where a file may be of two layouts")
    for command in (show, check):
        command.add_argument("--weights_dir", metavar="DIR", help=FOLDER)


def run(args: argparse.Namespace) -> int | None:
    return {"list": listed, "show": show, "convert": convert, "verify": verify}[args.action](args)


def listed(args: argparse.Namespace) -> int | None:
    from paddle_rsseg.errors import RssegError
    from paddle_rsseg.weights.store import weights_folder
    from paddle_rsseg.weights.table import entries

    text = (args.arch or "").lower()
    rows = [entry for entry in entries().values() if text in entry.architecture_text.lower() or text in entry.name]
    if not rows:
        raise RssegError("--arch", f"no known weights contain {args.arch!r}", fix="'rsseg weights list' shows all")
    wide = max(len(entry.name) for entry in rows)
    for entry in rows:
        there = "*" if (weights_folder() / entry.file).is_file() else " "
        print(f"{there} {entry.name:<{wide}}  {entry.architecture_text:<34} {entry.dataset}; {entry.origin}")
    print(f"\n{len(rows)} known; * is in {weights_folder()}")
    return None


def show(args: argparse.Namespace) -> int | None:
    from pathlib import Path

    from paddle_rsseg.weights.layout import candidates, framework_of, without_wrapper
    from paddle_rsseg.weights.native import FORMAT, find_weights, read_weights, written_by
    from paddle_rsseg.weights.store import is_name, weights_folder
    from paddle_rsseg.weights.table import entry

    if not Path(args.what).exists() and is_name(args.what):
        row = entry(args.what)
        target = Path(args.weights_dir or weights_folder()) / row.file
        facts = {
            "network": row.architecture_text, "holds": "a whole model" if row.model else "an encoder",
            "trained on": f"{row.dataset}, {row.classes} classes", "note": row.note,
            "origin": f"{row.origin}, {row.page}", "licence": row.licence, "scheme of names": row.scheme,
            "bands": ", ".join(row.bands), "mean": str(row.mean), "std": str(row.std), "address": row.url,
            "sha256": f"{row.sha256}…" if row.sha256 else "not published",
            "local file": f"{target} ({'there' if target.is_file() else 'not there'})",
        }  # fmt: skip
        print(row.name)
        for key, value in facts.items():
            if value:
                print(f"  {key:<16} {value}")
        return None
    path = find_weights(args.what)
    weights, metadata = read_weights(path)
    bare = without_wrapper(weights)
    framework = framework_of(bare.values(), written_by(path, metadata))
    own = metadata.get("format") == FORMAT
    layouts = ["our own format"] if own else [layout.name for layout in candidates(bare.values(), framework)]
    print(path)
    print(f"  layout           {layouts[0]}" + (f" (or {', '.join(layouts[1:-1])})" if layouts[1:-1] else ""))
    print(f"  orientation      {'PyTorch' if framework == 'torch' else 'Paddle'} (of linear layers)")
    count = sum(array.size for array in weights.values())
    print(f"  holds            {len(weights)} tensors, {count / 1e6:.2f} million numbers")
    for key in ("model", "backbone", "source"):
        if key in metadata:
            print(f"  {key:<16} {metadata[key]}")
    for name, array in weights.items():
        print(f"    {name:<64} {'×'.join(map(str, array.shape)) or 'scalar':<18} {array.dtype}")
    return None


def convert(args: argparse.Namespace) -> int | None:
    from paddle_rsseg import runtime
    from paddle_rsseg.cli import convert

    runtime.quiet_paddle()
    return convert.run(args)


def verify(args: argparse.Namespace) -> int | None:
    from paddle_rsseg import runtime
    from paddle_rsseg.cli.progress import progress_bar
    from paddle_rsseg.weights.store import locate
    from paddle_rsseg.weights.verify import verify

    runtime.quiet_paddle()
    with progress_bar(f"downloading {args.what}") as update:
        locate(args.what, args.weights_dir, lambda done, total: update(done, total or 0))
    result = verify(args.what, args.arch, args.layout, args.weights_dir)
    print("\n".join(result.lines()))
    return 0 if result.same else 1
