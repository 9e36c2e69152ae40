"""The scores in a terminal."""

from __future__ import annotations

import math

from paddle_rsseg.evaluation.report.words import (
    OVERALL,
    PER_CLASS,
    bins,
    class_colours,
    class_names,
    how_sure,
    interval,
    percent,
    rims,
    unit,
)
from paddle_rsseg.evaluation.result import Evaluation


def print_table(result: Evaluation) -> None:
    """One row a class, in percent, then overall scores, then what else was measured."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, scores, sure, rim = Console(), result.scores, result.intervals, result.boundary
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", no_wrap=True)
    for name in PER_CLASS:
        table.add_column(name, justify="right")
    if rim is not None:
        table.add_column("boundary", justify="right")
    table.add_column("share", justify="right")
    if sure is not None:
        table.add_column(f"{100 * sure.level:g} % of IoU", justify="right", no_wrap=True)
    for k, (name, colour) in enumerate(zip(class_names(result), class_colours(result), strict=True)):
        swatch = Text("■ ", f"rgb({colour[0]},{colour[1]},{colour[2]})") + Text(name, "default")
        cells = [percent(scores[n][k]) for n in PER_CLASS]
        if rim is not None:
            cells.append(percent(rim["IoU"][k]))
        cells.append(percent(scores["truth"][k] / scores["pixels"] if scores["pixels"] else math.nan))
        if sure is not None:
            cells.append(interval(sure.IoU[k]))
        table.add_row(swatch, *cells)
    console.print(table)
    console.print("  ".join(f"[bold]{name}[/] {percent(scores[name])}" for name in OVERALL), highlight=False)
    lines = [f"mIoU {interval(sure.mIoU)}. {how_sure(result)}" if sure is not None else how_sure(result)]
    if result.prior_iou is not None:
        lines.append(f"frequency-weighted IoU with the given frequencies {percent(result.prior_iou)}")
    if rim is not None:
        lines.append(f"boundary mIoU {percent(rim['mIoU'])} (rim of {rims(result)})")
    if result.objects is not None:
        lines.append(_sizes(result))
    for other in result.beside:
        line = f"protocol {other.info['protocol']}: mIoU {percent(other.scores['mIoU'])}"
        lines.append(f"{line}, Acc {percent(other.scores['Acc'])} ({len(other.images):,} images)")
    if result.calibration is not None:
        fit = result.calibration
        lines.append(
            f"temperature {fit.fitted:.3f}: calibration error {percent(fit.before.ece)} → {percent(fit.after.ece)}, "
            f"NLL {fit.before.nll:.4f} → {fit.after.nll:.4f} ({fit.pixels:,} of {fit.seen:,} pixels)"
        )
        if fit.at_limit:
            lines.append("the pixels do not determine the temperature: it lies at the end of its range")
    for line in lines:
        console.print(line, highlight=False, markup=False)


def _sizes(result: Evaluation) -> str:
    """Objects found by size, all classes together."""
    counts = sum((image.objects.truth for image in result.images if image.objects is not None), 0)
    objects, found = counts[..., 0].sum(1), counts[..., 3].sum(1)  # type: ignore[index]
    parts = (
        f"{name}: {percent(hits / number if number else math.nan, 1)} of {number:,}"
        for name, hits, number in zip(bins(result), found.tolist(), objects.tolist(), strict=True)
    )
    return f"objects found, by area in {unit(result)}: " + ", ".join(parts)
