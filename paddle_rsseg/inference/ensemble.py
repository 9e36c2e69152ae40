"""Several networks that answer as one: each sees the same windows in its own way, one after another.

The answers' weighted mean counts. What is averaged, logits or probabilities, is what overlapping windows average after
them. An argmax does not know a mean from a sum, so an ensemble that adds logits up is one that averages them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from paddle_rsseg.data.transforms.base import resized as resized_sample
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.ensemble_file import EnsembleFile, Member, read_ensemble
from paddle_rsseg.inference.load import Ready, open_model
from paddle_rsseg.inference.scores import Cut, Scorer, resized
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.inference.stitch import softmax_

#: how one network sees a window; all else is of the whole
OWN = ("bands", "mean", "std", "scale", "views", "scales", "pad", "pad_to")
#: how an image is read and cut, which is the same for all
COMMON = (
    "window", "stride", "policy", "margin", "blend", "resize", "nodata", "alpha_is_data", "temperature",
)  # fmt: skip
#: how the YAML names them
SPELLING = {"window": "crop_size", "stride": "crop_size"}


class Turn:
    """One network's turn: the windows as it wants them, its scores as the ensemble averages them.

    Args:
        backend: of the network.
        spec: its own description; ``average`` is what its views average.
        average: what the ensemble averages; logits of the views become probabilities afterwards.
        columns: of the bands that are read, those that the network sees, in its order; None: all.
        zoom: (vertical, horizontal) factor by which it sees windows enlarged.
    """

    def __init__(
        self,
        backend: Any,
        spec: InferenceSpec,
        average: str,
        columns: tuple[int, ...] | None = None,
        zoom: tuple[float, float] = (1.0, 1.0),
    ):
        self.score, self.columns, self.zoom = Scorer(backend, spec), columns, zoom
        self.to_probabilities = average == "probs" and spec.average == "logits"
        self.plain = self.score.plain and zoom == (1.0, 1.0)
        seen = replace(spec, views=("identity",), scales=(1.0,), average="probs")
        #: turns for which this is the same take the same batch
        self.preparation = str((columns, zoom, seen))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Of a window of this size when the network sees it."""
        return max(1, round(height * self.zoom[0])), max(1, round(width * self.zoom[1]))

    def batch(self, windows: Sequence[Cut], height: int, width: int, whole: bool) -> np.ndarray:
        if self.columns is not None:
            windows = [(pixels[..., self.columns], valid) for pixels, valid in windows]
        size = self.size(height, width)
        if size != (height, width):
            samples = [resized_sample({"image": pixels, "valid": valid}, *size[::-1]) for pixels, valid in windows]
            windows = [(sample["image"], sample["valid"]) for sample in samples]
        return self.score.batch(windows, *size, whole=whole)

    def __call__(self, batch: np.ndarray, height: int, width: int) -> np.ndarray:
        size = self.size(height, width)
        scores = self.score(batch, *size)
        if size != (height, width):
            scores = resized(scores, (height, width))
        if self.to_probabilities:
            for one in scores:
                softmax_(one)
        return scores


class Ensemble:
    """Takes the place of a :class:`paddle_rsseg.inference.scores.Scorer`: its methods, for several networks.

    Args:
        turns: the networks, in the order in which they compute.
        weights: one each, above 0; only proportions count.
    """

    def __init__(self, turns: Sequence[Turn], weights: Sequence[float]):
        self.turns = tuple(turns)
        self.shares = [np.float32(weight / sum(weights)) for weight in weights]
        self.plain = len(self.turns) == 1 and self.turns[0].plain
        backends = [turn.score.backend for turn in self.turns]
        self.default_batch = min(getattr(backend, "default_batch", 4) for backend in backends)
        self.libraries = {k: v for backend in backends for k, v in getattr(backend, "libraries", {}).items()}
        self.name = f"ensemble of {', '.join(getattr(b, 'name', type(b).__name__) for b in backends)}"

    @property
    def backend(self) -> Ensemble:
        """It needs none but itself."""
        return self

    def batch(self, windows: Sequence[Cut], height: int, width: int, whole: bool = False) -> list[np.ndarray]:
        """Every network's input; those that want the same share one array."""
        made: dict[str, np.ndarray] = {}
        for turn in self.turns:
            if turn.preparation not in made:
                made[turn.preparation] = turn.batch(windows, height, width, whole)
        return [made[turn.preparation] for turn in self.turns]

    def ranking(self, batch: list[np.ndarray], height: int, width: int) -> np.ndarray:
        """Scores of which only the order within a pixel is right."""
        return self.turns[0].score.ranking(batch[0], height, width) if self.plain else self(batch, height, width)

    def __call__(self, batch: list[np.ndarray], height: int, width: int) -> np.ndarray:
        """N×K×h×w float32: the weighted mean of the networks' probabilities or logits."""
        total = None
        for turn, share, pixels in zip(self.turns, self.shares, batch, strict=True):
            scores = turn(pixels, height, width)
            scores *= share
            total = scores if total is None else np.add(total, scores, out=total)
        assert total is not None
        return total


def open_ensemble(
    path: str | Path,
    spec: InferenceSpec | None = None,
    backend: str = "auto",
    device: str | None = None,
    changes: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> Ready:
    """The networks of an ensemble's YAML, loaded, and their description as one.

    Args:
        spec: of a configuration; says how images are read and cut where the YAML does not.
        backend, device: of members that do not name a back end themselves.
        threads: of each compiled network.
        changes: fields of the description to replace; those of a network, its views say, in every member.

    Raises:
        RssegError: see :func:`paddle_rsseg.inference.ensemble_file.read_ensemble`; a member that cannot be opened;
            members that do not have the same classes, or that want images cut differently while nobody decides.
    """
    file = read_ensemble(path)
    changes = dict(changes or {})
    own = {key: changes.pop(key) for key in OWN if key in changes}
    average = changes.pop("average", file.average)
    opened: list[Ready] = []
    frugal = len(file.members) > 1
    for member in file.members:
        opened.append(_open(member, average, own, backend, device, frugal=frugal, threads=threads))
        _check_classes(file, opened[0].spec, member, opened[-1].spec)
    together = _together(file, [ready.spec for ready in opened], average, spec, changes)
    turns = [_turn(member, ready, together) for member, ready in zip(file.members, opened, strict=True)]
    return Ready(Ensemble(turns, [member.weight for member in file.members]), together, str(path))


def _open(member: Member, average: str, own: Mapping[str, Any], backend: str, device: str | None, **how: Any) -> Ready:
    if average == "logits" and member.average == "probs":
        seen = "average: probs, but the ensemble averages logits"
        raise RssegError(member.place, seen, "logits too", "or average probabilities in the ensemble")
    settings = None
    if member.config is not None:
        from paddle_rsseg.config import load_config

        settings = load_config(member.config)
    changes = {**member.changes, **own, "average": member.average or average}
    try:
        ready = open_model(member.model, None, settings, member.backend or backend, device, **how, **changes)
        # what None means here is "as the file is", not "as the model says"
        nothing: dict[str, Any] = {key: None for key, value in changes.items() if value is None}
        return replace(ready, spec=replace(ready.spec, **nothing))
    except RssegError as error:
        raise RssegError(member.place, str(error)) from error


def _check_classes(file: EnsembleFile, first: InferenceSpec, member: Member, spec: InferenceSpec) -> None:
    """A member has the classes of the first one."""
    for name in ("num_classes", "classes", "ignore_index"):
        seen, wanted = getattr(spec, name), getattr(first, name)
        if seen != wanted and not (name == "classes" and not (seen and wanted)):
            shown = ", ".join(map(str, seen)) if name == "classes" else seen
            wanted = ", ".join(map(str, wanted)) if name == "classes" else wanted
            other = f"{name} {wanted}, as {file.members[0].model} has"
            raise RssegError(member.place, f"{member.model} has {name} {shown}", other)


def _together(
    file: EnsembleFile,
    members: Sequence[InferenceSpec],
    average: str,
    given: InferenceSpec | None,
    changes: Mapping[str, Any],
) -> InferenceSpec:
    """The description of all as one: what is read and how it is cut."""
    first = members[0]
    if given is not None and given.num_classes != first.num_classes:
        seen = f"{first.num_classes} classes, but the configuration has {given.num_classes}"
        raise RssegError(file.path, seen, "the same number")
    differ = len({(s.bands, s.in_channels) for s in members}) > 1
    bands = tuple(sorted({band for s in members for band in _bands(s)})) if differ else first.bands
    count = len(bands) if differ and bands else first.in_channels
    # each member normalises for itself; where all do it alike, the description of the whole says so
    neutral = {"mean": (0.0,) * count, "std": (1.0,) * count}
    alike = {name: getattr(first, name) for name in OWN if len({str(getattr(s, name)) for s in members}) == 1}
    values = neutral | alike | (neutral if differ else {}) | {"bands": bands, "in_channels": count}
    values |= {name: _common(name, file, members, given, changes) for name in COMMON}
    for name in ("classes", "palette"):
        values[name] = next((getattr(s, name) for s in (*members, given or first) if getattr(s, name)), ())
    values |= {"num_classes": first.num_classes, "ignore_index": (given or first).ignore_index, "average": average}
    try:
        return InferenceSpec(**values | dict(changes))
    except RssegError as error:
        raise RssegError(file.path, str(error)) from error


def _common(
    name: str,
    file: EnsembleFile,
    members: Sequence[InferenceSpec],
    given: InferenceSpec | None,
    changes: Mapping[str, Any],
) -> Any:
    """A field of the whole: what the caller wants, else the YAML, else the configuration, else all members alike."""
    for said in (changes, file.changes):
        if name in said:
            return said[name]
    if given is not None:
        return getattr(given, name)
    values = [getattr(spec, name) for spec in members]
    for member, value in zip(file.members, values, strict=True):
        if value != values[0]:
            key = SPELLING.get(name, name)
            seen = f"{name} {value}, but {values[0]} in {file.members[0].model}"
            raise RssegError(member.place, seen, "one for all", f"add '{key}: …' to {file.path}")
    return values[0]


def _bands(spec: InferenceSpec) -> tuple[int, ...]:
    """The bands of a network, also where it takes all that there are in the file."""
    return tuple(range(1, spec.in_channels + 1)) if spec.bands is None else spec.bands


def _turn(member: Member, ready: Ready, together: InferenceSpec) -> Turn:
    spec, columns = ready.spec, None
    if spec.bands != together.bands:
        assert together.bands is not None
        columns = tuple(together.bands.index(band) for band in _bands(spec))
    window, zoom = together.window, (1.0, 1.0)
    if member.input_size is not None:
        if together.policy == "adaptive" and together.resize is None:
            seen = "input_size with adaptive windows, which have no fixed size"
            raise RssegError(member.place, seen, "another policy", "or give scales: [FACTOR]")
        border = 2 * together.margin if together.policy == "expanded" else 0
        full = together.resize or (window[0] + border, window[1] + border)
        window = member.input_size
        zoom = window[0] / full[0], window[1] / full[1]
    spec = replace(spec, window=window, stride=window, policy="sliding", resize=together.resize)
    return Turn(ready.backend, spec, together.average, columns, zoom)
