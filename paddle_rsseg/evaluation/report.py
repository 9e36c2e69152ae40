"""An evaluation on paper: a table in the terminal, numbers as JSON and CSV, and one self-contained HTML page."""

from __future__ import annotations

import base64
import csv
import html
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from paddle_rsseg.data.files import replacing
from paddle_rsseg.evaluation.gallery import Example
from paddle_rsseg.evaluation.result import Evaluation

OVERALL = ("mIoU", "mIoU_present", "fwIoU", "Acc", "Kappa", "Dice")
PER_CLASS = ("IoU", "precision", "recall", "F1")
TITLES = {"mIoU_present": "mIoU of present classes", "fwIoU": "frequency-weighted IoU", "Acc": "pixel accuracy"}
STYLE = Path(__file__).with_name("report.css")


def class_names(result: Evaluation) -> list[str]:
    """One name a class, "class k" where the data set has none."""
    return [result.classes[k] if k < len(result.classes) else f"class {k}" for k in range(len(result.matrix))]


def class_colours(result: Evaluation) -> list[tuple[int, int, int]]:
    """One colour a class, grey where the data set has none."""
    return [result.palette[k] if k < len(result.palette) else (128, 128, 128) for k in range(len(result.matrix))]


def print_table(result: Evaluation) -> None:
    """Overall scores, then one row a class, in percent."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, scores = Console(), result.scores
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class")
    for name in PER_CLASS:
        table.add_column(name, justify="right")
    table.add_column("share of truth", justify="right")
    for k, (name, colour) in enumerate(zip(class_names(result), class_colours(result), strict=True)):
        swatch = Text("■ ", f"rgb({colour[0]},{colour[1]},{colour[2]})") + Text(name, "default")
        share = scores["truth"][k] / scores["pixels"] if scores["pixels"] else math.nan
        table.add_row(swatch, *(_percent(scores[n][k]) for n in PER_CLASS), _percent(share))
    console.print(table)
    console.print("  ".join(f"[bold]{name}[/] {_percent(scores[name])}" for name in OVERALL), highlight=False)


def write_report(result: Evaluation, directory: str | Path, title: str = "Evaluation") -> list[Path]:
    """Write ``metrics.json``, ``confusion.csv`` and ``report.html``; each complete or absent.

    Returns:
        The three paths.
    """
    directory = Path(directory)
    content = {
        "metrics.json": json.dumps(as_json(result), indent=1, ensure_ascii=False) + "\n",
        "confusion.csv": _csv(result),
        "report.html": as_html(result, title),
    }
    paths = []
    for name, text in content.items():
        with replacing(directory / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        paths.append(directory / name)
    return paths


def as_json(result: Evaluation) -> dict[str, Any]:
    """Overall scores, one object a class, one a image; None where a score is not defined."""
    scores = result.scores
    names = class_names(result)
    return {
        **{name: _or_none(scores[name]) for name in OVERALL},
        "pixels": scores["pixels"],
        "classes": [
            {"name": name}
            | {key: _or_none(scores[key][k]) for key in PER_CLASS}
            | {"truth": scores["truth"][k], "predicted": scores["predicted"][k]}
            for k, name in enumerate(names)
        ],
        "images": [{"name": i.name, "mIoU": _or_none(i.miou), "pixels": int(i.matrix.sum())} for i in result.images],
        "seconds": round(result.seconds, 3),
        "info": result.info,
    }


def _csv(result: Evaluation) -> str:
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = class_names(result)
    writer.writerow(["truth \\ prediction", *names])
    for name, row in zip(names, result.matrix.tolist(), strict=True):
        writer.writerow([name, *row])
    return text.getvalue()


# --- the page ---------------------------------------------------------------------------------------------------


def as_html(result: Evaluation, title: str) -> str:
    """The page as one string: styles inside, pictures as data, no script, no link to anywhere."""
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _tiles(result),
        "<h2>Classes</h2>",
        _class_table(result),
        "<h2>Confusion</h2>",
        "<p>Each row is one true class; a cell is the share of its pixels, in percent, that were given the "
        "class of the column. Hover over a cell for the number of pixels.</p>",
        _confusion_picture(result),
    ]
    if result.worst or result.best:
        parts += ["<h2>Images</h2>", _key(result)]
        parts += ["<h3>Worst</h3>", *map(_example, result.worst)]
        parts += ["<h3>Best</h3>", *map(_example, result.best)]
    parts += ["<h2>How</h2>", _facts(result)]
    style = STYLE.read_text(encoding="utf-8")
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{html.escape(title)}</title>",
        f"<style>\n{style}</style></head>",
        "<body><main>",
        *parts,
        "</main></body></html>",
    ]
    return "\n".join(lines) + "\n"


def _tiles(result: Evaluation) -> str:
    cells = "".join(
        f"<div><b>{_percent(result.scores[name])}</b><span>{TITLES.get(name, name)}</span></div>" for name in OVERALL
    )
    return f'<section class="tiles">{cells}</section>'


def _class_table(result: Evaluation) -> str:
    scores = result.scores
    rows = []
    for k, (name, colour) in enumerate(zip(class_names(result), class_colours(result), strict=True)):
        iou = scores["IoU"][k]
        width = 0 if math.isnan(iou) else 100 * iou
        bar = f'<div class="bar"><i style="width:{width:.1f}%"></i></div>'
        numbers = "".join(f"<td>{_percent(scores[key][k])}</td>" for key in PER_CLASS[1:])
        share = scores["truth"][k] / scores["pixels"] if scores["pixels"] else math.nan
        rows.append(
            f'<tr><th>{_swatch(colour)}{html.escape(name)}</th><td class="iou">{bar}<b>{_percent(iou)}</b></td>'
            f"{numbers}<td>{_percent(share)}</td></tr>"
        )
    head = "".join(f"<th>{name}</th>" for name in ("class", *PER_CLASS, "share of truth"))
    table = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="wide"><table class="classes">{table}</table></div>'


def _confusion_picture(result: Evaluation) -> str:
    names, matrix = class_names(result), result.matrix
    total = matrix.sum(1, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    cell, left = 38, 12 + 7 * max(map(len, names))
    top, size = left, 38 * len(names)
    width, height = left + size + 8, top + size + 8
    svg = [f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="confusion matrix">']
    for i, name in enumerate(names):
        middle = cell * (i + 0.5)
        label = html.escape(name)
        svg.append(f'<text x="{left - 8}" y="{top + middle + 4:.0f}" text-anchor="end">{label}</text>')
        x, y = left + middle + 4, top - 8
        svg.append(f'<text x="{x:.0f}" y="{y}" transform="rotate(-90 {x:.0f} {y})">{label}</text>')
        for j, other in enumerate(names):
            svg.append(_cell(left + cell * j, top + cell * i, cell, share[i, j], i == j, bool(total[i, 0]),
                             f"{name} → {other}: {matrix[i, j]:,} pixels, {share[i, j]:.2%}"))  # fmt: skip
    return f'<div class="wide">{"".join(svg)}</svg></div>'


def _cell(x: int, y: int, side: int, share: float, right: bool, known: bool, hint: str) -> str:
    """One cell: right answers blue, wrong ones red, the deeper the more."""
    strength = math.sqrt(share)  # so that a few percent are seen
    deep = (31, 94, 168) if right else (190, 45, 40)
    red, green, blue = (round(255 + (c - 255) * strength) for c in deep)
    fill = f"rgb({red},{green},{blue})" if known else "#f2f2f2"
    text = ""
    if known and share >= 0.0005:
        ink = "#fff" if strength > 0.6 else "#333"
        value = f"{100 * share:.0f}" if share >= 0.0995 else f"{100 * share:.1f}"
        text = f'<text x="{x + side / 2}" y="{y + side / 2 + 4}" text-anchor="middle" fill="{ink}">{value}</text>'
    box = f'<rect x="{x + 1}" y="{y + 1}" width="{side - 2}" height="{side - 2}" rx="3" fill="{fill}"/>'
    return f"<g><title>{html.escape(hint)}</title>{box}{text}</g>"


def _example(example: Example) -> str:
    figures = "".join(
        f'<figure><img alt="{name}" src="data:image/{"png" if name in ("truth", "prediction") else "jpeg"};base64,'
        f'{base64.b64encode(data).decode()}"><figcaption>{name}</figcaption></figure>'
        for name, data in example.panels.items()
    )
    caption = f"<b>{_percent(example.miou)}</b> mIoU · {html.escape(example.name)}"
    return f'<section class="example"><p>{caption}</p><div>{figures}</div></section>'


def _key(result: Evaluation) -> str:
    present = [k for k in range(len(result.matrix)) if result.scores["truth"][k] or result.scores["predicted"][k]]
    names, colours = class_names(result), class_colours(result)
    items = "".join(f"<span>{_swatch(colours[k])}{html.escape(names[k])}</span>" for k in present)
    items += f"<span>{_swatch((230, 40, 40))}wrong</span><span>{_swatch((40, 40, 40))}not counted</span>"
    return f'<p class="key">{items}</p>'


def _facts(result: Evaluation) -> str:
    facts = {**result.info, "seconds": f"{result.seconds:.1f}", "pixels counted": f"{result.scores['pixels']:,}"}
    rows = "".join(
        f"<tr><th>{html.escape(str(key))}</th><td>{html.escape(_plain(value))}</td></tr>"
        for key, value in facts.items()
    )
    return f'<table class="facts"><tbody>{rows}</tbody></table>'


def _plain(value: Any) -> str:
    return " × ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _swatch(colour: tuple[int, int, int]) -> str:
    return f'<i class="swatch" style="background:rgb({colour[0]},{colour[1]},{colour[2]})"></i>'


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.2f}"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
