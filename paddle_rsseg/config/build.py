"""Settings → data sets, the inference description, and the files that must be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from paddle_rsseg.config.components import signature
from paddle_rsseg.config.consistency import fact, normalization, number_of_bands
from paddle_rsseg.config.pretrained import Pretrained, looks_like_a_name, read_pretrained
from paddle_rsseg.config.schema import Component, Settings
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.registry import DATASETS, TRANSFORMS

Mode = Literal["train", "val", "test"]
#: which parts of the settings a command reads from disk
NEEDED = {
    "train": ("train_dataset", "pretrained"),
    "train+val": ("train_dataset", "val_dataset", "pretrained"),
    "val": ("val_dataset",),
    "test": ("test_dataset",),
    "data": ("train_dataset", "val_dataset"),
}


def build_dataset(settings: Settings, mode: Mode) -> Any:
    """The data set of ``train_dataset``, ``val_dataset`` or ``test_dataset``, with its transforms.

    Raises:
        RssegError: no such section, files missing, an argument the data set refuses.
    """
    key = f"{mode}_dataset"
    data = getattr(settings, key)
    if data is None:
        raise RssegError(settings.source or "settings", f"no {key}", "a data set", "add the section to the YAML")
    supplied: dict[str, Any] = {"seed": settings.seed}
    if "mode" in signature(DATASETS, data.type) and "mode" not in data.args:
        supplied["mode"] = mode
    return DATASETS.build(data.spec(), where=settings.place(key), **supplied)


def inference_spec(settings: Settings) -> InferenceSpec:
    """How a model of these settings is to be fed and read, from ``val_dataset`` and ``test_config``.

    Raises:
        RssegError: ``val_dataset`` has a transform that cannot travel with the weights, or no Normalize.
    """
    data, test = settings.val_dataset, settings.test_config
    bands, resize = _geometry(settings)
    normalize = normalization(data)
    if normalize is None:
        fix = "add {type: Normalize, mean: …, std: …}"
        raise RssegError(settings.place("val_dataset.transforms"), "no Normalize", "one", fix)
    in_channels = settings.model.args.get("in_channels") or number_of_bands(data) or 3
    palette = data.args.get("palette") or data.args.get("label_colors") or fact(data, "palette")
    sizes: dict[str, Any] = {}
    if test.crop_size is not None:
        (width, height), stride = test.crop_size, test.stride
        horizontal, vertical = stride or (max(1, width * 4 // 7), max(1, height * 4 // 7))
        sizes = {"window": (height, width), "stride": (vertical, horizontal)}
    return InferenceSpec(
        num_classes=settings.model.args["num_classes"],
        in_channels=in_channels,
        bands=bands,
        mean=_per_band(normalize["mean"], in_channels),
        std=_per_band(normalize["std"], in_channels),
        scale=normalize["scale"],
        nodata=data.args.get("nodata"),
        alpha_is_data=bool(fact(data, "alpha_is_data")),
        policy=test.policy,
        margin=test.margin,
        pad=test.pad,
        average=test.average,
        blend=test.blend,
        views=tuple(test.views),
        scales=tuple(test.scales),
        resize=resize,
        classes=tuple(fact(data, "classes") or ()),
        palette=tuple(tuple(colour) for colour in palette or ()),
        ignore_index=fact(data, "ignore_index"),
        **sizes,
    )


def check_paths(settings: Settings, for_what: str) -> None:
    """Raise RssegError for the first file or directory that is missing.

    Args:
        for_what: ``train``, ``train+val`` (train with --do_eval), ``val``, ``test`` or ``data`` (train and val).
            Export and prediction read nothing that the settings name.
    """
    for part in NEEDED[for_what]:
        if part == "pretrained":
            _check_pretrained(settings)
        elif getattr(settings, part) is not None:
            _check_dataset(settings, part)


def _check_dataset(settings: Settings, key: str) -> None:
    data: Component = getattr(settings, key)
    mode = data.args.get("mode", key.removesuffix("_dataset"))
    others = {f"{other}_path" for other in ("train", "val", "test")} - {f"{mode}_path"}
    for name, value in data.args.items():
        if name.endswith(("_path", "_root", "_dir")) and name not in others and isinstance(value, str):
            path = Path(value)
            beside = Path(str(data.args.get("dataset_root", ""))) / path  # where data sets with a root look
            if not path.exists() and not beside.exists():
                here = "" if path.is_absolute() else f" (seen from {Path.cwd()})"
                raise RssegError(
                    settings.place(f"{key}.{name}"), f"{value} does not exist{here}", "the data",
                    f"prepare them, or say where they are: --opts {key}.{name}=…",
                )  # fmt: skip


def pretrained_weights(settings: Settings) -> Pretrained | None:
    """What the model begins with: ``model.pretrained`` or, as PaddleSeg writes it, ``model.backbone.pretrained``."""
    return next(iter(_all_pretrained(settings).values()), None)


def _all_pretrained(settings: Settings) -> dict[str, Pretrained]:
    backbone = settings.model.args.get("backbone")
    places = {"model.pretrained": settings.model.args.get("pretrained")}
    if isinstance(backbone, dict):
        places["model.backbone.pretrained"] = backbone.get("pretrained")
    read = {key: read_pretrained(value, settings.place(key)) for key, value in places.items()}
    return {key: value for key, value in read.items() if value is not None}


def _check_pretrained(settings: Settings) -> None:
    for key, pretrained in _all_pretrained(settings).items():
        value = pretrained.weights
        without = f"or train without: --opts {key}=null"
        if "://" in value:
            fix = f"only names of 'rsseg weights list' are downloaded: fetch it, {without}"
            raise RssegError(settings.place(key), f"{value} is an address", "a file", fix)
        if not Path(value).exists() and not looks_like_a_name(value):
            raise RssegError(settings.place(key), f"{value} does not exist", "a weights file", without)


def _geometry(settings: Settings) -> tuple[tuple[int, ...] | None, tuple[int, int] | None]:
    """Bands of the file and (height, width) of a resize, by val_dataset and its transforms; None: all, none."""
    bands = fact(settings.val_dataset, "bands")
    size = None
    for i, transform in enumerate(settings.val_dataset.args.get("transforms") or ()):
        kind = transform["type"]
        if kind == "SelectBands":  # counts among the bands that the data set reads
            bands = [bands[b - 1] for b in transform["bands"]] if bands else transform["bands"]
        elif kind == "Resize" and not transform.get("keep_ratio") and not transform.get("size_divisor"):
            size = transform.get("target_size", signature(TRANSFORMS, "Resize")["target_size"].default)
        elif kind != "Normalize":
            raise RssegError(
                settings.place(f"val_dataset.transforms.{i}"),
                f"{kind} in val_dataset",
                "Normalize, SelectBands, Resize to a fixed size",
                "only these travel with the weights, so anything else would be missing on a server",
            )  # fmt: skip
    return None if bands is None else tuple(bands), None if size is None else (int(size[1]), int(size[0]))


def _per_band(values: Any, bands: int) -> tuple[float, ...]:
    """One number for all bands or one each; a wrong count is left for InferenceSpec to refuse."""
    values = (values,) if isinstance(values, (int, float)) else tuple(values)
    return tuple(map(float, values * bands if len(values) == 1 else values))
