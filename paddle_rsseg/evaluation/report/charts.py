"""Drawings of the report, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from paddle_rsseg.evaluation.calibration import BINS, Quality
from paddle_rsseg.evaluation.report.words import class_names, escape, percent
from paddle_rsseg.evaluation.result import Evaluation

BLUE, PALE = "#1f5ea8", "#a9c6e6"
_ROW, _LETTER = 34, 7  # height of a class, width of a letter


def confusion(result: Evaluation) -> str:
    """Rows of truth, columns of prediction, shares of the row."""
    names, matrix = class_names(result), result.matrix
    total = matrix.sum(1, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    cell, left = 38, 12 + _LETTER * max(map(len, names))
    top, size = left, 38 * len(names)
    width, height = left + size + 8, top + size + 8
    svg = []
    for i, name in enumerate(names):
        middle = cell * (i + 0.5)
        label = escape(name)
        svg.append(f'<text x="{left - 8}" y="{top + middle + 4:.0f}" text-anchor="end">{label}</text>')
        x, y = left + middle + 4, top - 8
        svg.append(f'<text x="{x:.0f}" y="{y}" transform="rotate(-90 {x:.0f} {y})">{label}</text>')
        for j, other in enumerate(names):
            svg.append(_cell(left + cell * j, top + cell * i, cell, share[i, j], i == j, bool(total[i, 0]),
                             f"{name} → {other}: {matrix[i, j]:,} pixels, {share[i, j]:.2%}"))  # fmt: skip
    return f'<div class="wide">{_svg(svg, width, height, "confusion matrix")}</div>'


def _cell(x: int, y: int, side: int, share: float, right: bool, known: bool, hint: str) -> str:
    """One cell: right answers blue, wrong ones red, the deeper the more."""
    strength = math.sqrt(share)  # so that a few percent are seen
    deep = (31, 94, 168) if right else (190, 45, 40)
    red, green, blue = (round(255 + (c - 255) * strength) for c in deep)
    fill = f"rgb({red},{green},{blue})" if known and share >= 0.0005 else "#f6f7f9" if known else "#e9ebee"
    text = ""
    if known and share >= 0.0005:
        ink = "#fff" if strength > 0.6 else "#333"
        value = f"{100 * share:.0f}" if share >= 0.0995 else f"{100 * share:.1f}"
        text = f'<text x="{x + side / 2}" y="{y + side / 2 + 4}" text-anchor="middle" fill="{ink}">{value}</text>'
    box = f'<rect x="{x + 1}" y="{y + 1}" width="{side - 2}" height="{side - 2}" rx="3" fill="{fill}"/>'
    return f"<g><title>{escape(hint)}</title>{box}{text}</g>"


def accuracy_bars(result: Evaluation) -> str:
    """Accuracy (recall) and IoU of each class."""
    pairs = list(zip(result.scores["recall"], result.scores["IoU"], strict=True))
    return _bars(class_names(result), pairs, ("accuracy", "IoU"), 1.0, "accuracy and IoU of each class")


def frequency_bars(result: Evaluation) -> str:
    """Share of each class in truth and prediction."""
    total = max(1, result.scores["pixels"])
    pairs = [(t / total, p / total) for t, p in zip(result.scores["truth"], result.scores["predicted"], strict=True)]
    most = max((max(pair) for pair in pairs), default=1.0) or 1.0
    return _bars(class_names(result), pairs, ("truth", "prediction"), most, "class frequencies")


def _bars(names: Sequence[str], pairs: Sequence[tuple[float, float]], what: tuple[str, str], most: float,
          title: str) -> str:  # fmt: skip
    """Two bars a class; ``most`` fills the width."""
    left, length, room = 12 + _LETTER * max(map(len, names)), 250, 46
    svg = []
    for i, (colour, word) in enumerate(zip((PALE, BLUE), what, strict=True)):
        x = left + i * 90
        svg.append(f'<rect x="{x}" y="4" width="11" height="11" rx="2" fill="{colour}"/>')
        svg.append(f'<text x="{x + 16}" y="14">{word}</text>')
    for row, (name, pair) in enumerate(zip(names, pairs, strict=True)):
        y = 26 + _ROW * row
        svg.append(f'<text x="{left - 8}" y="{y + 17}" text-anchor="end">{escape(name)}</text>')
        for i, (value, colour) in enumerate(zip(pair, (PALE, BLUE), strict=True)):
            span = 0.0 if math.isnan(value) else length * value / most
            at = y + 2 + 13 * i
            svg.append(f'<rect x="{left}" y="{at}" width="{max(span, 0.5):.1f}" height="11" rx="2" fill="{colour}"/>')
            svg.append(f'<text class="small" x="{left + span + 5:.1f}" y="{at + 9.5}">{percent(value, 1)}</text>')
    return _svg(svg, left + length + room, 30 + _ROW * len(names), title)


def reliability(found: Quality, title: str) -> str:
    """Accuracy of the pixels of each bin of confidence; below it, how many pixels there are."""
    side, low, left, top = 240, 46, 40, 26
    pixels, right, confidence = found.bins.T
    step, most = side / BINS, max(1.0, pixels.max())
    svg = [f'<text x="{left}" y="14" class="title">{escape(title)}</text>']
    svg.append(f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="#f6f7f9"/>')
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x, y = left + side * tick, top + side * (1 - tick)
        svg.append(f'<line x1="{left}" x2="{left + side}" y1="{y}" y2="{y}" stroke="#e3e7ec"/>')
        svg.append(f'<text class="small" x="{left - 6}" y="{y + 4}" text-anchor="end">{100 * tick:g}</text>')
        svg.append(
            f'<text class="small" x="{x}" y="{top + side + low + 18}" text-anchor="middle">{100 * tick:g}</text>'
        )
    for b in np.flatnonzero(pixels):
        x, accuracy, mean = left + step * b + 0.75, right[b] / pixels[b], confidence[b] / pixels[b]
        hint = f"confidence {percent(mean, 1)} %, accuracy {percent(accuracy, 1)} %, {int(pixels[b]):,} pixels"
        low_end, gap = min(mean, accuracy), abs(mean - accuracy)
        boxes = [
            (top + side * (1 - low_end), side * low_end, BLUE),
            (top + side * (1 - low_end - gap), side * gap, "#e3a19c"),
            (top + side * (1 - accuracy) - 1, 2, "#12283f"),
            (top + side + 4, max((low - 8) * pixels[b] / most, 0.5), "#8a97a8"),
        ]
        drawn = (
            f'<rect x="{x:.1f}" y="{at:.1f}" width="{step - 1.5:.1f}" height="{high:.1f}" fill="{fill}"/>'
            for at, high, fill in boxes
        )
        svg.append(f"<g><title>{hint}</title>{''.join(drawn)}</g>")
    svg.append(
        f'<line x1="{left}" y1="{top + side}" x2="{left + side}" y2="{top}" stroke="#333" stroke-dasharray="4 3"/>'
    )
    middle = top + side / 2
    svg.append(f'<text class="small" x="10" y="{middle}" text-anchor="middle" transform="rotate(-90 10 {middle})">'
               "accuracy in %</text>")  # fmt: skip
    bottom = top + side + low + 34
    svg.append(f'<text class="small" x="{left + side / 2}" y="{bottom}" text-anchor="middle">confidence in %</text>')
    return _svg(svg, left + side + 14, bottom + 8, title)


def _svg(parts: Sequence[str], width: float, height: float, label: str) -> str:
    head = f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" aria-label="{escape(label)}">'
    return f"{head}{''.join(parts)}</svg>"
