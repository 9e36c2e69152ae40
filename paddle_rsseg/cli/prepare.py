"""Turn a downloaded data set into the tree that training reads (iSAID)."""

from __future__ import annotations

import argparse

ISAID_HELP = """
iSAID: <root>/{train,val}/images/part*.zip and <root>/{train,val}/Semantic_masks/images.zip, as downloaded, become
  img_dir/{train,val}/P0003_0_896_0_896.png          patches (name_y0_y1_x0_x1)
  ann_dir/{train,val}/…_instance_color_RGB.png       their labels, 0-15 and 255
  valid_dir/{images,labels}                          the whole validation images and labels
  train_list.txt val_list.txt valid_dir/val_list.txt labels.txt prepare.json
Nothing is unpacked. A run that was interrupted continues when the same command is given again.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="DATASET")
    isaid = datasets.add_parser(
        "isaid", help="iSAID's zips → patches", description=ISAID_HELP, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    isaid.set_defaults(parser=isaid)
    isaid.add_argument("root", help="directory with train/ and val/ as downloaded (or unzipped)")
    isaid.add_argument("-o", "--out_dir", default="iSAID", help="directory to write (default: iSAID)")
    isaid.add_argument("--patch_width", type=int, default=896, help="pixels (default: 896)")
    isaid.add_argument("--patch_height", type=int, default=896, help="pixels (default: 896)")
    isaid.add_argument("--overlap_area", type=int, default=384, help="pixels shared by neighbours (default: 384)")
    isaid.add_argument(
        "--colors", choices=("kit", "ref"), default="kit",
        help="colour order: the devkit's (default), or the official FarSeg release's, which exchanges storage tank "
        "and roundabout",
    )  # fmt: skip
    isaid.add_argument(
        "--unknown_label", type=int, choices=(255, 0), default=255,
        help="label of pixels whose colour is no class's: 255, ignored (default), or 0, background, as other tools do "
        "without saying so; they are counted and listed either way",
    )  # fmt: skip
    isaid.add_argument("--num_workers", type=int, help="processes (default: one per CPU; 0: none but this one)")
    isaid.add_argument("--overwrite", action="store_true", help="delete what another run left in the output directory")
    isaid.add_argument("--tmp_dir", help="ignored: nothing is unpacked")


def run(args: argparse.Namespace) -> int | None:
    from rich.console import Console

    from paddle_rsseg.data.prepare.isaid import prepare_isaid
    from paddle_rsseg.data.prepare.isaid_cut import Options

    console = Console(stderr=True)
    if args.tmp_dir is not None:
        console.print("--tmp_dir is not needed: the archives are read without unpacking them", highlight=False)
    options = Options(args.patch_height, args.patch_width, args.overlap_area, args.colors, args.unknown_label)
    try:
        prepare_isaid(args.root, args.out_dir, options, args.num_workers, args.overwrite, console)
    except KeyboardInterrupt:
        console.print("interrupted; the same command continues", highlight=False)
        return 130
    return None
