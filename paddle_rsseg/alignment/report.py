"""One page for a reviewer: every number of both sides, what it may differ by, and where the original is."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from paddle_rsseg import __version__
from paddle_rsseg.alignment.case import STEPS
from paddle_rsseg.alignment.reprod import FILES, Checked
from paddle_rsseg.alignment.run import Measured

#: step → heading, and what is compared
HEADINGS = {
    "forward": (
        "1. Forward alignment (前向对齐)",
        "Evaluation mode, the original's weights through our converter. Largest difference of two numbers of each map, "
        "and of its mean and standard deviation by channel over the whole map.",
    ),
    "metric": (
        "2. Metric alignment (评估指标对齐)",
        "Label maps of both sides' main logits against the file's labels, on the pixels that the file stores, scored "
        "by paddle_rsseg's evaluation. The tolerance grows with the pixels whose two best classes tie.",
    ),
    "loss": ("3. Loss alignment (损失函数对齐)", "Training mode, before any update."),
    "backward": (
        "4. Backward alignment (反向对齐)",
        "The norm of the gradient of every parameter, and the losses after the first two updates (SGD with momentum "
        "and weight decay, always the same batch, training mode).",
    ),
    "training": (
        "5. Training alignment (训练对齐)",
        "The losses after further updates and the running statistics at the end. This is what numbers without data "
        "can show; whole trainings are in docs/reproduction.md.",
    ),
}


@dataclass
class Entry:
    """One run's part of the report.

    Attributes:
        name: ``<system>/<model>`` of the golden file.
        dtype: that ours was to be computed in.
        measured: None where the two networks could not even be compared.
        mismatch: why not.
        checked: what reprod_log says of each step; empty where it was left out.
    """

    name: str
    dtype: str = "float64"
    measured: Measured | None = None
    mismatch: str = ""
    checked: Mapping[str, Checked] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The originals' numbers are float64's, so only the other type is worth a word."""
        return self.name if self.dtype == "float64" else f"{self.name} in {self.dtype}"

    def passed(self, step: str) -> bool | None:
        """None: the step was not taken."""
        if self.measured is None:
            return False if step == "forward" else None
        deviations = self.measured.step(step)
        if not deviations:
            return None
        return all(d.ok for d in deviations) and (step not in self.checked or self.checked[step].passed)

    @property
    def ok(self) -> bool:
        return all(self.passed(step) is not False for step in STEPS)


def write_report(path: Path, network: str, entries: list[Entry]) -> None:
    """Write the page, in Markdown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(_page(network, entries)) + "\n", encoding="utf-8")


def write_results(path: Path, entries: list[Entry]) -> None:
    """Write what programs want to know of the page: each original's network, source and largest differences."""
    results = [_result(entry, entry.measured) for entry in entries if entry.measured is not None]
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _result(entry: Entry, measured: Measured) -> dict[str, Any]:
    """Differences are relative: of outputs to the largest number of the map, of the others to the original's value."""
    maps = measured.pairs["forward"].values()
    found = {d.what: d.measured for d in measured.deviations}
    losses = [value for what, value in found.items() if what.startswith("loss after")]
    return {
        "original": entry.name,
        "source": measured.case.meta["source"],
        "network": measured.network,
        "dtype": measured.dtype,
        "ok": entry.ok,
        "outputs": float(max(np.abs(pair.ours - pair.theirs).max() / np.abs(pair.theirs).max() for pair in maps)),
        "gradients": float(next(value for what, value in found.items() if what.endswith("gradient norms, relative"))),
        "losses": [float(value) for value in losses],
    }


def verdict(passed: bool | None) -> str:
    return {True: "pass", False: "**FAIL**", None: "–"}[passed]


def _page(network: str, entries: list[Entry]) -> Iterator[str]:
    yield f"# {network} against the original programs"
    yield ""
    yield (
        f"Written by `rsseg align` of paddle_rsseg {__version__}, PaddlePaddle {paddle.__version__}, "
        f"NumPy {np.__version__}, Python {platform.python_version()}, on {paddle.get_device()}. "
        "The originals' numbers were computed by their own PyTorch code in float64; weights, inputs and labels on "
        "both sides come from one rule (paddle_rsseg/alignment/golden.py)."
    )
    yield ""
    yield "| original | " + " | ".join(STEPS) + " |"
    yield "| --- |" + " --- |" * len(STEPS)
    for entry in entries:
        yield f"| {entry.title} | " + " | ".join(verdict(entry.passed(step)) for step in STEPS) + " |"
    for entry in entries:
        yield ""
        yield f"## {entry.title}"
        yield ""
        if entry.measured is None:
            yield f"**FAIL**: the two networks cannot be compared: {entry.mismatch}"
        else:
            yield from _case(entry, entry.measured)


def _case(entry: Entry, measured: Measured) -> Iterator[str]:
    meta = measured.case.meta
    train = meta["train"]
    arguments = ", ".join(f"{key}={value!r}" for key, value in measured.network.items() if key != "type")
    yield from (
        f"- Original: {meta['source']}",
        f"- As: {meta['constructor']}",
        f"- Loss: {meta['loss']}",
        f"- Its numbers: {meta['made_with']}; file `{measured.case.path.name}`, seed {meta['seed']}",
        *([f"- Note: {meta['notes']}"] if meta["notes"] else []),
        f"- Ours: `{measured.network['type']}({arguments})`, computed in {measured.dtype}",
        f"- Input: {'×'.join(map(str, meta['input_shape']))}; SGD: learning rate {train['lr']}, "
        f"momentum {train['momentum']}, weight decay {train['weight_decay']}",
    )
    for step in STEPS:
        deviations = measured.step(step)
        if not deviations:
            continue
        heading, explanation = HEADINGS[step]
        yield from ("", f"### {heading}: {verdict(entry.passed(step))}", "", explanation, "")
        yield "| quantity | measured difference | allowed | |"
        yield "| --- | ---: | ---: | --- |"
        for d in deviations:
            yield f"| {d.what} | {d.measured:.2e} | {d.allowed:.2e} | {verdict(d.ok)} |"
        scalars = {name: pair for name, pair in measured.pairs[step].items() if pair.ours.ndim == 0}
        if scalars:
            yield from ("", "| value | original | ours |", "| --- | ---: | ---: |")
            for name, pair in scalars.items():
                yield f"| {name} | {pair.theirs:.12g} | {pair.ours:.12g} |"
        if step in entry.checked:
            check = entry.checked[step]
            ours, theirs, log = FILES[step]
            yield ""
            yield (
                f"reprod_log: `{ours}` against `{theirs}`, mean difference at most {check.threshold:.1e}: "
                f"{verdict(check.passed)} (`{log}`)"
            )
