"""One stream, several readers at once: files are compressed and written while the network computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_END = object()


class _Abandoned(BaseException):
    """The stream broke off; whoever reads it cleans up and ends."""


def fan_out(items: Iterable[T], readers: Sequence[Callable[[Iterator[T]], R]], depth: int = 1) -> list[R]:
    """Give every item to every reader, each in a thread of its own, and return what they return.

    Args:
        items: taken in this thread, at most ``depth`` items and the one in work ahead of the slowest reader.
        readers: called once each with an iterator over all items; not one of them may end early.

    Raises:
        Whatever ``items`` or a reader raises; the other readers are stopped and have cleaned up by then.
    """
    queues: list[queue.Queue[Any]] = [queue.Queue(depth) for _ in readers]
    ended = [False] * len(readers)
    results: list[Any] = [None] * len(readers)
    failed = threading.Event()
    errors: list[BaseException] = []

    def stream(index: int) -> Iterator[T]:
        while True:
            item = queues[index].get()
            if item is _END:
                ended[index] = True
            if failed.is_set():
                raise _Abandoned
            if item is _END:
                return
            yield item
            del item  # items are large, and the next may be long in coming

    def work(index: int) -> None:
        try:
            results[index] = readers[index](stream(index))
        except _Abandoned:
            pass
        except BaseException as error:
            errors.append(error)
            failed.set()
        while not ended[index]:  # so that nobody waits for a place in the queue
            ended[index] = queues[index].get() is _END

    threads = [threading.Thread(target=work, args=(k,), name=f"reader {k}") for k in range(len(readers))]
    for thread in threads:
        thread.start()
    try:
        for item in items:
            if failed.is_set():
                break
            for target in queues:
                target.put(item)
            del item
    except BaseException:
        failed.set()
        raise
    finally:
        for target in queues:
            target.put(_END)
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return results
