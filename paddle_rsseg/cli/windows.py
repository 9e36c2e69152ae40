"""The options that say how an image is cut into windows and how often each is seen; val and predict have them."""

from __future__ import annotations

import argparse
from typing import Any

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.spec import POLICIES
from paddle_rsseg.windows import WEIGHTS


def add_window_arguments(how: argparse._ArgumentGroup, weights: str | None = None, aug: str = "--aug_eval") -> None:
    """Args:
    weights: default of ``--window_weights``; None: what the model or the settings say.
    aug: PaddleSeg's switch of test-time augmentation for this command.
    """
    how.add_argument("--crop_size", nargs=2, type=int, metavar=("WIDTH", "HEIGHT"), help="of a window, in pixels")
    how.add_argument("--stride", nargs=2, type=int, metavar=("X", "Y"), help="step of the window (default: 4/7 of it)")
    how.add_argument(
        "--policy", choices=POLICIES,
        help="how windows lie: one stride apart, or side by side with a margin around each, of --crop_size or of the "
        "size that suits the image best",
    )  # fmt: skip
    how.add_argument("--margin", type=int, metavar="PIXELS", help="seen around a window, but of no account there")
    how.add_argument("--average", choices=("probs", "logits"), help="what overlapping windows and views average")
    how.add_argument(
        "--pad", choices=("multiple", "window"), help="small windows: zeros up to a multiple of 32, or to a full window"
    )
    how.add_argument(
        "--window_weights", choices=WEIGHTS, default=weights,
        help="of the pixels of a window; all but uniform leave no seams" + (f" (default: {weights})" * bool(weights)),
    )  # fmt: skip
    how.add_argument(
        "--temperature", metavar="T",
        help="of the probabilities, p^(1/T): a number, or the file that 'rsseg val --calibrate' wrote; the map does "
        "not depend on it",
    )  # fmt: skip
    how.add_argument(
        "--views", nargs="+", metavar="VIEW",
        help="average over these views: identity, lr, tb, lrtb, diag, diag2, rot90, rot180, rot270",
    )  # fmt: skip
    how.add_argument("--scales", nargs="+", type=float, metavar="FACTOR", help="average over these sizes of a window")
    how.add_argument(aug, dest="augment", action="store_true", help="PaddleSeg's: the scales and these flips")
    how.set_defaults(switch=aug)
    how.add_argument("--flip_horizontal", action="store_true", help="with it: the mirror image too")
    how.add_argument("--flip_vertical", action="store_true", help="with it: the image upside down too")


def window_changes(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of the inference description that the command line overrides; sizes turn from (w, h) to (h, w)."""
    from paddle_rsseg.inference.temperature import read_temperature

    crop = args.crop_size
    stride = args.stride or (crop and [max(1, side * 4 // 7) for side in crop])
    for name, size in (("--crop_size", crop), ("--stride", stride)):
        if size is not None and min(size) < 1:
            raise RssegError(name, " ".join(map(str, size)), "a width and a height of at least 1")
    return {
        "window": tuple(crop[::-1]) if crop else None,
        "stride": tuple(stride[::-1]) if stride else None,
        "policy": args.policy,
        "margin": args.margin,
        "average": args.average,
        "pad": args.pad,
        "blend": args.window_weights,
        "temperature": None if args.temperature is None else read_temperature(args.temperature),
        "views": _views(args),
        "scales": tuple(args.scales) if args.scales else None,
    }


def _views(args: argparse.Namespace) -> tuple[str, ...] | None:
    flips = [name for name in ("flip_horizontal", "flip_vertical") if getattr(args, name)]
    if args.views is not None:
        if flips or args.augment:
            raise RssegError("--views", f"beside {f'--{flips[0]}' if flips else args.switch}", "one of them")
        return tuple(args.views)
    if flips and not args.augment:
        raise RssegError(f"--{flips[0]}", f"without {args.switch}", fix="add it, or use --views")
    if not args.augment:
        return None
    names = ["identity", *({"flip_horizontal": "lr", "flip_vertical": "tb"}[name] for name in flips)]
    return tuple([*names, "lrtb"] if len(flips) == 2 else names)
