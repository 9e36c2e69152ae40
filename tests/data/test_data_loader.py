"""Order, determinism, resuming, and errors that arrive in the main process with the file's name."""

import os
import signal
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest

from paddle_rsseg.data.datasets import FolderDataset
from paddle_rsseg.data.loader import TrainSampler, make_train_loader
from paddle_rsseg.errors import RssegError

TRANSFORMS = [
    {"type": "RandomPaddingCrop", "crop_size": [24, 16]},
    {"type": "RandomHorizontalFlip"},
    {"type": "RandomDistort"},
    {"type": "Normalize"},
]


def make_folder(root, count=10):
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for i in range(count):
        size = (20 + i, 30 - i)
        cv2.imwrite(str(root / f"images/{i:02}.png"), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        cv2.imwrite(str(root / f"masks/{i:02}.png"), rng.integers(0, 3, size, dtype=np.uint8))
    return root


def make_dataset(root, transforms=TRANSFORMS, **options):
    return FolderDataset(
        image_dir=str(root / "images"), mask_dir=str(root / "masks"), num_classes=3, mode="train",
        transforms=transforms, **options,
    )  # fmt: skip


def take(loader, count):
    batches = [(b["image"].numpy(), b["label"].numpy(), b["names"]) for b, _ in zip(loader, range(count), strict=False)]
    loader.close()
    return batches


def same(a, b):
    return len(a) == len(b) and all(
        np.array_equal(x[0], y[0]) and np.array_equal(x[1], y[1]) and x[2] == y[2] for x, y in zip(a, b, strict=True)
    )


def test_sampler_covers_an_epoch_once_over_all_ranks():
    ranks = [iter(TrainSampler(23, 3, seed=5, rank=r, world_size=2)) for r in range(2)]
    seen = []
    for _ in range(3):  # 23 // 6 batches an epoch
        for rank in ranks:
            seen += next(rank)
    assert len({index for _, index in seen}) == len(seen) == 18
    assert {epoch for epoch, _ in seen} == {0}
    following = next(ranks[0])
    assert {epoch for epoch, _ in following} == {1}
    assert [i for _, i in following] != [i for _, i in seen[:3]]


@pytest.mark.parametrize("start", [0, 1, 4, 5, 117])
def test_sampler_skips_to_any_iteration(start):
    whole = iter(TrainSampler(11, 2, seed=1))
    for _ in range(start):
        next(whole)
    skipped = iter(TrainSampler(11, 2, seed=1, start_iter=start))
    for _ in range(8):
        assert next(skipped) == next(whole)


def test_sampler_refuses_less_than_a_batch():
    with pytest.raises(RssegError, match="3 images for batches of 2 on 2 processes"):
        TrainSampler(3, 2, world_size=2)


def test_batches_are_the_same_with_and_without_workers_and_after_resuming(tmp_path):
    dataset = make_dataset(make_folder(tmp_path), seed=7)
    here = take(make_train_loader(dataset, TrainSampler(10, 3, seed=7), 0), 7)
    assert here[0][0].shape == (3, 3, 16, 24)
    assert here[0][0].dtype == np.float32
    assert here[0][1].dtype == np.int64
    workers = take(make_train_loader(dataset, TrainSampler(10, 3, seed=7), 2), 7)
    assert same(here, workers)
    resumed = take(make_train_loader(dataset, TrainSampler(10, 3, seed=7, start_iter=4), 2), 3)
    assert same(here[4:], resumed)
    other = take(make_train_loader(make_dataset(tmp_path, seed=8), TrainSampler(10, 3, seed=7), 0), 1)
    assert not same(here[:1], other)
    # the same image in another epoch is another sample
    assert not np.array_equal(dataset[(0, 0)]["image"], dataset[(1, 0)]["image"])


def test_waiting_is_counted(tmp_path):
    loader = make_train_loader(make_dataset(make_folder(tmp_path)), TrainSampler(10, 2), 0)
    next(loader)
    first = loader.waited
    next(loader)
    assert 0 < first < loader.waited


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_is_named(tmp_path, workers):
    root = make_folder(tmp_path)
    path = root / "images/04.png"
    path.write_bytes(path.read_bytes()[:200])
    loader = make_train_loader(make_dataset(root), TrainSampler(10, 2, shuffle=False), workers)
    assert next(loader)["names"][0].endswith("00.png")
    next(loader)
    with pytest.raises(RssegError, match=r"images/04\.png: cannot be read"):
        next(loader)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mistake_in_a_transform_is_told_with_the_file(tmp_path, workers):
    def broken(sample, rng):
        raise ZeroDivisionError("by the author")

    loader = make_train_loader(
        make_dataset(make_folder(tmp_path), [broken]), TrainSampler(10, 2, shuffle=False), workers
    )
    with pytest.raises(RssegError, match=r"images/00\.png: .*ZeroDivisionError: by the author"):
        next(loader)


@pytest.mark.parametrize("workers", [0, 2])
def test_unequal_sizes_are_told(tmp_path, workers):
    loader = make_train_loader(make_dataset(make_folder(tmp_path), []), TrainSampler(10, 2, shuffle=False), workers)
    with pytest.raises(RssegError, match=r"01\.png: 21×29×3.*RandomPaddingCrop"):
        next(loader)


def test_without_shared_memory(tmp_path, monkeypatch):
    class Tiny:
        f_bavail, f_frsize = 1, 1024

    dataset = make_dataset(make_folder(tmp_path))
    expected = take(make_train_loader(dataset, TrainSampler(10, 2), 0), 2)
    monkeypatch.setattr(os, "statvfs", lambda path: Tiny)
    loader = make_train_loader(dataset, TrainSampler(10, 2), 2)
    with pytest.warns(UserWarning, match="/dev/shm"):
        first = next(loader)
    assert np.array_equal(first["image"].numpy(), expected[0][0])
    loader.close()


@pytest.mark.slow
def test_a_killed_worker_ends_training_with_a_line(tmp_path):
    """In a process of its own: Paddle's signal handling speaks to the whole process."""
    make_folder(tmp_path)
    code = textwrap.dedent(f"""
        import os, signal, multiprocessing
        from pathlib import Path
        from test_data_loader import make_dataset
        from paddle_rsseg.data.loader import TrainSampler, make_train_loader
        loader = make_train_loader(make_dataset(Path({str(tmp_path)!r})), TrainSampler(10, 2), 2)
        next(loader)
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, signal.{signal.SIGKILL.name})
        while True:
            next(loader)
    """)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=90,
        cwd=os.path.dirname(__file__),
        check=False,
    )
    assert done.returncode == 1
    assert "a worker process was killed" in done.stderr
