"""A foreign checkpoint becomes a native file that says by itself which model it is and how its input is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.weights.architecture import Architecture, architecture
from paddle_rsseg.weights.load import match, shapes_of
from paddle_rsseg.weights.native import save_weights
from paddle_rsseg.weights.report import Report
from paddle_rsseg.weights.store import locate
from paddle_rsseg.weights.table import Entry

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
    layout: str | None = None,
    folder: str | os.PathLike | None = None,
) -> Report:
    """Write ``source`` as native safetensors under our names, with the model and its pre-processing inside.

    A file that holds an encoder alone (a torchvision ResNet) becomes a native encoder file for ``pretrained``.

    Args:
        source: ``.pth``, ``.pt``, ``.pdparams`` or ``.safetensors`` of a known layout, or a name of the table
            (``rsseg weights list``), which is downloaded where the local folder lacks it.
        destination: ``.safetensors``.
        arch: short name (``farseg_r50``), model, encoder or ``{"type": …}``
            (:func:`paddle_rsseg.weights.architecture.architecture`); None: the model of ``settings``, else what the
            table says.
        num_classes: default: as many as the file's classifier has.
        swap_isaid_st_ra: exchange rows 2 and 12 of FarSeg's classifier. For the official release, whose labels have
            storage tank and roundabout exchanged, when it is used on labels in the devkit's order.
        settings: a loaded configuration; gives the model and the pre-processing. Without it the pre-processing is
            the table's, else FarSeg's for iSAID (ImageNet mean and std, 896×896 windows every 512 pixels).
        allow_partial: write the file although tensors are missing, extra or mis-shaped.
        layout: name of the file's layout, where two are equally likely.
        folder: of known files, see :func:`paddle_rsseg.weights.store.locate`.

    Raises:
        RssegError: unreadable source, or a difference without ``allow_partial``; then nothing is written.
    """
    path, entry = locate(source, folder)
    named = arch if arch is not None else settings
    if named is None:
        if entry is None:
            raise RssegError("convert", "neither --arch nor --config", "the network to convert for",
                             "--arch farseg_r50")  # fmt: skip
        named = entry.architecture
    network = architecture(named)
    spec = dict(network.spec)
    if not network.encoder and num_classes:
        spec["num_classes"] = num_classes
    elif not network.encoder and entry is not None:
        spec.setdefault("num_classes", entry.classes)
    guessed = not network.encoder and "num_classes" not in spec

    def compare() -> tuple[Report, dict[str, np.ndarray]]:
        model = Architecture(spec, network.encoder).build()
        if not network.encoder:
            spec["num_classes"] = model.num_classes
        return match(path, shapes_of(model), encoder_alone=True, layout=layout)

    report, state = compare()
    if guessed and (classes := _classes_in(report)) is not None:
        spec["num_classes"] = classes
        report, state = compare()
    if not allow_partial:
        report.check("--allow_partial converts what fits")
    if swap_isaid_st_ra:
        _swap_classes(state, str(path))
    metadata: dict[str, Any] = {"source": {"file": path.name, "layout": report.layout}}
    if entry is not None:
        metadata["source"] |= {"name": entry.name, "url": entry.url, "licence": entry.licence}
    if "loss_step" in report.metadata:
        metadata["loss_step"] = report.metadata["loss_step"]
    if network.encoder:
        metadata["backbone"] = spec["type"] if len(spec) == 1 else spec
    elif report.backbone_only:
        metadata["backbone"] = spec.get("backbone")
        state = {name.removeprefix(report.prefix): array for name, array in state.items()}
    else:
        metadata["model"] = spec
        metadata["inference"] = _description(spec, settings, entry).to_dict()
    save_weights(destination, state, metadata)
    return report


def _classes_in(report: Report) -> int | None:
    """Rows of the classifier in the file, where their number is all that does not fit."""
    pairs = report.misshaped.values()
    rows = {file[0] if file and file[1:] == ours[1:] else None for file, ours in pairs}
    return rows.pop() if len(rows) == 1 and not (report.missing or report.extra) else None


def _description(spec: Mapping[str, Any], settings: Settings | None, entry: Entry | None) -> InferenceSpec:
    if settings is not None:
        from paddle_rsseg.config import inference_spec

        return inference_spec(settings)
    classes, in_channels = spec.get("num_classes", 16), spec.get("in_channels", 3)
    if in_channels != 3:
        raise RssegError(
            "convert", f"a model for {in_channels} bands", "its configuration (--config)", "mean and std are not known"
        )
    from paddle_rsseg.data.prepare.isaid_legend import CLASSES, KIT_PALETTE

    isaid = classes == len(CLASSES) and (entry is None or entry.dataset == "iSAID")
    legend = {"classes": CLASSES, "palette": KIT_PALETTE} if isaid else {}
    mean, std = (entry.mean, entry.std) if entry else (IMAGENET_MEAN, IMAGENET_STD)
    return InferenceSpec(num_classes=classes, mean=mean, std=std, **legend)  # type: ignore[arg-type]


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
