"""Put the weights of a file into a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from paddle_rsseg.errors import RssegError
from paddle_rsseg.weights.layout import Translation, translate
from paddle_rsseg.weights.native import FORMAT, read_weights
from paddle_rsseg.weights.report import Report

Stem = Literal["mean", "copy"]
Shape = tuple[int, ...]


def load_weights(model: Any, path: str | os.PathLike, strict: bool = True) -> Report:
    """Load all weights of ``model`` (a ``paddle.nn.Layer``) from a file of any known layout.

    Args:
        path: ``.safetensors``, ``.pth``, ``.pt``, ``.pdparams`` or a checkpoint directory.
        strict: nothing may be missing, extra or of another shape. False loads what fits; read the report.

    Raises:
        RssegError: unreadable file, or, if strict, a difference; then the model is unchanged.
    """
    report, state = match(path, shapes_of(model))
    if strict:
        fix = (
            "it holds only an encoder: load it with 'pretrained'"
            if report.backbone_only
            else "is it another model's file?"
        )
        report.check(fix)
    _assign(model, state)
    return report


def load_pretrained(model: Any, path: str | os.PathLike, stem: Stem = "mean") -> Report:
    """Start ``model`` from trained weights: a whole model's, or its encoder alone if the file holds only that.

    Two differences are bridged, and stand in ``report.adapted``: a first convolution for other bands than RGB
    (see :func:`adapt_stem`), and a classifier for another number of classes, which keeps its random start.

    Raises:
        RssegError: any other difference; then the model is unchanged.
    """
    report, state = match(path, shapes_of(model), encoder_alone=True, stem=stem)
    report.check()
    _assign(model, state)
    return report


def match(
    path: str | os.PathLike, shapes: Mapping[str, Shape], encoder_alone: bool = False, stem: Stem | None = None
) -> tuple[Report, dict[str, np.ndarray]]:
    """Compare a file with a model's tensors.

    Args:
        shapes: name → shape of every tensor of the model.
        encoder_alone: where the file holds only an encoder, the rest of the model is not missing.
        stem: bridge another number of input bands this way, and another number of classes by leaving the classifier.

    Returns:
        the report, and our name → array for all tensors that fit.

    Raises:
        RssegError: unreadable file, or a tensor that fits but holds NaN or infinity.
    """
    weights, metadata = read_weights(path)
    translation = translate(weights)
    prefix = _backbone_prefix(translation, shapes)
    alone = prefix is not None
    # our FarSeg has the official release's names; who wrote the file stands in it
    layout = "our own format" if metadata.get("format") == FORMAT else translation.layout.name
    report = Report(str(path), layout, dropped=translation.dropped, backbone_only=alone)
    report.metadata = {**metadata, **translation.metadata}
    wanted = [name for name in shapes if not (alone and encoder_alone) or name.startswith(prefix or "")]
    state: dict[str, np.ndarray] = {}
    for bare, array in translation.state.items():
        name = f"{prefix or ''}{bare}"
        if name not in shapes:
            report.extra.append(translation.origin[bare])
            continue
        fitted = adapt_stem(array, shapes[name], stem) if stem else None
        if array.shape == shapes[name]:
            state[name] = array
            report.matched.append(name)
        elif fitted is not None:
            state[name] = fitted
            report.adapted[name] = f"{array.shape[1]} → {shapes[name][1]} input bands, '{stem}'"
        elif stem and _other_classes(name, array.shape, shapes):
            report.adapted[name] = f"not loaded: {array.shape[0]} classes in the file, {shapes[name][0]} in the model"
        else:
            report.misshaped[name] = (array.shape, shapes[name])
    _check_finite(path, state)
    report.prefix = prefix or ""
    seen = {*state, *report.misshaped, *report.adapted}
    report.missing = [name for name in wanted if name not in seen]
    return report, state


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


def adapt_stem(weight: np.ndarray, shape: Shape, how: Stem) -> np.ndarray | None:
    """A first convolution (out × 3 × k × k, k > 1) for C ≠ 3 bands; None if the shapes do not call for it.

    ``mean``: every band gets the mean of the three colour filters. ``copy``: band i gets the filter of colour i mod 3,
    right where the first bands are red, green, blue. Both times 3/C, so that the sum over the bands keeps its size.
    """
    if weight.ndim != 4 or weight.shape[1] != 3 or len(shape) != 4 or weight.shape[2] == 1:
        return None
    if shape[1] == 3 or (shape[0], *shape[2:]) != (weight.shape[0], *weight.shape[2:]):
        return None
    bands = shape[1]
    if how == "mean":
        spread = np.repeat(weight.mean(axis=1, keepdims=True), bands, axis=1)
    elif how == "copy":
        spread = weight[:, np.arange(bands) % 3]
    else:
        raise RssegError("stem", f"unknown way {how!r}", "'mean' or 'copy'")
    return (spread * (3.0 / bands)).astype(weight.dtype)


def _other_classes(name: str, shape: Shape, shapes: Mapping[str, Shape]) -> bool:
    """Whether this tensor belongs to the model's last convolution and differs in the number of classes only."""
    layer = name.rpartition(".")[0]
    weight = shapes.get(f"{layer}.weight", ())
    is_head = len(weight) == 4 and any(part in layer for part in ("cls", "classifier", "head"))
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
