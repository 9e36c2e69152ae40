"""Score a model on a data set: prediction and truth meet in one confusion matrix, band by band."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from paddle_rsseg import ranks
from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.evaluation.calibration import Calibration, Sample, Sampler, calibrate
from paddle_rsseg.evaluation.gallery import Gallery, Sampled, name_of
from paddle_rsseg.evaluation.measures import ImageCounter, Measures
from paddle_rsseg.evaluation.metrics import scores
from paddle_rsseg.evaluation.result import Evaluation, ImageResult
from paddle_rsseg.evaluation.scenes import Patches, scene_names, seen_by
from paddle_rsseg.evaluation.sharing import Share, parts_of, share_out
from paddle_rsseg.geo.area import row_areas
from paddle_rsseg.inference.engine import Band, WindowPredictor
from paddle_rsseg.inference.load import Ready, open_model
from paddle_rsseg.inference.products import NONE, Products
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.windows import Window

Protocol = Literal["patch", "slide", "stitched"]
PROTOCOLS = get_args(Protocol)


@dataclass(frozen=True)
class _Job:
    """One protocol on one data set, in this process.

    Attributes:
        share: of the samples, what this process does.
        progress: called with the number of samples done.
    """

    protocol: Protocol
    dataset: Any
    predictor: WindowPredictor
    measures: Measures
    share: Share
    examples: int
    progress: Callable[[int], None]


def evaluate(
    model: Any,
    data: Any,
    spec: InferenceSpec | None = None,
    protocol: Protocol | Sequence[Protocol] | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
    device: str | None = None,
    examples: int = 0,
    progress: Any = None,
    measures: Measures | None = None,
    **changes: Any,
) -> Evaluation:
    """Score ``model`` on the validation images.

    Args:
        model: path of weights, of a checkpoint or of an exported model; a ``paddle.nn.Layer``; or a back end.
        data: Settings, path of a configuration, or a data set with ``image(i)`` and ``label(i)``.
        spec: pre- and post-processing; None: from the configuration, else from the weights.
        protocol: ``"slide"``: sliding window, each pixel of a sample counted once. ``"patch"``: each sample of the
            data set in one piece. ``"stitched"``: sliding window over whole scenes, which are put together again
            where the samples are overlapping patches of them. Of several the first gets the measures and pictures, and
            the others stand ``beside`` it; ``"patch"`` then cuts images into patches of the window and stride where
            they are no patches already. None: what ``test_config`` says; ``"slide"`` where there is none.
        batch_size: windows (or images) computed at once; None: what is fastest for the back end.
        backend, device: see :func:`paddle_rsseg.inference.load.open_model`.
        examples: how many best and worst images to keep pictures of.
        progress: ``progress(done, total)``, called after each image of this process.
        measures: what to measure beside the confusion matrix; None: nothing.
        changes: fields of the spec to replace, such as ``average="logits"``.

    Under ``paddle.distributed`` every process scores its share of the images, of few large ones its share of their
    rows, and all return the same result.

    Raises:
        RssegError: unreadable data, label values that are no class, a label of another size than its image.
    """
    settings, dataset = _open_data(data)
    if protocol is None:
        protocol = "patch" if settings is not None and not settings.test_config.is_slide else "slide"
    protocols = _check([protocol] if isinstance(protocol, str) else list(protocol))
    ready = open_model(model, spec, settings, backend, device, **changes)
    if dataset.num_classes != ready.spec.num_classes:
        seen = f"{dataset.num_classes} classes, but the model has {ready.spec.num_classes}"
        raise RssegError(getattr(dataset, "name", "data set"), seen, "the same number")
    given = None if measures is None else measures.frequencies
    if given is not None and len(given) != dataset.num_classes:
        raise RssegError("class frequencies", str(len(given)), f"{dataset.num_classes}, one a class")
    if not len(dataset):
        raise RssegError(getattr(dataset, "name", "data set"), "no images", "at least one")
    ready = replace(ready, spec=replace(ready.spec, ignore_index=dataset.ignore_index))
    # temperature 1: labels do not depend on it, and the sample is drawn before one is fitted
    predictor = WindowPredictor(ready.backend, replace(ready.spec, temperature=1.0), batch_size)
    views = [seen_by(one, dataset, ready.spec, several=len(protocols) > 1) for one in protocols]
    shares = [share_out(view, predictor, one != "patch") for one, view in zip(protocols, views, strict=True)]

    total, before, results = sum(len(share.whole) + len(share.counted) for share in shares), 0, []
    for i, (one, view, share) in enumerate(zip(protocols, views, shares, strict=True)):
        wanted = measures if measures is not None and i == 0 else Measures()
        step = partial(_step, progress, before, total)
        job = _Job(one, view, predictor, wanted, share, examples if i == 0 else 0, step)
        results.append(_run(job, ready))
        before += len(share.whole) + len(share.counted)
    results[0].beside = results[1:]
    return results[0]


def _run(job: _Job, ready: Ready) -> Evaluation:
    """Score this process's share, and put it together with that of the others."""
    started = time.perf_counter()
    parts = _score_parted(job) if job.share.parted else ranks.together(partial(_score_share, job, _predictions(job)))
    # whole numbers per image travel, so the sum is exact and the same everywhere
    images = sorted((image for part in parts for image in part[0]), key=lambda image: image.index)
    names = scene_names(job.dataset)
    for image in images:
        image.scene = image.name if names is None else names[image.index]
    gallery = Gallery(job.examples, ready.spec)
    gallery.best = [example for part in parts for example in part[1].best]
    gallery.worst = [example for part in parts for example in part[1].worst]
    best, worst = gallery.ranked()
    classes = ready.spec.num_classes
    matrix = sum((image.matrix for image in images), np.zeros((classes, classes), np.int64))
    info = _info(job, ready, len(images), ranks.joined()[1])
    fit = _calibration(job, [part[2] for part in parts], images, ready.spec)
    return Evaluation(
        matrix, scores(matrix), tuple(job.dataset.classes), tuple(job.dataset.palette or ()), images, best, worst,
        time.perf_counter() - started, info, job.measures, fit,
    )  # fmt: skip


_Scored = tuple[list[ImageResult], Gallery, Sample | None]


def _score_share(job: _Job, predictions: Iterable[tuple[int, Iterable[Band]]], before: int = 0) -> _Scored:
    spec, sampled = job.predictor.spec, job.measures.calibration
    gallery = Gallery(job.examples, spec)
    sampler = Sampler(spec.num_classes, sampled) if sampled else None
    images = []
    for done, (index, bands) in enumerate(predictions, before + 1):
        result, pictures = _score(job, index, bands, sampler)
        images.append(result)
        gallery.offer(result.miou, result.matrix, pictures, job.dataset, index)
        job.progress(done)
    return images, gallery, None if sampler is None else sampler.finish()


def _score_parted(job: _Job) -> list[_Scored]:
    """Whole samples and parts of others first, so that all are busy to the end; then what came together is counted."""
    share = job.share
    with parts_of(share, job.dataset, job.predictor, _products(job)) as parts:

        def first() -> _Scored:
            found = _score_share(job, _predictions(job))
            parts.predict(share.units)
            return found

        found = ranks.together(first)
        return found + ranks.together(partial(_score_share, job, parts.read(share.counted), len(share.whole)))


def _calibration(
    job: _Job, samples: list[Sample | None], images: list[ImageResult], spec: InferenceSpec
) -> Calibration | None:
    drawn = [sample for sample in samples if sample is not None]
    if not drawn:
        return None
    sample = Sample.smallest(drawn, job.measures.calibration)
    if not len(sample.truth):
        raise RssegError(getattr(job.dataset, "name", "data set"), "no labelled pixel", "some, to calibrate with")
    scenes = {image.scene: i for i, image in enumerate(images)}
    numbers = np.array([scenes[image.scene] for image in images])
    return calibrate(sample, numbers[sample.image], spec.temperature, job.measures.precision)


def _step(progress: Any, before: int, total: int, done: int) -> None:
    if progress:
        progress(before + done, total)


def _check(protocols: list[Any]) -> list[Protocol]:
    for one in protocols:
        if one not in PROTOCOLS:
            raise RssegError("protocol", f"unknown protocol {one!r}", ", ".join(PROTOCOLS),
                             did_you_mean(str(one), PROTOCOLS))  # fmt: skip
    if not protocols or len(set(protocols)) < len(protocols):
        raise RssegError("protocol", " ".join(protocols) or "none", "one or more, each once")
    return protocols


def _open_data(data: Any) -> tuple[Any, Any]:
    """(settings or None, data set)"""
    if isinstance(data, (str, Path)):
        from paddle_rsseg.config import load_config

        data = load_config(data)
    if hasattr(data, "val_dataset"):
        from paddle_rsseg.config import build_dataset

        return data, build_dataset(data, "val")
    return None, data


def _predictions(job: _Job) -> Iterator[tuple[int, Iterable[Band]]]:
    """(index, its bands) of every image. Patches are one band each; neighbours share a batch."""
    # images are read by a thread: it gets its own handles, for those of a data set may be shared by neighbours
    images, predictor = copy.deepcopy(job.dataset), job.predictor
    products = _products(job)
    whole = job.protocol == "patch" and predictor.spec.resize is None
    if whole and not products:
        labels = predictor.predict_whole(images.image(i) for i in job.share.whole)
        for i, label in zip(job.share.whole, labels, strict=True):
            yield i, [Band(0, 0, len(label), label, {})]
        return
    engines: dict[tuple[int, int], WindowPredictor] = {}
    for i in job.share.whole:
        with images.image(i) as raster:
            size = raster.height, raster.width
            if whole and size not in engines:
                engines[size] = _one_window(predictor, *size)
            yield i, engines.get(size, predictor).bands(raster, products)


def _products(job: _Job) -> Products:
    return Products(("probabilities",)) if job.measures.calibration else NONE


def _one_window(predictor: WindowPredictor, height: int, width: int) -> WindowPredictor:
    """The predictor with a window as large as the image: what ``predict_whole`` does, with products."""
    size = height, width
    spec = replace(predictor.spec, policy="sliding", window=size, stride=size, pad="multiple")
    return WindowPredictor(predictor.score.backend, spec, 1)


def _score(job: _Job, index: int, bands: Iterable[Band], sampler: Sampler | None) -> tuple[ImageResult, Sampled | None]:
    """Count one image, and keep a sample of both maps for a picture."""
    dataset = job.dataset
    image_path, label_path = dataset.paths(index)
    truth = dataset.label(index)
    if truth is None:
        raise RssegError(image_path, "has no label", "a label for every image of an evaluation")
    if sampler is not None:
        sampler.start(index)
    area = _pixel_area(dataset, index) if job.measures.sizes and job.measures.size_unit == "m2" else 1.0
    counter = ImageCounter(job.measures, job.predictor.spec, truth.height, truth.width, area, sampler)
    pictures = Sampled(truth.height, truth.width) if job.examples else None
    for band in bands:
        if band.y1 > truth.height or band.labels.shape[1] != truth.width:
            seen = f"{truth.height}×{truth.width} pixels, but its image {image_path} differs"
            raise RssegError(label_path, seen, "image and label of one size")
        expected = truth.read(Window(band.y0, band.y1, 0, truth.width))
        try:
            counter.add(band.y0, band.labels, expected, band.layers)
        except ValueError as error:
            fix = "check num_classes and the palette; 'rsseg doctor CONFIG' looks at every label"
            raise RssegError(label_path, str(error), fix=fix) from error
        if pictures:
            pictures.add(band.y0, band.labels, expected)
    if band.y1 != truth.height:
        seen = f"{truth.height}×{truth.width} pixels, but its image {image_path} has {band.y1} rows"
        raise RssegError(label_path, seen, "image and label of one size")
    return ImageResult(index, name_of(dataset, index), **counter.finish()), pictures


def _pixel_area(dataset: Any, index: int) -> float:
    """Of the mean pixel in m²: in degrees the rows of a scene differ a little."""
    with dataset.image(index) as raster:
        if raster.crs is None:
            fix = "measure sizes in pixels (--size_unit px)"
            raise RssegError(raster.path, "has no place on the ground", "one, for sizes in m²", fix)
        return float(row_areas(raster.crs, raster.transform, raster.height, raster.path).mean())


def _info(job: _Job, ready: Ready, images: int, number: int) -> dict[str, Any]:
    spec, protocol = ready.spec, job.protocol
    info: dict[str, Any] = {"protocol": protocol, "images": images}
    if isinstance(job.dataset, Patches):
        info["patches (w × h)"], info["patch stride (w × h)"] = list(spec.window[::-1]), list(spec.stride[::-1])
    if protocol != "patch" and spec.resize is None:
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
    return info | {"batch size": job.predictor.batch_size, "processes": number, "weights": ready.source}
