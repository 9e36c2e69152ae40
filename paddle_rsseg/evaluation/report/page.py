"""The page: styles inside, pictures as data, no script, no link to anywhere."""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any

from paddle_rsseg.evaluation.calibration import Calibration, Quality
from paddle_rsseg.evaluation.gallery import Example
from paddle_rsseg.evaluation.report import charts
from paddle_rsseg.evaluation.report.words import (
    OVERALL,
    PER_CLASS,
    TITLES,
    bins,
    class_colours,
    class_names,
    escape,
    how_sure,
    interval,
    percent,
    rims,
    swatch,
    table,
    unit,
)
from paddle_rsseg.evaluation.result import Evaluation

STYLE = Path(__file__).with_name("report.css")
#: rows of the table of scenes; the others are in scenes.csv
SCENES = 200


def as_html(result: Evaluation, title: str) -> str:
    """The page as one string."""
    parts = [
        f"<h1>{escape(title)}</h1>",
        _tiles(result),
        f"<p>{escape(how_sure(result))}</p>",
        *(_protocols(result) if result.beside else []),
        *_classes(result),
        *_confusion(result),
        *(_sizes(result) if result.objects is not None else []),
        *(_calibration(result, result.calibration) if result.calibration is not None else []),
        *(_scenes(result) if len(result.scenes) > 1 else []),
        *(_pictures(result) if result.worst or result.best else []),
        "<h2>How</h2>",
        _facts(result),
    ]
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style></head>",
        "<body><main>",
        *parts,
        "</main></body></html>",
    ]
    return "\n".join(lines) + "\n"


def _tiles(result: Evaluation) -> str:
    sure = result.intervals
    cells = [
        (percent(result.scores[name]), TITLES.get(name, name), interval(getattr(sure, name, None))) for name in OVERALL
    ]
    if result.prior_iou is not None:
        cells.append((percent(result.prior_iou), "fwIoU, given frequencies", "–"))
    if result.boundary is not None:
        cells.append((percent(result.boundary["mIoU"]), "boundary mIoU", "–"))
    if result.calibration is not None:
        cells.append((percent(result.calibration.before.ece), "calibration error", "–"))
    tiles = (
        f"<div><b>{value}</b><span>{name}</span>{f'<em>{ends}</em>' if ends != '–' else ''}</div>"
        for value, name, ends in cells
    )
    return f'<section class="tiles">{"".join(tiles)}</section>'


def _protocols(result: Evaluation) -> list[str]:
    every = [result, *result.beside]
    head = ["", *(escape(one.info["protocol"]) for one in every)]
    rows = [
        ["images", *(f"{len(one.images):,}" for one in every)],
        ["pixels counted", *(f"{one.scores['pixels']:,}" for one in every)],
        *([TITLES.get(name, name), *(percent(one.scores[name]) for one in every)] for name in OVERALL),
        *(
            [f"IoU of {swatch(colour)}{escape(name)}", *(percent(one.scores["IoU"][k]) for one in every)]
            for k, (name, colour) in enumerate(zip(class_names(result), class_colours(result), strict=True))
        ),
    ]
    said = (
        "The same model, scored by each protocol. Stitched and slide count a pixel once; patch counts it in every "
        "patch that holds it, seen with what context that patch has. Everything below is of the first one."
    )
    return ["<h2>Protocols</h2>", f"<p>{said}</p>", table(head, rows, "plain")]


def _classes(result: Evaluation) -> list[str]:
    scores, sure, rim = result.scores, result.intervals, result.boundary
    rows = []
    for k, (name, colour) in enumerate(zip(class_names(result), class_colours(result), strict=True)):
        ends = None if sure is None else sure.IoU[k]
        cells = [f"{swatch(colour)}{escape(name)}", _bar(scores["IoU"][k], ends)]
        cells += [percent(scores[key][k]) for key in PER_CLASS[1:]]
        if rim is not None:
            cells.append(percent(rim["IoU"][k]))
        cells.append(percent(scores["truth"][k] / scores["pixels"] if scores["pixels"] else math.nan))
        rows.append(cells)
    head = ["class", *PER_CLASS, *(["boundary IoU"] if rim is not None else []), "share of truth"]
    said = "In percent; recall is also called class accuracy."
    if rim is not None:
        said += f" The boundary IoU compares the rims of the classes' regions, {rims(result)} wide."
    entropy = f"Entropy of the shares of truth: {scores['entropy']:.3f} of {math.log(len(result.matrix)):.3f} nats."
    return [
        "<h2>Classes</h2>",
        f"<p>{said}</p>",
        table(head, rows, "classes"),
        '<div class="pair">',
        f"<div><h3>Accuracy and IoU, in %</h3>{charts.accuracy_bars(result)}</div>",
        f"<div><h3>Class frequencies, in %</h3>{charts.frequency_bars(result)}<p>{entropy}</p></div>",
        "</div>",
    ]


def _bar(value: float, ends: tuple[float, float] | None) -> str:
    """A bar with its number, and its interval as a line across."""
    width = 0 if math.isnan(value) else 100 * value
    line = ""
    if ends is not None and not math.isnan(ends[0]):
        line = (
            f'<s title="{interval(ends)}" style="left:{100 * ends[0]:.1f}%;width:{100 * (ends[1] - ends[0]):.1f}%"></s>'
        )
    return (
        f'<div class="iou"><div class="bar"><i style="width:{width:.1f}%"></i>{line}</div><b>{percent(value)}</b></div>'
    )


def _confusion(result: Evaluation) -> list[str]:
    said = (
        "Each row is one true class; a cell is the share of its pixels, in percent, that were given the class of the "
        "column. Hover over a cell for the number of pixels."
    )
    return ["<h2>Confusion</h2>", f"<p>{said}</p>", charts.confusion(result)]


def _sizes(result: Evaluation) -> list[str]:
    found = result.objects
    assert found is not None
    rows = []
    for k, (name, colour) in enumerate(zip(class_names(result), class_colours(result), strict=True)):
        cells = [f"{swatch(colour)}{escape(name)}"]
        for b in range(len(bins(result))):
            objects, called = found["objects"][b][k], found["predicted"][b][k]
            lines = ["–"]
            if objects:
                lines = [f"<b>{percent(found['IoU'][b][k], 1)}</b>",
                         f"{percent(found['found'][b][k], 0)} % of {objects:,} found",
                         f"recall {percent(found['recall'][b][k], 1)}"]  # fmt: skip
            if called:
                lines.append(f"{percent(found['false'][b][k], 0)} % of {called:,} false")
            cells.append("<br>".join(lines))
        rows.append(cells)
    said = (
        "Objects are connected regions of one class in the truth, by their area. In bold their mean IoU, with the "
        "predicted regions that touch them; found: with an IoU of at least one half; recall: of their pixels; false: "
        "predicted regions of that area without one right pixel. A region is cut where an image or its labels end."
    )
    head = ["class", *(f"{name} {unit(result)}" for name in bins(result))]
    return ["<h2>Sizes</h2>", f"<p>{said}</p>", table(head, rows, "sizes")]


def _calibration(result: Evaluation, fit: Calibration) -> list[str]:
    columns = [(f"before (T = {fit.used:.3g})", fit.before), (f"after (T = {fit.fitted:.3f})", fit.after)]
    if fit.held_out is not None and fit.halves is not None:
        columns.append(("held out (T = {:.3f}, {:.3f})".format(*fit.halves), fit.held_out))

    def row(name: str, value: Any) -> list[str]:
        return [name, *(value(found) for _, found in columns)]

    def nats(found: Quality) -> str:
        return f"{found.nll:.4f}"

    numbers = [
        row("expected calibration error, %", lambda found: percent(found.ece)),
        row("largest calibration error, %", lambda found: percent(found.mce)),
        row("negative log-likelihood, nats", nats),
        row("Brier score", lambda found: f"{found.brier:.4f}"),
    ]
    said = (
        f"Of {fit.pixels:,} pixels drawn with a fixed seed from {fit.seen:,}. One temperature T, p^(1/T), was fitted "
        "on them; the map does not change. Held out: each half of the scenes with the temperature of the other half. "
        "Dark ticks are the accuracy, red its gap to the confidence; grey, how many pixels have that confidence."
    )
    warn = "<p><b>The pixels do not determine the temperature: it lies at the end of its range.</b></p>"
    names, colours = class_names(result), class_colours(result)
    limits = [
        [f"{swatch(colours[k])}{escape(names[k])}", "none" if t.confidence is None else f"{t.confidence:.3f}",
         percent(t.precision), percent(t.recall), f"{t.pixels:,}"]
        for k, t in enumerate(fit.thresholds)
    ]  # fmt: skip
    return [
        "<h2>Calibration</h2>",
        f"<p>{said}</p>",
        *([warn] if fit.at_limit else []),
        f'<div class="pair">{"".join(charts.reliability(found, name) for name, found in columns[:2])}</div>',
        table(["", *(name for name, _ in columns)], numbers, "plain"),
        f"<h3>Least confidence for a precision of {100 * fit.precision:g} %</h3>",
        "<p>Of the pixels given a class, those from this confidence on (after the temperature) are right so often. "
        "Recall: the share of the class's pixels that they hold.</p>",
        table(["class", "confidence", "precision", "recall", "pixels of the sample"], limits, "plain"),
    ]


def _scenes(result: Evaluation) -> list[str]:
    worst = sorted(result.scenes, key=lambda s: (math.isnan(s.scores["mIoU_present"]), s.scores["mIoU_present"]))
    rim = result.boundary is not None
    rows = [
        [escape(s.name), percent(s.scores["mIoU_present"]), percent(s.scores["Acc"]),
         *([percent(s.boundary)] if rim else []), f"{s.scores['pixels']:,}"]
        for s in worst[:SCENES]
    ]  # fmt: skip
    head = [result.unit.removesuffix("s"), "mIoU", "accuracy", *(["boundary mIoU"] if rim else []), "pixels"]
    more = f" The worst {SCENES} of {len(worst):,}; all are in scenes.csv." if len(worst) > SCENES else ""
    said = f"mIoU of the classes present, worst first.{more}"
    return [
        f"<h2>{result.unit.capitalize()}</h2>",
        f"<details open><summary>{said}</summary>" if len(rows) <= 20 else f"<details><summary>{said}</summary>",
        table(head, rows, "plain scenes") + "</details>",
    ]


def _pictures(result: Evaluation) -> list[str]:
    present = [k for k in range(len(result.matrix)) if result.scores["truth"][k] or result.scores["predicted"][k]]
    names, colours = class_names(result), class_colours(result)
    key = "".join(f"<span>{swatch(colours[k])}{escape(names[k])}</span>" for k in present)
    key += f"<span>{swatch((230, 40, 40))}wrong</span><span>{swatch((40, 40, 40))}not counted</span>"
    parts = ["<h2>Pictures</h2>", f'<p class="key">{key}</p>']
    for title, examples in (("Worst", result.worst), ("Best", result.best)):
        if examples:
            parts += [f"<h3>{title}</h3>", *map(_example, examples)]
    return parts


def _example(example: Example) -> str:
    figures = "".join(
        f'<figure><img alt="{name}" src="data:image/{"png" if name in ("truth", "prediction") else "jpeg"};base64,'
        f'{base64.b64encode(data).decode()}"><figcaption>{name}</figcaption></figure>'
        for name, data in example.panels.items()
    )
    caption = f"<b>{percent(example.miou)}</b> mIoU · {escape(example.name)}"
    return f'<section class="example"><p>{caption}</p><div>{figures}</div></section>'


def _facts(result: Evaluation) -> str:
    facts = {**result.info, "seconds": f"{result.seconds:.1f}", "pixels counted": f"{result.scores['pixels']:,}"}
    rows = "".join(f"<tr><th>{escape(key)}</th><td>{escape(_plain(value))}</td></tr>" for key, value in facts.items())
    return f'<table class="facts"><tbody>{rows}</tbody></table>'


def _plain(value: Any) -> str:
    return " × ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
