"""iSAID's archives → the patch tree that training and evaluation read (``rsseg prepare isaid --help`` shows it).

The tree appears file by file, each written whole; a journal per image remembers what is finished. The list files
come last, after everything has been read back and counted: a tree that has them is complete.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from paddle_rsseg.data.files import is_part, write_whole
from paddle_rsseg.data.parallel import worker_count
from paddle_rsseg.data.prepare import worker
from paddle_rsseg.data.prepare.isaid_cut import IGNORE, JOURNAL, Options, cut, files_of, finished
from paddle_rsseg.data.prepare.isaid_legend import CLASSES, SHORT_CLASSES
from paddle_rsseg.data.prepare.isaid_source import SPLITS, Pair, find_pairs
from paddle_rsseg.data.prepare.isaid_verify import verify
from paddle_rsseg.errors import RssegError

R = TypeVar("R")

#: images and 896/384 patches of the whole data set
FULL_IMAGES = {"train": 1411, "val": 458}
FULL_PATCHES = {"train": 33978, "val": 11644}

TREE = ("img_dir", "ann_dir", "valid_dir")
LISTS = ("train_list.txt", "val_list.txt", "valid_dir/val_list.txt", "labels.txt", "prepare.json")
#: patches compressed fast are at most about this much larger than the same pixels in the archive's PNGs
GROWTH = 1.3


def prepare_isaid(
    root: str | os.PathLike[str],
    out_dir: str | os.PathLike[str] = "iSAID",
    options: Options | None = None,
    num_workers: int | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Cut the data set below ``root`` into the tree ``out_dir``; a second call continues an interrupted one.

    Args:
        root: holds ``{train,val}/images`` and ``{train,val}/Semantic_masks`` with the downloaded zips, or a tree
            that was unzipped (also the layouts of the devkit and of the official FarSeg release).
        options: patch size, overlap, colours.
        num_workers: processes; None: one per CPU this process may use; 0: none but this one.
        overwrite: delete what an earlier run with other options left in ``out_dir``.

    Returns:
        What ``prepare.json`` holds: options, and per split the counts and label histograms.

    Raises:
        RssegError: bad source, foreign files in ``out_dir``, disk too small, or a result that fails verification.
    """
    root, out, options, console = Path(root), Path(out_dir), options or Options(), console or Console(stderr=True)
    pairs = {split: find_pairs(root, split) for split in SPLITS}
    every = [pair for split in SPLITS for pair in pairs[split]]
    if not every:
        raise RssegError(
            root, "holds neither train/images nor val/images with zips or PNG files", "the downloaded archives, e.g. "
            "train/images/part1.zip and train/Semantic_masks/images.zip",
        )  # fmt: skip
    for split in SPLITS:
        if not pairs[split]:
            console.print(f"no {split} images below {root}: the tree will have no {split} split", highlight=False)
    _check_known_counts(pairs, options)
    with _locked(out):
        _check_tree(out, every, options, overwrite)
        records = {(p.split, p.stem): record for p in every if (record := finished(p, options, out))}
        todo = [p for p in every if (p.split, p.stem) not in records]
        _check_disk(out, todo, options)
        if todo:
            for name in LISTS:  # the tree is not complete until they are written again
                (out / name).unlink(missing_ok=True)
        if records and todo:
            console.print(f"continuing: {len(records)} of {len(every)} images are finished", highlight=False)
        with _pool(num_workers) as pool:
            jobs = [(cut, pair, options, out) for pair in sorted(todo, key=lambda p: -p.height * p.width)]
            sizes = [len(files_of(pair, options)) for _, pair, _, _ in jobs]
            for index, record in _progress(_run(pool, jobs), sizes, "cutting", console):
                records[jobs[index][1].split, jobs[index][1].stem] = record
            _verify(pool, out, every, records, options, console)
        summary = _summary(pairs, records, options)
        _write_lists(out, pairs, summary, options)
    _print(summary, records, console)
    return summary


def _check_known_counts(pairs: dict[str, list[Pair]], options: Options) -> None:
    """The whole data set must give the published numbers of patches; known from the image sizes alone."""
    if (options.patch_height, options.patch_width, options.overlap) != (896, 896, 384):
        return
    for split, wanted in FULL_PATCHES.items():
        count = sum(len(options.windows(p.height, p.width)) for p in pairs[split])
        if len(pairs[split]) == FULL_IMAGES[split] and count != wanted:
            raise RssegError(
                split, f"{FULL_IMAGES[split]} images give {count:,} patches", f"{wanted:,} for iSAID",
                "these are not the original images",
            )  # fmt: skip


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep a second run out of the same tree. The lock goes with the process, however it ends."""
    try:
        (out / JOURNAL).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RssegError(out, f"cannot be made: {error.strerror}", "a directory that can be written") from error
    with open(out / JOURNAL / "lock", "w") as file:
        try:
            import fcntl
        except ImportError:  # Windows; there the rename of a file in use fails instead
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RssegError(out, "another run is working in it", fix="wait for it, or choose another -o") from error
        yield


def _check_tree(out: Path, pairs: Sequence[Pair], options: Options, overwrite: bool) -> None:
    """Refuse a tree that holds anything this run would not write itself, so that no stale file survives."""
    marker = out / JOURNAL / "options.json"
    present = [path for top in TREE for path in (out / top).rglob("*") if not path.is_dir()]
    if overwrite:
        for name in TREE:
            shutil.rmtree(out / name, ignore_errors=True)
        for split in SPLITS:
            shutil.rmtree(out / JOURNAL / split, ignore_errors=True)
        marker.unlink(missing_ok=True)
        for name in LISTS:
            (out / name).unlink(missing_ok=True)
    elif marker.exists():
        earlier = json.loads(marker.read_text())
        different = {key: value for key, value in options.to_dict().items() if earlier.get(key) != value}
        if different:
            key, value = next(iter(different.items()))
            raise RssegError(
                out,
                f"was made with {key}={earlier.get(key)!r}",
                f"{key}={value!r}",
                "choose another -o, or --overwrite it",
            )
        wanted = {out / path for pair in pairs for names in files_of(pair, options) for path in names}
        wanted |= {out / "valid_dir/val_list.txt"}
        for path in present:
            if is_part(path):
                path.unlink()  # a killed run's
            elif path not in wanted:
                raise RssegError(
                    path, "does not belong to the images at hand", fix="choose another -o, or --overwrite it"
                )
    elif present:
        raise RssegError(
            out, f"holds {len(present)} files of unknown origin", fix="choose another -o, or --overwrite it"
        )
    for split in {pair.split for pair in pairs}:
        folders = [f"img_dir/{split}", f"ann_dir/{split}", f"{JOURNAL}/{split}"]
        for name in folders + (["valid_dir/images", "valid_dir/labels"] if split == "val" else []):
            (out / name).mkdir(parents=True, exist_ok=True)
    write_whole(marker, json.dumps(options.to_dict()).encode())


def _check_disk(out: Path, todo: Iterable[Pair], options: Options) -> None:
    """Refuse to begin what would fill the disk; by the size that the archives' PNGs have per pixel."""
    needed = 0.0
    for pair in todo:
        pixels = len(options.windows(pair.height, pair.width)) * options.patch_height * options.patch_width
        per_pixel = min(3.1, GROWTH * pair.image.size / (pair.height * pair.width)) + 0.02  # and the label
        needed += per_pixel * pixels + (pair.image.size if pair.split == "val" else 0)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise RssegError(
            out, f"{free / 1e9:.1f} GB are free", f"about {needed / 1e9:.1f} GB", "choose a larger disk with -o"
        )


@contextmanager
def _pool(num_workers: int | None) -> Iterator[Executor | None]:
    """Worker processes, or None for 0. On the way out they finish the image at hand and drop the rest."""
    num_workers = worker_count(num_workers)
    if num_workers == 0:
        yield None
        return
    # spawn: forked copies of a process with threads (progress display, OpenCV) may dead-lock
    pool = ProcessPoolExecutor(num_workers, worker.context(), initializer=worker.initialise)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _run(pool: Executor | None, jobs: Sequence[tuple[Callable[..., R], Any, Any, Any]]) -> Iterator[tuple[int, R]]:
    """(index, result) of ``function(*arguments)`` of every job as they finish; few are queued at a time."""
    if pool is None:
        for index, (function, *arguments) in enumerate(jobs):
            yield index, function(*arguments)
        return
    rest = iter(enumerate(jobs))
    running: dict[Future[R], int] = {}
    while True:
        for index, (function, *arguments) in islice(rest, 64 - len(running)):
            running[pool.submit(function, *arguments)] = index
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            try:
                yield running.pop(future), future.result()
            except BrokenProcessPool as error:
                raise RssegError(
                    "--num_workers", "a worker process was killed", "enough memory for one image in each worker",
                    "run again with fewer to continue",
                ) from error  # fmt: skip


def _progress(
    results: Iterator[tuple[int, R]], sizes: Sequence[int], title: str, console: Console
) -> Iterator[tuple[int, R]]:
    """Pass results on and show how many files are written, a label counting as one with its image."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("files"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    if not sizes:
        return
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=sum(sizes))
        for index, result in results:
            progress.advance(task, sizes[index])
            yield index, result


def _verify(
    pool: Executor | None, out: Path, pairs: Sequence[Pair], records: dict[Any, Any], options: Options, console: Console
) -> None:
    """Read everything back: each file's size, each label's values, and that nothing else is there."""
    jobs = [(verify, pair, records[pair.split, pair.stem], out) for pair in pairs]
    sizes = [len(files_of(pair, options)) for pair in pairs]
    for _ in _progress(_run(pool, jobs), sizes, "verifying", console):
        pass
    wanted = {path for pair in pairs for names in files_of(pair, options) for path in names}
    there = {p.relative_to(out).as_posix() for top in TREE for p in (out / top).rglob("*.png")}
    if wanted != there:
        odd = sorted(wanted ^ there)
        raise RssegError(out, f"{len(odd)} files too many or too few, e.g. {odd[0]}", fix="run again with --overwrite")


def _summary(pairs: dict[str, list[Pair]], records: dict[Any, Any], options: Options) -> dict[str, Any]:
    splits = {}
    for split, found in pairs.items():
        if not found:
            continue
        own = [records[split, pair.stem] for pair in found]
        names = [*CLASSES, *[""] * (IGNORE - len(CLASSES)), "ignored"]

        def table(key: str, own: list[dict[str, Any]] = own, names: list[str] = names) -> dict[str, int]:
            counts = np.sum([record[key] for record in own], axis=0)
            return {name: int(count) for name, count in zip(names, counts, strict=True) if name}

        splits[split] = {
            "images": len(found),
            "patches": sum(len(options.windows(pair.height, pair.width)) for pair in found),
            "pixels": table("histogram"),
            "patch_pixels": table("patch_histogram"),
            "unknown_colors": {p.stem: r["unknown"] for p, r in zip(found, own, strict=True) if r["unknown"]},
        }
    return {"dataset": "iSAID", "options": options.to_dict(), "splits": splits}


def _write_lists(out: Path, pairs: dict[str, list[Pair]], summary: dict[str, Any], options: Options) -> None:
    """List files, class names, and last of all ``prepare.json``, the mark of a complete tree."""
    texts: dict[str, Iterable[str]] = {"labels.txt": SHORT_CLASSES}
    for split, found in pairs.items():
        lines = [names for pair in found for names in files_of(pair, options)]
        if found:
            texts[f"{split}_list.txt"] = sorted(f"{a} {b}" for a, b in lines if a.startswith("img_dir"))
        if split == "val" and found:
            whole = [(a, b) for a, b in lines if a.startswith("valid_dir")]
            texts["valid_dir/val_list.txt"] = sorted(
                f"{a.removeprefix('valid_dir/')} {b.removeprefix('valid_dir/')}" for a, b in whole
            )
    texts["prepare.json"] = [json.dumps(summary, indent=2)]
    for name, content in texts.items():
        write_whole(out / name, "".join(f"{line}\n" for line in content).encode())


def _print(summary: dict[str, Any], records: dict[Any, Any], console: Console) -> None:
    splits = summary["splits"]
    table = Table(title="labels of the whole images")
    table.add_column("class")
    for split in splits:
        table.add_column(f"{split} pixels", justify="right")
        table.add_column("%", justify="right")
    for name in [*CLASSES, "ignored"]:
        row = [name]
        for content in splits.values():
            count, total = content["pixels"][name], sum(content["pixels"].values())
            row += [f"{count:,}", f"{100 * count / total:.3f}"]
        table.add_row(*row)
    console.print(table)
    for split, content in splits.items():
        console.print(f"{split}: {content['images']:,} images, {content['patches']:,} patches", highlight=False)
        strange = content["unknown_colors"]
        for stem, colours in list(strange.items())[:10]:
            told = ", ".join(f"({colour}) × {count:,}" for colour, count in list(colours.items())[:3])
            more = f" and {len(colours) - 3} more" if len(colours) > 3 else ""
            label = summary["options"]["unknown_label"]
            console.print(f"{split}/{stem}: colours of no class, now label {label}: {told}{more}", highlight=False)
        if len(strange) > 10:
            console.print(f"… and {len(strange) - 10} more images with such colours, see prepare.json", highlight=False)
