"""Endless training batches: which images, read by worker processes or here, the same whoever reads them."""

from __future__ import annotations

import os
import time
import traceback
import warnings
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import paddle

from paddle_rsseg.errors import RssegError

Key = tuple[int, int]
Batch = dict[str, Any]
Batches = Generator[Batch, None, None]

#: seconds between two looks at whether the workers live; reading may take longer than that
CHECK_SECONDS = 10


class TrainSampler:
    """Endless batches of (epoch, index).

    All ranks draw the same permutation of the data set for each epoch and take disjoint parts of it; what does not
    fill a batch on every rank is left out of the epoch. Nothing is stored between iterations, so training resumes
    anywhere at no cost.

    Args:
        length: samples in the data set.
        batch_size: samples a batch and rank.
        rank, world_size: this process among those that train together.
        start_iter: batches that an earlier run has consumed.
        shuffle: False: in file order, for tests.

    Raises:
        RssegError: the data set is smaller than one batch of all ranks.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        start_iter: int = 0,
        shuffle: bool = True,
    ):
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.start_iter, self.shuffle = start_iter, shuffle
        #: batches an epoch
        self.iters_per_epoch = length // (batch_size * world_size)
        if self.iters_per_epoch == 0:
            together = f" on {world_size} processes" if world_size > 1 else ""
            raise RssegError(
                "train_dataset", f"{length} images for batches of {batch_size}{together}", "at least one batch",
                "a smaller batch_size, or repeat: N in the data set, which offers each image N times an epoch",
            )  # fmt: skip

    def __iter__(self) -> Iterator[list[Key]]:
        iteration = self.start_iter
        while True:
            epoch, step = divmod(iteration, self.iters_per_epoch)
            order = self._order(epoch)
            for first in range(step, self.iters_per_epoch):
                start = (first * self.world_size + self.rank) * self.batch_size
                yield [(epoch, int(index)) for index in order[start : start + self.batch_size]]
                iteration += 1

    def _order(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.length)
        return np.random.default_rng([self.seed, epoch]).permutation(self.length)


def make_train_loader(dataset: Any, sampler: TrainSampler, num_workers: int = 0) -> TrainLoader:
    """The batches of ``sampler``, read from ``dataset`` by ``num_workers`` processes, or here if 0.

    Each is ``{"image": N×C×H×W float32 Tensor, "label": N×H×W int64 Tensor, "names": list[str]}``, and ``"fields"``:
    {name: N×K×H×W float32 Tensor} if the samples have any.
    """
    return TrainLoader(dataset, sampler, num_workers)


class TrainLoader:
    """Iterator over training batches; see :func:`make_train_loader`.

    Attributes:
        waited: seconds spent waiting for data so far.

    Raises (on iteration):
        RssegError: a sample could not be read, named by its file, whichever process met it; samples of different
            sizes; a worker process that was killed.
    """

    def __init__(self, dataset: Any, sampler: TrainSampler, num_workers: int = 0):
        if num_workers < 0:
            raise RssegError("num_workers", f"{num_workers}", "0 or more")
        self.waited = 0.0
        self._batches = _here(dataset, sampler) if num_workers == 0 else _in_workers(dataset, sampler, num_workers)

    def __iter__(self) -> TrainLoader:
        return self

    def __next__(self) -> Batch:
        start = time.perf_counter()
        batch = next(self._batches)
        self.waited += time.perf_counter() - start
        return batch

    def close(self) -> None:
        """Stop the workers."""
        self._batches.close()


def _here(dataset: Any, sampler: TrainSampler) -> Batches:
    """Paddle's own loader hangs for ever when a data set raises without workers, so this one is ours."""
    for keys in sampler:
        yield _to_tensors(_collate([_read(dataset, key) for key in keys]))


def _in_workers(dataset: Any, sampler: TrainSampler, num_workers: int) -> Batches:
    shared = _fits_shared_memory(dataset, sampler, num_workers)
    loader = paddle.io.DataLoader(
        _Reader(dataset),
        batch_sampler=sampler,
        num_workers=num_workers,
        collate_fn=_collate_or_error,
        use_shared_memory=shared,
        timeout=CHECK_SECONDS,
        worker_init_fn=_start_worker,
    )
    batches = iter(loader)
    while True:
        try:
            batch = next(batches)
        except SystemError as error:
            raise RssegError(
                "data loading", "a worker process was killed", "workers that live",
                "most often memory ran out: try fewer workers (--num_workers) or --num_workers 0",
            ) from error  # fmt: skip
        if "error" in batch:
            raise RssegError(*batch["error"].split(": ", 1)) from RuntimeError(batch["trace"])
        yield _to_tensors(batch)


class _Reader(paddle.io.Dataset):
    """The data set as a worker sees it: an exception is a sample, so that it reaches the main process.

    Paddle would print a worker's traceback on stderr and tell the main process that some queue was killed.
    """

    def __init__(self, dataset: Any):
        self._dataset = dataset

    def __getitem__(self, key: Key) -> Any:
        try:
            return _read(self._dataset, key)
        except RssegError as error:
            return error

    def __len__(self) -> int:
        return len(self._dataset)


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)  # a pool that was forked is dead, and the workers already fill the processors


def _read(dataset: Any, key: Key) -> Any:
    """One sample; every exception becomes a RssegError that names the file."""
    try:
        return dataset[key]
    except RssegError:
        raise
    except Exception as error:
        path = dataset.paths(key[1])[0]
        raise RssegError(path, f"reading it failed with {type(error).__name__}: {error}") from error


def _collate(samples: Sequence[Any]) -> Batch:
    """Samples → {"image": N×C×H×W float32, "label" and "fields" in the samples' types, "names"}."""
    first = samples[0]
    if "label" not in first:
        raise RssegError(first["name"], "no label", "a label for every training image", "mode: train needs labels")
    height, width, bands = first["image"].shape
    for sample in samples:
        if sample["image"].shape != first["image"].shape or sample["label"].shape != (height, width):
            h, w, c = sample["image"].shape
            raise RssegError(
                sample["name"], f"{h}×{w}×{c} (height × width × bands)",
                f"{height}×{width}×{bands}, as {first['name']}",
                "make the training images one size: RandomPaddingCrop, or Padding and square rotations",
            )  # fmt: skip
    image = np.empty((len(samples), bands, height, width), np.float32)
    label = np.empty((len(samples), height, width), first["label"].dtype)
    for i, sample in enumerate(samples):
        image[i] = sample["image"].transpose(2, 0, 1)
        label[i] = sample["label"]
    batch: Batch = {"image": image, "label": label, "names": [sample["name"] for sample in samples]}
    if "fields" in first:
        stacks = {name: np.stack([sample["fields"][name] for sample in samples]) for name in first["fields"]}
        batch["fields"] = {name: stack.transpose(0, 3, 1, 2).copy() for name, stack in stacks.items()}
    return batch


def _collate_or_error(samples: Sequence[Any]) -> Batch:
    """:func:`_collate` in a worker: plain text for what went wrong. Labels travel as bytes, an eighth of int64."""
    try:
        for sample in samples:
            if isinstance(sample, RssegError):
                raise sample
        return _collate(samples)
    except RssegError as error:
        trace = "".join(traceback.format_exception(error))
        # Paddle's queue wants at least one array
        return {"error": str(error), "trace": trace, "array": np.zeros(1, np.uint8)}


def _to_tensors(batch: Batch) -> Batch:
    def tensor(array: Any, dtype: str) -> paddle.Tensor:
        return (paddle.to_tensor(array) if isinstance(array, np.ndarray) else array).astype(dtype)

    tensors = {"image": tensor(batch["image"], "float32"), "label": tensor(batch["label"], "int64")}
    if "fields" in batch:
        tensors["fields"] = {name: tensor(field, "float32") for name, field in batch["fields"].items()}
    return {**tensors, "names": list(batch["names"])}


def _fits_shared_memory(dataset: Any, sampler: TrainSampler, num_workers: int) -> bool:
    """Whether /dev/shm holds what is under way. A container often has 64 MB of it; overrunning it is a bus error."""
    try:
        stat = os.statvfs("/dev/shm")
    except OSError:
        return False
    sample = _read(dataset, next(iter(sampler))[0])
    fields = sum(field.nbytes for field in sample.get("fields", {}).values())
    batch = sampler.batch_size * (sample["image"].size * 4 + sample["label"].nbytes + fields)
    needed, free = (2 * num_workers + 2) * batch, stat.f_bavail * stat.f_frsize
    if needed <= free:
        return True
    warnings.warn(
        f"/dev/shm has {free >> 20} MiB free, {num_workers} workers would need {needed >> 20} MiB: "
        "batches go through pipes instead, which is slower (docker: --shm-size)",
        stacklevel=2,
    )
    return False
