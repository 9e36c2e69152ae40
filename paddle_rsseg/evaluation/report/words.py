"""Names and numbers as the report writes them."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from paddle_rsseg.evaluation.result import Evaluation

OVERALL = ("mIoU", "mIoU_present", "fwIoU", "Acc", "mAcc", "Kappa", "Dice")
PER_CLASS = ("IoU", "precision", "recall", "F1")
TITLES = {
    "mIoU_present": "mIoU of present classes",
    "fwIoU": "frequency-weighted IoU",
    "Acc": "pixel accuracy",
    "mAcc": "mean class accuracy",
}


def class_names(result: Evaluation) -> list[str]:
    """One name a class, "class k" where the data set has none."""
    return [result.classes[k] if k < len(result.classes) else f"class {k}" for k in range(len(result.matrix))]


def class_colours(result: Evaluation) -> list[tuple[int, int, int]]:
    """One colour a class, grey where the data set has none."""
    return [result.palette[k] if k < len(result.palette) else (128, 128, 128) for k in range(len(result.matrix))]


def percent(value: float, digits: int = 2) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.{digits}f}"


def interval(ends: Sequence[float] | None) -> str:
    """``61.2 … 66.0`` in percent; "–" where there is none."""
    return "–" if ends is None or math.isnan(ends[0]) else f"{percent(ends[0], 1)} … {percent(ends[1], 1)}"


def how_sure(result: Evaluation) -> str:
    """What the intervals are, or why there are none."""
    found = result.intervals
    if found is None:
        what = result.unit if len(result.scenes) > 1 else "scene"
        return (
            f"No confidence interval: one {what.removesuffix('s')} with labels says nothing about others. "
            "With --blocks there is one over blocks of it."
        )
    said = (
        f"Intervals: {100 * found.level:g} %, percentile bootstrap, {found.resamples:,} resamples of the "
        f"{found.units:,} {found.unit}."
    )
    if result.measures.block is not None:
        said += " Neighbouring blocks are alike: for other scenes they are too narrow."
    return said


def none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def bins(result: Evaluation) -> list[str]:
    """One name a size bin, such as ``64 to 1,024``."""
    edges = [f"{edge:,g}" for edge in result.measures.sizes or ()]
    return [f"below {edges[0]}", *(f"{a} to {b}" for a, b in pairwise(edges)), f"from {edges[-1]}"]


def unit(result: Evaluation) -> str:
    """Of the sizes of objects."""
    return "m²" if result.measures.size_unit == "m2" else "pixels"


def rims(result: Evaluation) -> str:
    """``25 pixels``, or ``12 to 25 pixels``."""
    low, high = result.rims
    return f"{low} pixel{'s' * (low > 1)}" if low == high else f"{low} to {high} pixels"


def swatch(colour: tuple[int, int, int]) -> str:
    return f'<i class="swatch" style="background:rgb({colour[0]},{colour[1]},{colour[2]})"></i>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str) -> str:
    """An HTML table; the cells are HTML, the first of a row is its heading."""
    top = "".join(f"<th>{name}</th>" for name in head)
    body = "".join(f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows)
    return f'<div class="wide"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def escape(value: Any) -> str:
    return html.escape(str(value))
