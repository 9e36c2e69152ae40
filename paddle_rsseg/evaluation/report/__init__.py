"""An evaluation on paper: a table in the terminal, numbers as JSON and CSV, and one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

from paddle_rsseg.data.files import replacing
from paddle_rsseg.evaluation.report.files import as_json, tables
from paddle_rsseg.evaluation.report.page import as_html
from paddle_rsseg.evaluation.report.terminal import print_table
from paddle_rsseg.evaluation.result import Evaluation

__all__ = ["as_html", "as_json", "print_table", "write_report"]


def write_report(result: Evaluation, directory: str | Path, title: str = "Evaluation") -> list[Path]:
    """Write ``metrics.json``, the tables as CSV, and ``report.html``; each complete or absent.

    Returns:
        Their paths; the page comes last.
    """
    directory = Path(directory)
    content = {"metrics.json": as_json(result), **tables(result), "report.html": as_html(result, title)}
    paths = []
    for name, text in content.items():
        with replacing(directory / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        paths.append(directory / name)
    return paths
