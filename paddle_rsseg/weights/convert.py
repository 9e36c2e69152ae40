"""A foreign checkpoint becomes a native file that says by itself which model it is and how its input is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.weights.layout import translate
from paddle_rsseg.weights.load import match, shapes_of
from paddle_rsseg.weights.native import read_weights, save_weights
from paddle_rsseg.weights.report import Report

if TYPE_CHECKING:
    from paddle_rsseg.config import Settings

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
#: iSAID's storage tank and roundabout, which the official FarSeg release has in each other's place
SWAPPED_CLASSES = (2, 12)


def convert(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    arch: str | Mapping[str, Any] | None = None,
    num_classes: int | None = None,
    swap_isaid_st_ra: bool = False,
    settings: Settings | None = None,
    allow_partial: bool = False,
) -> Report:
    """Write ``source`` as native safetensors under our names, with the model and its pre-processing inside.

    A file that holds an encoder alone (a torchvision ResNet) becomes a native encoder file for ``pretrained``.

    Args:
        source: ``.pth``, ``.pt``, ``.pdparams`` or ``.safetensors`` of a known layout.
        destination: ``.safetensors``.
        arch: short name (``farseg_r50``) or ``{"type": …}``; None: the model of ``settings``.
        num_classes: default: as many as the file's classifier has.
        swap_isaid_st_ra: exchange rows 2 and 12 of FarSeg's classifier. For the official release, whose labels have
            storage tank and roundabout exchanged, when it is used on labels in the devkit's order.
        settings: a loaded configuration; gives the model and the pre-processing. Without it the pre-processing is
            FarSeg's for iSAID (ImageNet mean and std, 896×896 windows every 512 pixels).
        allow_partial: write the file although tensors are missing, extra or mis-shaped.

    Raises:
        RssegError: unreadable source, or a difference without ``allow_partial``; then nothing is written.
    """
    from paddle_rsseg.models import create_model, model_spec

    component = model_spec(arch if arch is not None else settings)
    if settings is None:
        component["num_classes"] = num_classes or component.get("num_classes") or _classes_in(source)
    elif num_classes:
        component["num_classes"] = num_classes
    if component["num_classes"] is None:
        component.pop("num_classes")
    report, state = match(source, shapes_of(create_model(component)), encoder_alone=True)
    if not allow_partial:
        report.check("--allow_partial converts what fits")
    if swap_isaid_st_ra:
        _swap_classes(state, str(source))
    metadata: dict[str, Any] = {"source": {"file": Path(source).name, "layout": report.layout}}
    if "loss_step" in report.metadata:
        metadata["loss_step"] = report.metadata["loss_step"]
    if report.backbone_only:
        metadata["backbone"] = component.get("backbone")
        state = {name.removeprefix(report.prefix): array for name, array in state.items()}
    else:
        metadata["model"] = component
        metadata["inference"] = _description(component, settings).to_dict()
    save_weights(destination, state, metadata)
    return report


def _description(component: Mapping[str, Any], settings: Settings | None) -> InferenceSpec:
    if settings is not None:
        from paddle_rsseg.config import inference_spec

        return inference_spec(settings)
    classes, in_channels = component.get("num_classes", 16), component.get("in_channels", 3)
    if in_channels != 3:
        raise RssegError(
            "convert", f"a model for {in_channels} bands", "its configuration (--config)", "mean and std are not known"
        )
    from paddle_rsseg.data.prepare.isaid_legend import CLASSES, KIT_PALETTE

    legend = {"classes": CLASSES, "palette": KIT_PALETTE} if classes == len(CLASSES) else {}
    return InferenceSpec(num_classes=classes, mean=IMAGENET_MEAN, std=IMAGENET_STD, **legend)  # type: ignore[arg-type]


def _classes_in(source: str | os.PathLike) -> int | None:
    """Rows of the classifier in the file; None where it has none."""
    weight = translate(read_weights(source)[0]).state.get("cls_pred_conv.weight")
    return None if weight is None else len(weight)


def _swap_classes(state: dict[str, np.ndarray], where: str) -> None:
    a, b = SWAPPED_CLASSES
    for name in ("cls_pred_conv.weight", "cls_pred_conv.bias"):
        if name not in state or len(state[name]) <= b:
            raise RssegError(
                where,
                f"no {name} with more than {b} rows",
                "a FarSeg for iSAID's 16 classes",
                "leave --swap_isaid_st_ra out",
            )
        state[name] = state[name].copy()
        state[name][[a, b]] = state[name][[b, a]]
