"""What became of every tensor when a file met a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from paddle_rsseg.errors import RssegError


@dataclass
class Report:
    """The outcome of loading or converting; each name is in exactly one of the lists.

    Attributes:
        path: the file.
        layout: who wrote it.
        matched: our names of the tensors that were taken over.
        missing: tensors of the model that the file lacks; they keep their initial values.
        extra: tensors of the file (its names) that the model lacks.
        misshaped: name → (shape in the file, shape in the model); they keep their initial values.
        adapted: name → what was done to fit it (a stem for other bands, another number of classes).
        dropped: tensors of the file that no model needs → why.
        metadata: what lay beside the tensors; ``loss_step`` from an official FarSeg checkpoint.
        backbone_only: the file holds nothing but an encoder.
        prefix: what the model puts before the names of such a file.
    """

    path: str
    layout: str
    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    misshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    adapted: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    backbone_only: bool = False
    prefix: str = ""

    @property
    def complete(self) -> bool:
        """Every tensor of the model found, every needed tensor of the file used."""
        return not (self.missing or self.extra or self.misshaped)

    @property
    def problems(self) -> int:
        """Tensors that do not fit."""
        return len(self.missing) + len(self.extra) + len(self.misshaped)

    def check(self, fix: str = "") -> None:
        """Raise RssegError that lists what does not fit, unless everything does."""
        if self.complete:
            return
        shapes = [f"{name} {_size(a)} for {_size(b)}" for name, (a, b) in self.misshaped.items()]
        problems = [
            f"{len(names)} {kind} ({_some(names)})"
            for kind, names in (("missing", self.missing), ("extra", self.extra), ("mis-shaped", shapes))
            if names
        ]
        raise RssegError(
            self.path, f"{self.layout}: {len(self.matched)} tensors match, but {', '.join(problems)}", fix=fix
        )

    def lines(self, every: bool = False) -> list[str]:
        """The whole report as text, one fact a line.

        Args:
            every: list the tensors that match too, and all that were dropped.
        """
        lines = [f"{self.path}: {self.layout}", f"matched     {len(self.matched)}"]
        lines += [f"  {name}" for name in self.matched] if every else []
        for kind, names in (
            ("missing", self.missing),
            ("extra", self.extra),
            ("mis-shaped", [f"{n}: file {_size(a)}, model {_size(b)}" for n, (a, b) in self.misshaped.items()]),
            ("adapted", [f"{name}: {how}" for name, how in self.adapted.items()]),
        ):
            lines.append(f"{kind:<11} {len(names)}")
            lines += [f"  {name}" for name in names]
        reasons: dict[str, list[str]] = {}
        for name, why in self.dropped.items():
            reasons.setdefault(why, []).append(name)
        lines.append(f"{'dropped':<11} {len(self.dropped)}")
        for why, names in reasons.items():
            lines.append(f"  {len(names)}: {why} ({_some(names, len(names) if every else 2)})")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "scalar"


def _some(names: list[str], count: int = 6) -> str:
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")
