"""The numbers as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

from paddle_rsseg.evaluation.report.words import OVERALL, PER_CLASS, class_names, how_sure, none_if_nan
from paddle_rsseg.evaluation.result import Evaluation


def as_json(result: Evaluation) -> str:
    """``metrics.json``."""
    return json.dumps(_plain(content(result)), indent=1, ensure_ascii=False) + "\n"


def content(result: Evaluation) -> dict[str, Any]:
    """Overall scores, one object a class, a scene, an image, and what else was measured; NaN where not defined."""
    sure, rim = result.intervals, result.boundary
    found = {
        **_overall(result),
        "classes": [
            _class(result, k, name)
            | ({} if sure is None else {"IoU_interval": sure.IoU[k]})
            | ({} if rim is None else {"boundary_IoU": rim["IoU"][k]})
            for k, name in enumerate(class_names(result))
        ],
        "intervals": {"none": how_sure(result)} if sure is None else asdict(replace(sure, IoU=())),
        "scenes": [
            {"name": s.name, "images": s.images, "mIoU": s.scores["mIoU_present"], "Acc": s.scores["Acc"],
             "pixels": s.scores["pixels"]} | ({} if rim is None else {"boundary_mIoU": s.boundary})
            for s in result.scenes
        ],
        "images": [{"name": i.name, "mIoU": i.miou, "pixels": int(i.matrix.sum())} for i in result.images],
        "seconds": round(result.seconds, 3),
        "info": result.info,
    }  # fmt: skip
    if result.prior_iou is not None:
        found["fwIoU_given"] = result.prior_iou
    if rim is not None:
        found["boundary"] = {"mIoU": rim["mIoU"], "rim_pixels": result.rims}
    if result.objects is not None:
        found["sizes"] = {"edges": result.measures.sizes, "unit": result.measures.size_unit, **result.objects}
    if result.calibration is not None:
        fit = result.calibration
        found["calibration"] = fit.as_dict() | {
            "precision": fit.precision,
            "thresholds": list(map(asdict, fit.thresholds)),
        }
    if result.beside:
        found["beside"] = [
            _overall(other) | {"classes": [_class(other, k, name) for k, name in enumerate(class_names(other))],
                               "images": len(other.images), "info": other.info}
            for other in result.beside
        ]  # fmt: skip
    return found


def tables(result: Evaluation) -> dict[str, str]:
    """File name → CSV: ``confusion``, ``classes``, ``scenes``, and ``sizes`` if they were measured."""
    names, scores = class_names(result), result.scores
    found = {"confusion.csv": _csv(["truth \\ prediction", *names], _confusion(result))}
    sure, rim = result.intervals, result.boundary
    rows = [
        [name, *(scores[key][k] for key in PER_CLASS), *(sure.IoU[k] if sure else (math.nan, math.nan)),
         rim["IoU"][k] if rim else math.nan, scores["truth"][k], scores["predicted"][k]]
        for k, name in enumerate(names)
    ]  # fmt: skip
    head = ["class", *PER_CLASS, "IoU_low", "IoU_high", "boundary_IoU", "truth", "predicted"]
    found["classes.csv"] = _csv(head, rows)
    head = ["scene", "images", "pixels", "mIoU", "Acc", "boundary_mIoU", *(f"IoU {name}" for name in names)]
    found["scenes.csv"] = _csv(
        head,
        ([s.name, s.images, s.scores["pixels"], s.scores["mIoU_present"], s.scores["Acc"], s.boundary, *s.scores["IoU"]]
         for s in result.scenes),
    )  # fmt: skip
    if result.objects is not None:
        found["sizes.csv"] = _csv(
            ["class", "from", "to", "unit", "objects", "recall", "IoU", "found", "predicted", "false"], _sizes(result)
        )
    return found


def _confusion(result: Evaluation) -> list[list[Any]]:
    return [[name, *row] for name, row in zip(class_names(result), result.matrix.tolist(), strict=True)]


def _sizes(result: Evaluation) -> Iterable[list[Any]]:
    assert result.objects is not None
    edges = [0.0, *(result.measures.sizes or ()), math.inf]
    keys = ("objects", "recall", "IoU", "found", "predicted", "false")
    for k, name in enumerate(class_names(result)):
        for b, (low, high) in enumerate(pairwise(edges)):
            unit = result.measures.size_unit
            yield [name, f"{low:g}", f"{high:g}", unit, *(result.objects[key][b][k] for key in keys)]


def _overall(result: Evaluation) -> dict[str, Any]:
    return {name: result.scores[name] for name in (*OVERALL, "entropy", "pixels")}


def _class(result: Evaluation, k: int, name: str) -> dict[str, Any]:
    scores = result.scores
    return {"name": name, **{key: scores[key][k] for key in (*PER_CLASS, "truth", "predicted")}}


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.6f}"


def _plain(value: Any) -> Any:
    """Lists and dicts with None in place of NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return none_if_nan(value) if isinstance(value, float) else value
