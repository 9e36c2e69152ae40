"""Several processes, one command: which of them this is, and how they meet. All of it is a no-op in a single process.

``python -m paddle.distributed.launch`` starts the processes, and ends all of them when one dies.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from paddle_rsseg.errors import RssegError
from paddle_rsseg.runtime import without_noise

T = TypeVar("T")

#: seconds that a rank waits for the others; gloo, left to itself, waits 30
PATIENCE = 6 * 3600.0

_meetings = itertools.count()


def rank() -> int:
    """Number of this process, 0 in a single one."""
    return int(os.environ.get("PADDLE_TRAINER_ID", 0))


def world_size() -> int:
    return int(os.environ.get("PADDLE_TRAINERS_NUM", 1))


def is_main() -> bool:
    """True in the one process that prints and writes."""
    return rank() == 0


def setup(device: str | None) -> str:
    """Choose the device, join the other ranks; returns ``"cpu"`` or ``"gpu"``.

    Args:
        device: ``"cpu"``, ``"gpu"`` or None: a GPU if there is one.
    """
    import paddle
    import paddle.distributed as dist

    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    device = device or ("gpu" if gpus else "cpu")
    if device == "gpu" and not gpus:
        seen = "none was found" if paddle.is_compiled_with_cuda() else "this PaddlePaddle is built for CPUs"
        raise RssegError("--device gpu", seen, "a GPU and paddlepaddle-gpu", "use --device cpu")
    paddle.set_device(device)  # under paddle.distributed.launch, "gpu" is the GPU of this rank
    if world_size() > 1 and not dist.is_initialized():
        with without_noise():
            dist.init_parallel_env()
    return device


def joined() -> tuple[int, int]:
    """(number of this process, number of processes); (0, 1) as long as they have not been joined by :func:`setup`."""
    if world_size() == 1:
        return 0, 1
    import paddle.distributed as dist

    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def barrier() -> None:
    if world_size() > 1:
        import paddle.distributed as dist

        _meet()
        dist.barrier()


def gather(value: Any) -> list[Any]:
    """The picklable ``value`` of every rank, in rank order, on every rank.

    Raises:
        RssegError: a rank has not come within :data:`PATIENCE`.
    """
    if world_size() == 1:
        return [value]
    import paddle.distributed as dist

    _meet()
    values: list[Any] = []
    dist.all_gather_object(values, value)
    return values


def on_main(function: Callable[[], T]) -> T:
    """Run ``function`` on rank 0 alone and hand its (picklable) result to all; its RssegError is raised on all."""
    results: list[Any] = together(function if is_main() else lambda: None)
    return results[0]


def together(function: Callable[[], T]) -> list[T]:
    """Run ``function`` on every rank and hand all (picklable) results to all, in rank order.

    Where it raises an RssegError, the first such error is raised on all ranks, rather than on one that the others
    would wait for in vain.
    """
    result: Any = None
    try:
        result = function()
    except RssegError as error:
        result = error
    results = gather(result)
    for result in results:
        if isinstance(result, RssegError):
            raise result
    return results


def _meet() -> None:
    """Wait until all ranks have come here: a collective of gloo gives up on those that are 30 seconds late.

    They are counted in the store through which they found each other. What follows must be a collective, for the
    store ends with rank 0.
    """
    from paddle.base import core

    store, key = core.create_or_get_global_tcp_store(), f"paddle_rsseg/meeting{next(_meetings)}"
    until, pause = time.monotonic() + PATIENCE, 0.001
    store.add(key, 1)
    while (come := store.add(key, 0)) < world_size():
        if time.monotonic() > until:
            seen = f"{come} of {world_size()} processes came to the meeting point within {PATIENCE / 3600:g} h"
            raise RssegError(f"rank {rank()}", seen, "all", "see the logs of the others, and start again")
        time.sleep(pause)
        pause = min(2 * pause, 0.5)
