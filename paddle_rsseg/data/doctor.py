"""Reading all data before training does: what would break it, and what would spoil its result unseen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from paddle_rsseg.data.parallel import over
from paddle_rsseg.data.probe import Probe, probe
from paddle_rsseg.data.transforms import Normalize
from paddle_rsseg.inference.spec import FULL_SCALE

Severity = Literal["error", "warning"]


@dataclass
class Finding:
    """One kind of trouble and all files that have it.

    Attributes:
        code: short and stable, for scripts.
        severity: an error breaks training or makes its scores worthless.
        split: train, val, or both.
        what: one line.
        fix: the way out.
        where: "file" or "file: detail" of each case.
    """

    code: str
    severity: Severity
    split: str
    what: str
    fix: str
    where: list[str] = field(default_factory=list)


@dataclass
class Diagnosis:
    """Attributes:
    findings: errors first.
    classes: {split: pixels of each class}.
    ignored: {split: unlabelled pixels}.
    images: {split: number of images}.
    """

    findings: list[Finding]
    classes: dict[str, list[int]]
    ignored: dict[str, int]
    images: dict[str, int]

    @property
    def healthy(self) -> bool:
        """No finding is an error."""
        return all(f.severity != "error" for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"healthy": self.healthy, **asdict(self)}


def diagnose(datasets: Mapping[str, Any], num_workers: int | None = None, console: Any = None) -> Diagnosis:
    """Read everything and judge it.

    Args:
        datasets: {"train": …, "val": …}, or one of them.
        num_workers: processes; None: one per processor.
        console: where progress is shown.
    """
    findings: list[Finding] = []
    probes = {
        split: list(over(probe, dataset, dataset.scenes(), num_workers, console, f"reading {split}"))
        for split, dataset in datasets.items()
    }
    classes, ignored = {}, {}
    for split, dataset in datasets.items():
        findings += _files(split, dataset, probes[split])
        findings += _labels(split, dataset, probes[split])
        findings += _images(split, dataset, probes[split])
        counts = sum((p.counts for p in probes[split] if len(p.counts)), np.zeros(256, np.int64))
        classes[split] = counts[: dataset.num_classes].tolist()
        ignored[split] = int(counts[dataset.ignore_index])
        findings += _classes(split, dataset, classes[split])
        findings += _normalization(split, dataset, probes[split])
    if {"train", "val"} <= set(datasets):
        findings += _between(probes["train"], probes["val"])
        findings += _untrained(datasets["train"], classes)
    findings.sort(key=lambda f: f.severity != "error")
    return Diagnosis(findings, classes, ignored, {split: len(p) for split, p in probes.items()})


def _case(code: str, severity: Severity, split: str, what: str, fix: str, where: Iterable[str]) -> Iterator[Finding]:
    """The finding, if any file has it."""
    cases = list(where)
    if cases:
        yield Finding(code, severity, split, what, fix, cases)


def _files(split: str, dataset: Any, probes: list[Probe]) -> Iterator[Finding]:
    yield from _case(
        "unreadable", "error", split, "files that cannot be read",
        "copy or download them again, or take them off the list",
        (p.error for p in probes if p.error),
    )  # fmt: skip
    yield from _case(
        "size", "error", split, "image and label differ in size",
        "export the label on the image's grid; never resize a label except by nearest neighbour",
        (
            f"{p.image}: {p.size[0]}×{p.size[1]}, label {p.label_size[0]}×{p.label_size[1]} (height × width)"
            for p in probes if p.label_size and p.label_size != p.size
        ),
    )  # fmt: skip
    yield from _case(
        "georeference", "error", split, "image and label lie in different places, by their georeference",
        "warp the label to the image's grid (gdalwarp -te … -ts … -r near)",
        (p.image for p in probes if p.shifted),
    )  # fmt: skip
    read = [p for p in probes if p.bands]
    usual_type = Counter(p.dtype for p in read).most_common(1)
    normalize = _normalize_of(dataset)
    yield from _case(
        "dtype", "warning" if normalize is not None and normalize.scale is not None else "error", split,
        f"other number types than the usual {usual_type[0][0] if usual_type else ''}",
        "convert them; without Normalize's scale each type is divided by its own full scale",
        (f"{p.image}: {p.dtype}" for p in read if p.dtype != usual_type[0][0]),
    )  # fmt: skip
    if dataset.bands is None:
        wanted = dataset.img_channels or Counter(p.bands for p in read).most_common(1)[0][0] if read else 0
        yield from _case(
            "bands", "error", split, f"another number of bands than {wanted}",
            "choose the same bands of every file: bands: [...] in the data set",
            (f"{p.image}: {p.bands}" for p in read if p.bands != wanted and (p.bands, wanted) != (1, 3)),
        )  # fmt: skip
        yield from _case(
            "alpha", "warning", split, "a band is tagged alpha, so it serves as mask and not as image",
            "if it is image data, near infrared for example, name all bands: bands: [1, 2, 3, 4]",
            (f"{p.image}: band {p.hidden}" for p in probes if p.hidden),
        )  # fmt: skip


def _labels(split: str, dataset: Any, probes: list[Probe]) -> Iterator[Finding]:
    for code, severity, what, fix, colours in (
        (
            "label values", "error", f"label values that are neither 0 … {dataset.num_classes - 1} nor ignored",
            "label_map: {value: class} renames them, label_nodata: value ignores one; or raise num_classes", False,
        ),
        (
            "label colours", "warning", "colours of no class; these pixels are ignored",
            "add them to label_colors or ignore_colors; many mean a mask saved as JPEG or resized smoothly", True,
        ),
    ):  # fmt: skip
        where = []
        for p in probes:
            strange = {v: n for v, n in p.strange.items() if v.startswith("#") == colours}
            shown = ", ".join(f"{value} ({count})" for value, count in list(strange.items())[:8])
            if strange:
                where.append(f"{p.label}: {shown}" + (f", … {len(strange)} in all" if len(strange) > 8 else ""))
        yield from _case(code, severity, split, what, fix, where)  # type: ignore[arg-type]
    yield from _case(
        "label nodata", "warning", split, "the label file calls a value nodata that is used as a class",
        "label_nodata: VALUE ignores it; if it is a class, leave it and take the tag off the file",
        (f"{p.label}: {p.label_nodata:g}" for p in probes if p.label_nodata is not None),
    )  # fmt: skip
    labelled = [p for p in probes if len(p.counts)]
    yield from _case(
        "all ignored", "warning", split, "no labelled pixel at all", "take them off the list: they teach nothing",
        (p.label or "" for p in labelled if p.counts.sum() == p.counts[dataset.ignore_index]),
    )  # fmt: skip


def _images(split: str, dataset: Any, probes: list[Probe]) -> Iterator[Finding]:
    yield from _case(
        "constant", "warning", split, "the same value everywhere, or no valid pixel",
        "take them off the list, or correct nodata", (p.image for p in probes if p.constant),
    )  # fmt: skip
    groups = _by_digest(probes)
    yield from _case(
        "duplicates", "warning", split, "the same pixels in several files", "keep one: the others only weigh it more",
        (" = ".join(p.image for p in group) for group in groups.values() if len(group) > 1),
    )  # fmt: skip


def _classes(split: str, dataset: Any, pixels: list[int]) -> Iterator[Finding]:
    if not sum(pixels):
        yield from _case(
            "no labels", "error", split, "not one labelled pixel", "check label_map, label_colors and ignore_index",
            [type(dataset).__name__] if any(label for _, label, *_ in dataset.scenes()) else [],
        )  # fmt: skip
        return
    names = dataset.classes or [f"class {k}" for k in range(dataset.num_classes)]
    effect = "cannot be learnt" if split == "train" else "cannot be scored"
    yield from _case(
        "absent classes", "warning", split, f"classes without a pixel: they {effect}",
        "another split of the images, or a smaller num_classes",
        (f"{k} {names[k]}" for k, count in enumerate(pixels) if not count),
    )  # fmt: skip


def _untrained(dataset: Any, classes: dict[str, list[int]]) -> Iterator[Finding]:
    names = dataset.classes or [f"class {k}" for k in range(dataset.num_classes)]
    pairs = zip(classes["train"], classes["val"], strict=False)
    yield from _case(
        "untrained classes", "error", "both", "classes that val has and train lacks: their score will be 0",
        "another split of the images",
        (f"{k} {names[k]}" for k, (train, val) in enumerate(pairs) if val and not train),
    )  # fmt: skip


def _normalize_of(dataset: Any) -> Normalize | None:
    return next((t for t in dataset.transform.transforms if isinstance(t, Normalize)), None)


def _normalization(split: str, dataset: Any, probes: list[Probe]) -> Iterator[Finding]:
    """Is what the network will see near mean 0 and deviation 1?"""
    normalize = _normalize_of(dataset)
    fix = "'rsseg stats CONFIG' prints the values for this data"
    if normalize is None:
        yield Finding("normalize", "warning", split, "no Normalize among the transforms", fix, [type(dataset).__name__])
        return
    usual = Counter(p.dtype for p in probes if p.statistics).most_common(1)
    parts = [p.statistics for p in probes if p.statistics and len(p.statistics.mean) == len(normalize.mean)]
    if not parts or not usual:
        return
    total = sum(parts[1:], parts[0])
    scale = normalize.scale if normalize.scale is not None else FULL_SCALE.get(usual[0][0], 1.0)
    mean = (total.mean / scale - np.array(normalize.mean)) / np.array(normalize.std)
    std = total.std / scale / np.array(normalize.std)
    bands = dataset.bands or range(1, len(mean) + 1)
    far = [(b, m, s) for b, m, s in zip(bands, mean, std, strict=True) if abs(m) > 2 or not 1 / 4 < s < 4]
    worst = any(abs(m) > 10 or not 1 / 20 < s < 20 for _, m, s in far)
    yield from _case(
        "normalize", "error" if worst else "warning", split,
        "normalised pixels are far from mean 0 and deviation 1", fix,
        (f"band {b}: mean {m:.3g}, deviation {s:.3g} after Normalize" for b, m, s in far),
    )  # fmt: skip


def _between(train: list[Probe], val: list[Probe]) -> Iterator[Finding]:
    """Val must be ground that train has not seen."""
    known = _by_digest(train)
    same = [(p, known[p.digest][0]) for p in val if p.digest in known]
    yield from _case(
        "train in val", "error", "both", "validation images that are training images",
        "take them out of one of the two",
        (f"{p.image} = {q.image}" for p, q in same),
    )  # fmt: skip
    seen = {p.image for p, _ in same}
    yield from _case(
        "overlap", "error", "both", "validation images that cover the ground of training images",
        "split by region, so that no validation image touches a training image",
        _overlaps([p for p in val if p.image not in seen], train),
    )  # fmt: skip


def _overlaps(val: list[Probe], train: list[Probe]) -> Iterator[str]:
    train = [p for p in train if p.footprint]
    boxes = np.array([p.footprint for p in train], float).reshape(-1, 4)
    for p in val:
        if not p.footprint or not train:
            continue
        west, south, east, north = p.footprint
        width = np.minimum(boxes[:, 2], east) - np.maximum(boxes[:, 0], west)
        height = np.minimum(boxes[:, 3], north) - np.maximum(boxes[:, 1], south)
        share = width.clip(0) * height.clip(0) / ((east - west) * (north - south))
        # rounding of map projections makes neighbours overlap by a hair
        if share.max() > 0.01:
            others = int((share > 0.01).sum()) - 1
            more = f" and {others} more" if others else ""
            yield f"{p.image}: {100 * share.max():.0f} % in {train[int(share.argmax())].image}{more}"


def _by_digest(probes: list[Probe]) -> dict[str, list[Probe]]:
    groups = defaultdict(list)
    for p in probes:
        if p.digest and not p.constant:  # empty images are all alike, and reported as empty
            groups[p.digest].append(p)
    return groups
