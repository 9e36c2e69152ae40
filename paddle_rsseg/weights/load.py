"""Put the weights of a file into a model."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.weights.layout import OURS, Layout, Translation, candidates, framework_of, translate, without_wrapper
from paddle_rsseg.weights.native import FORMAT, read_weights, written_by
from paddle_rsseg.weights.report import Report

if TYPE_CHECKING:
    from paddle_rsseg.models.base import Heritage

Stem = Literal["mean", "copy", "zero", "random"]
Shape = tuple[int, ...]


def load_weights(model: Any, path: str | os.PathLike, strict: bool = True, layout: str | None = None) -> Report:
    """Load all weights of ``model`` (a ``paddle.nn.Layer``) from a file of any known layout.

    Args:
        path: ``.safetensors``, ``.pth``, ``.pt``, ``.pdparams`` or a checkpoint directory.
        strict: nothing may be missing, extra or of another shape. False loads what fits; read the report.
        layout: name of the file's layout, where two are equally likely.

    Raises:
        RssegError: unreadable file, or, if strict, a difference; then the model is unchanged.
    """
    report, state = match(path, shapes_of(model), layout=layout)
    if strict:
        fix = (
            "it holds only an encoder: load it with 'pretrained'"
            if report.backbone_only
            else "is it another model's file?"
        )
        report.check(fix)
    _assign(model, state)
    return report


def load_pretrained(model: Any, path: str | os.PathLike, stem: Stem = "mean", partial: bool = False) -> Report:
    """Start ``model`` from trained weights: a whole model's, or its encoder alone if the file holds only that.

    What differs and is bridged stands in ``report.adapted``: a first convolution for other bands than RGB (see
    :func:`adapt_stem`); a classifier for another number of classes, which keeps its random start; and the weights of
    a simpler network where the model's ``heritage`` says what becomes of them (a plain HRNet's in HRNet-OCR).

    Args:
        partial: take what fits and leave the rest at its random start; the report lists both.

    Raises:
        RssegError: any other difference, unless ``partial``; no tensor fits; then the model is unchanged.
    """
    tensors = model.state_dict()

    def initial(name: str) -> np.ndarray:
        return tensors[name].numpy()

    classes = getattr(model, "num_classes", None)
    heritage = getattr(model, "heritage", None)
    report, state = match(
        path, shapes_of(model), encoder_alone=True, stem=stem, initial=initial, num_classes=classes, heritage=heritage
    )
    if not partial:
        report.check("'partial: true' takes what fits, if that is what you want")
    elif not state:
        raise RssegError(path, f"{report.layout}: no tensor fits", "weights of this model or of its encoder")
    _assign(model, state)
    return report


def match(
    path: str | os.PathLike,
    shapes: Mapping[str, Shape],
    encoder_alone: bool = False,
    stem: Stem | None = None,
    layout: str | None = None,
    initial: Callable[[str], np.ndarray] | None = None,
    num_classes: int | None = None,
    heritage: Heritage | None = None,
) -> tuple[Report, dict[str, np.ndarray]]:
    """Compare a file with a model's tensors.

    Where several layouts recognise the file, it is of the one under which it fits the model best.

    Args:
        shapes: name → shape of every tensor of the model.
        encoder_alone: where the file holds only an encoder, the rest of the model is not missing.
        stem: bridge another number of input bands this way, and another number of classes by leaving the classifier.
        layout: the name of the layout, where two fit equally well.
        initial: the model's own values of a tensor; for ``stem="random"``.
        num_classes: of the model; makes sure that only a classifier is taken for one.
        heritage: of the model; what a simpler network's weights become.

    Returns:
        the report, and our name → array for all tensors that fit.

    Raises:
        RssegError: unreadable file, an unknown or ambiguous layout, or a tensor that fits but holds NaN or infinity.
    """
    weights, metadata = read_weights(path)
    outcomes = []
    for option in _options(weights, metadata, path, layout):
        try:
            translation = translate(weights, option, written_by(path, metadata))
        except ValueError as error:  # it was not of this layout after all
            broken = RssegError(path, f"{option.name}: {error}", "an unmixed file of one model")
            continue
        heir = heritage if heritage and _inherit(translation, shapes, heritage) else None
        outcome = _compare(path, metadata, translation, shapes, encoder_alone, stem, initial, num_classes)
        if heir:
            _complete_heir(*outcome, shapes, heir)
        outcomes.append(outcome)
    if not outcomes:
        raise broken
    report, state = min(outcomes, key=lambda outcome: outcome[0].problems)  # the first of the best
    for other, values in outcomes:
        # as they are, names fit as well under a layout that renames nothing; that layout is then the better word
        tied = other.problems == report.problems and other.layout not in (report.layout, OURS.name)
        if tied and not _same(values, state):
            raise RssegError(
                path, f"may be {report.layout!r} or {other.layout!r}, with different values", "one layout",
                f"say which: --layout {report.layout!r}",
            )  # fmt: skip
    _check_finite(path, state)
    return report, state


def _options(
    weights: Mapping[str, np.ndarray], metadata: Mapping[str, Any], path: str | os.PathLike, layout: str | None
) -> list[Layout]:
    if layout is not None:
        from paddle_rsseg.weights.layouts import LAYOUTS

        known = {option.name: option for option in [*LAYOUTS, OURS]}
        if layout not in known:
            raise RssegError("--layout", f"unknown layout {layout!r}", fix=did_you_mean(layout, known))
        return [known[layout]]
    if metadata.get("format") == FORMAT:
        return [OURS]
    bare = without_wrapper(weights).values()
    return candidates(bare, framework_of(bare, written_by(path, metadata)))


def _same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def _compare(
    path: str | os.PathLike,
    metadata: Mapping[str, Any],
    translation: Translation,
    shapes: Mapping[str, Shape],
    encoder_alone: bool,
    stem: Stem | None,
    initial: Callable[[str], np.ndarray] | None,
    num_classes: int | None,
) -> tuple[Report, dict[str, np.ndarray]]:
    prefix = _backbone_prefix(translation, shapes)
    alone = prefix is not None
    layout = "our own format" if metadata.get("format") == FORMAT else translation.layout.name
    report = Report(str(path), layout, dropped=translation.dropped, backbone_only=alone, prefix=prefix or "")
    report.metadata = {**metadata, **translation.metadata}
    wanted = [name for name in shapes if not (alone and encoder_alone) or name.startswith(prefix or "")]
    state: dict[str, np.ndarray] = {}
    for bare, array in translation.state.items():
        name = f"{prefix or ''}{bare}"
        if name not in shapes:
            report.extra.append(translation.origin[bare])
            continue
        start = initial(name) if initial and stem == "random" else None
        fitted = adapt_stem(array, shapes[name], stem, start) if stem else None
        if array.shape == shapes[name]:
            state[name] = array
            report.matched.append(name)
        elif fitted is not None:
            state[name] = fitted
            report.adapted[name] = f"{array.shape[1]} → {shapes[name][1]} input bands, '{stem}'"
        elif stem and other_classes(name, array.shape, shapes, num_classes):
            report.adapted[name] = f"not loaded: {array.shape[0]} classes in the file, {shapes[name][0]} in the model"
        else:
            report.misshaped[name] = (array.shape, shapes[name])
    for name in wanted:
        filling = (
            value for pattern, value in translation.layout.filled if re.search(pattern, name[len(report.prefix) :])
        )
        if name not in state and (value := next(filling, None)) is not None:
            state[name] = np.full(shapes[name], value, np.float32)
            report.adapted[name] = f"not in the file, begins as {value:g}"
    seen = {*state, *report.misshaped, *report.adapted}
    report.missing = [name for name in wanted if name not in seen]
    return report, state


def _inherit(translation: Translation, shapes: Mapping[str, Shape], heritage: Heritage) -> bool:
    """Rename a simpler network's tensors to what they become in the model; False: it is no such network."""
    marked = [name for name in translation.state if re.search(heritage.marker, name)]
    if not marked or any(name in shapes for name in marked):
        return False
    pattern, replacement = heritage.rename
    new = {name: re.sub(pattern, replacement, name, count=1) for name in translation.state}
    translation.state = {new[name]: array for name, array in translation.state.items()}
    translation.origin = {new[name]: origin for name, origin in translation.origin.items()}
    return True


def _complete_heir(
    report: Report, state: dict[str, np.ndarray], shapes: Mapping[str, Shape], heritage: Heritage
) -> None:
    """What the model adds to the simpler network is not missing."""
    for name in report.missing:
        if re.search(heritage.zero, name):
            state[name] = np.zeros(shapes[name], np.float32)
            report.adapted[name] = "new in this network, begins as 0"
        elif re.search(heritage.anew, name):
            report.adapted[name] = "new in this network, begins at random"
    report.missing = [name for name in report.missing if name not in report.adapted]


def _check_finite(path: str | os.PathLike, state: Mapping[str, np.ndarray]) -> None:
    """Nothing else would tell: Paddle's ReLU turns NaN into 0, so such a network still gives labels."""
    wrong = [name for name, array in state.items() if not np.isfinite(array).all()]
    if wrong:
        raise RssegError(
            path,
            f"{len(wrong)} tensors hold NaN or infinity ({', '.join(wrong[:3])}{', …' if len(wrong) > 3 else ''})",
            "finite weights",
            "the training had diverged, or the file is damaged: take an earlier checkpoint",
        )


def adapt_stem(weight: np.ndarray, shape: Shape, how: Stem, initial: np.ndarray | None = None) -> np.ndarray | None:
    """A first convolution (out × 3 × k × k, k > 1) for C ≠ 3 bands; None if the shapes do not call for it.

    ``mean``: every band gets the mean of the three colour filters. ``copy``: band i gets the filter of colour i mod 3,
    right where the first bands are red, green, blue. Both times 3/C, so that the sum over the bands keeps its size.
    ``zero``: the first three bands keep their filters and the others begin without effect, so that the network begins
    as the one for colours; ``random``: the others begin with ``initial``, the model's own start. With fewer bands
    than three, these two keep the filters of the first C colours.
    """
    if weight.ndim != 4 or weight.shape[1] != 3 or len(shape) != 4 or weight.shape[2] == 1:
        return None
    if shape[1] == 3 or (shape[0], *shape[2:]) != (weight.shape[0], *weight.shape[2:]):
        return None
    bands = shape[1]
    if how == "mean":
        spread = np.repeat(weight.mean(axis=1, keepdims=True), bands, axis=1) * (3.0 / bands)
    elif how == "copy":
        spread = weight[:, np.arange(bands) % 3] * (3.0 / bands)
    elif how in ("zero", "random"):
        if how == "random" and initial is None:
            raise ValueError("'random' needs the model's initial values")
        spread = np.zeros(shape, weight.dtype) if how == "zero" else np.array(initial, weight.dtype)
        kept = min(3, bands)
        spread[:, :kept] = weight[:, :kept]
    else:
        raise RssegError("stem", f"unknown way {how!r}", "'mean', 'copy', 'zero' or 'random'")
    return spread.astype(weight.dtype)


def other_classes(name: str, shape: Shape, shapes: Mapping[str, Shape], num_classes: int | None = None) -> bool:
    """Whether this tensor belongs to a classifier of the model and differs in the number of classes only."""
    layer = name.rpartition(".")[0]
    weight = shapes.get(f"{layer}.weight", ())
    is_head = len(weight) == 4 and any(part in layer for part in ("cls", "classifier", "head"))
    if num_classes is not None and weight[:1] != (num_classes,):
        return False
    return is_head and len(shape) == len(shapes[name]) and shape[1:] == shapes[name][1:]


def _backbone_prefix(translation: Translation, shapes: Mapping[str, Shape]) -> str | None:
    """What our model puts before the names of a file that holds an encoder alone; None: a file of a whole model."""
    names = translation.state
    if translation.layout.scope == "model" and (not names or any(name in shapes for name in names)):
        return None
    best: tuple[int, str] | None = None
    for probe in names:
        candidates = {name.removesuffix(probe) for name in shapes if name.endswith(f".{probe}")}
        for prefix in candidates:
            hits = sum(f"{prefix}{name}" in shapes for name in names)
            best = max(best or (0, ""), (hits, prefix))
        if best and best[0] * 2 > len(names):
            return best[1]
        if probe in shapes and translation.layout.scope == "backbone":
            return ""  # the model is the encoder itself
    return None


def shapes_of(model: Any) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _assign(model: Any, state: Mapping[str, np.ndarray]) -> None:
    import paddle

    tensors = model.state_dict()
    for name, array in state.items():
        tensors[name].set_value(paddle.to_tensor(np.array(array)).astype(tensors[name].dtype))
