"""Score a model on a data set: prediction and truth meet in one confusion matrix, band by band."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from paddle_rsseg.errors import RssegError
from paddle_rsseg.evaluation.confusion import confusion_matrix
from paddle_rsseg.evaluation.gallery import Example, Gallery, Sampled, name_of
from paddle_rsseg.evaluation.metrics import scores
from paddle_rsseg.inference.engine import Band, WindowPredictor
from paddle_rsseg.inference.load import open_model
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.windows import Window

Protocol = Literal["patch", "slide"]


@dataclass
class ImageResult:
    """One image's share: its place in the data set, its name, and its K×K int64 confusion matrix."""

    index: int
    name: str
    matrix: np.ndarray

    @property
    def miou(self) -> float:
        """Mean IoU of the classes present; NaN if no pixel counts."""
        return scores(self.matrix)["mIoU_present"]


@dataclass
class Evaluation:
    """What an evaluation found.

    Attributes:
        matrix: K×K int64, rows truth.
        scores: see :func:`paddle_rsseg.evaluation.metrics.scores`; ``mIoU``, ``Acc``, … in 0..1.
        classes, palette: of the K classes.
        images: one entry an image, in the data set's order.
        best, worst: a few examples with pictures, for the report.
        seconds: wall-clock time of reading, predicting and counting.
        info: how it was done, for the report: protocol, window, weights, …
    """

    matrix: np.ndarray
    scores: dict[str, Any]
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    images: list[ImageResult]
    best: list[Example] = field(default_factory=list)
    worst: list[Example] = field(default_factory=list)
    seconds: float = 0.0
    info: dict[str, Any] = field(default_factory=dict)


def evaluate(
    model: Any,
    data: Any,
    spec: InferenceSpec | None = None,
    protocol: Protocol | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
    device: str | None = None,
    examples: int = 0,
    progress: Any = None,
    **changes: Any,
) -> Evaluation:
    """Score ``model`` on the validation images.

    Args:
        model: path of weights, of a checkpoint or of an exported model; a ``paddle.nn.Layer``; or a back end.
        data: Settings, path of a configuration, or a data set with ``image(i)`` and ``label(i)``.
        spec: pre- and post-processing; None: from the configuration, else from the weights.
        protocol: ``"slide"``: sliding window, each pixel of an image counted once. ``"patch"``: each image of the
            data set in one piece. None: what ``test_config`` says; ``"slide"`` where there is none.
        batch_size: windows (or images) computed at once; None: what is fastest for the back end.
        backend, device: see :func:`paddle_rsseg.inference.load.open_model`.
        examples: how many best and worst images to keep pictures of.
        progress: ``progress(done, total)``, called after each image of this process.
        changes: fields of the spec to replace, such as ``average="logits"``.

    Under ``paddle.distributed`` every process scores its share of the images, and all return the same result.

    Raises:
        RssegError: unreadable data, label values that are no class, a label of another size than its image.
    """
    settings, dataset = _open_data(data)
    if protocol is None:
        protocol = "patch" if settings is not None and not settings.test_config.is_slide else "slide"
    if protocol not in ("patch", "slide"):
        raise RssegError("protocol", f"unknown protocol {protocol!r}", "patch or slide")
    ready = open_model(model, spec, settings, backend, device, **changes)
    if dataset.num_classes != ready.spec.num_classes:
        seen = f"{dataset.num_classes} classes, but the model has {ready.spec.num_classes}"
        raise RssegError(getattr(dataset, "name", "data set"), seen, "the same number")
    spec = replace(ready.spec, ignore_index=dataset.ignore_index)
    predictor = WindowPredictor(ready.backend, spec, batch_size)
    rank, ranks = _rank()
    share = list(range(rank, len(dataset), ranks))
    if not len(dataset):
        raise RssegError(getattr(dataset, "name", "data set"), "no images", "at least one")

    started = time.perf_counter()
    gallery = Gallery(examples, spec)
    images = []
    for done, (index, bands) in enumerate(_predictions(predictor, dataset, share, protocol), 1):
        result, sampled = _score(dataset, index, bands, spec, keep=examples > 0)
        images.append(result)
        gallery.offer(result.miou, result.matrix, sampled, dataset, index)
        if progress:
            progress(done, len(share))
    images, best, worst = _together(images, gallery, ranks)
    matrix = sum((image.matrix for image in images), np.zeros((spec.num_classes,) * 2, np.int64))
    info = _info(protocol, ready, spec, predictor.batch_size, len(images), ranks)
    return Evaluation(
        matrix, scores(matrix), tuple(dataset.classes), tuple(dataset.palette or ()), images, best, worst,
        time.perf_counter() - started, info,
    )  # fmt: skip


def _open_data(data: Any) -> tuple[Any, Any]:
    """(settings or None, data set)"""
    if isinstance(data, (str, Path)):
        from paddle_rsseg.config import load_config

        data = load_config(data)
    if hasattr(data, "val_dataset"):
        from paddle_rsseg.config import build_dataset

        return data, build_dataset(data, "val")
    return None, data


def _predictions(
    predictor: WindowPredictor, dataset: Any, share: list[int], protocol: Protocol
) -> Iterator[tuple[int, Iterable[Band]]]:
    """(index, its bands) of every image. Patches are one band each; neighbours share a batch."""
    # images are read by a thread: it gets its own handles, for those of a data set may be shared by neighbours
    images = copy.deepcopy(dataset)
    if protocol == "patch" and predictor.spec.resize is None:
        labels = predictor.predict_whole(images.image(i) for i in share)
        for i, label in zip(share, labels, strict=True):
            yield i, [Band(0, 0, len(label), label, {})]
    else:
        for i in share:
            with images.image(i) as raster:
                yield i, predictor.bands(raster)


def _score(
    dataset: Any, index: int, bands: Iterable[Band], spec: InferenceSpec, keep: bool
) -> tuple[ImageResult, Sampled | None]:
    """Count one image, and keep a sample of both maps for a picture."""
    image_path, label_path = dataset.paths(index)
    truth = dataset.label(index)
    if truth is None:
        raise RssegError(image_path, "has no label", "a label for every image of an evaluation")
    matrix = np.zeros((spec.num_classes,) * 2, np.int64)
    sampled = Sampled(truth.height, truth.width) if keep else None
    for band in bands:
        if band.y1 > truth.height or band.labels.shape[1] != truth.width:
            seen = f"{truth.height}×{truth.width} pixels, but its image {image_path} differs"
            raise RssegError(label_path, seen, "image and label of one size")
        expected = truth.read(Window(band.y0, band.y1, 0, truth.width))
        try:
            matrix += confusion_matrix(band.labels, expected, spec.num_classes, spec.ignore_index)
        except ValueError as error:
            fix = "check num_classes and the palette; 'rsseg doctor CONFIG' looks at every label"
            raise RssegError(label_path, str(error), fix=fix) from error
        if sampled:
            sampled.add(band.y0, band.labels, expected)
    if band.y1 != truth.height:
        seen = f"{truth.height}×{truth.width} pixels, but its image {image_path} has {band.y1} rows"
        raise RssegError(label_path, seen, "image and label of one size")
    return ImageResult(index, name_of(dataset, index), matrix), sampled


def _rank() -> tuple[int, int]:
    """(rank, number of processes); (0, 1) unless the processes have been joined."""
    import paddle.distributed as dist

    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def _together(images: list[ImageResult], gallery: Gallery, ranks: int) -> tuple[list, list[Example], list[Example]]:
    """All processes' images in the data set's order, and the best and worst of all."""
    if ranks > 1:
        import paddle.distributed as dist

        parts: list[Any] = []
        # whole numbers per image travel, so the sum is exact and the same everywhere
        dist.all_gather_object(parts, (images, gallery.best, gallery.worst))
        images = [image for part in parts for image in part[0]]
        gallery.best = [example for part in parts for example in part[1]]
        gallery.worst = [example for part in parts for example in part[2]]
    return sorted(images, key=lambda image: image.index), *gallery.ranked()


def _info(
    protocol: Protocol, ready: Any, spec: InferenceSpec, batch_size: int, images: int, ranks: int
) -> dict[str, Any]:
    info: dict[str, Any] = {"protocol": protocol, "images": images}
    if protocol == "slide" and spec.resize is None:
        if spec.policy != "sliding":
            info |= {"policy": spec.policy, "margin": spec.margin}
        # width first, as on the command line
        info |= {"window (w × h)": list(spec.window[::-1]), "stride (w × h)": list(spec.stride[::-1])}
        info |= {"average": spec.average, "window weights": spec.blend}
        info["padding"] = "full window" if spec.pad == "window" else f"multiple of {spec.pad_to}"
    if (spec.views, spec.scales) != (("identity",), (1.0,)):
        info |= {"views": " ".join(spec.views), "scales": list(spec.scales)}
    if spec.resize is not None:
        info["resized to (w × h)"] = list(spec.resize[::-1])
    info["backend"] = getattr(ready.backend, "name", type(ready.backend).__name__)
    return info | {"batch size": batch_size, "processes": ranks, "weights": ready.source}
