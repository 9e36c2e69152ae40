"""One function over all file pairs of a data set, in several processes, with progress."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.runtime import available_cores

T = TypeVar("T")
R = TypeVar("R")

_context: Any = None


def over(
    function: Callable[[Any, T], R],
    context: Any,
    items: Sequence[T],
    num_workers: int | None = None,
    console: Console | None = None,
    title: str = "reading",
) -> Iterator[R]:
    """``function(context, item)`` for every item, in order.

    Args:
        context: sent to each process once, such as a data set.
        num_workers: processes; None: one per processor; 0 or 1: none but this one.
        console: where progress is shown; None: nowhere.
    """
    workers = min(worker_count(num_workers), len(items))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True) if console else nullcontext()
    if workers <= 1:
        with progress as bar:
            yield from _counted((function(context, item) for item in items), bar, title, len(items))
        return
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, fork, initializer=_set_context, initargs=(function, context)) as pool:
        try:
            # the processes start with the first job, before the progress display has a thread
            results = pool.map(_call, items, chunksize=max(1, min(16, len(items) // (workers * 8))))
            with progress as bar:
                yield from _counted(results, bar, title, len(items))
        except BrokenProcessPool as error:
            raise RssegError(
                title,
                "a worker process was killed",
                "workers that live",
                "memory may have run out: fewer --num_workers",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def worker_count(num_workers: int | None) -> int:
    """``num_workers``, or one for each processor; RssegError for a negative number."""
    if num_workers is None:
        return available_cores()
    if num_workers < 0:
        raise RssegError("--num_workers", f"{num_workers}", "0 or more")
    return num_workers


def _set_context(function: Callable[[Any, Any], Any], context: Any) -> None:
    global _context
    _context = function, context


def _call(item: Any) -> Any:
    function, context = _context
    return function(context, item)


def _counted(results: Iterator[R], bar: Any, title: str, total: int) -> Iterator[R]:
    task = bar.add_task(title, total=total) if bar else None
    for result in results:
        if bar:
            bar.advance(task)
        yield result
