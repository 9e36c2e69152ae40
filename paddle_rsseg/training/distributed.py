"""Several processes, one training: what the ranks share. All of it is a no-op in a single process.

Gradients are averaged here rather than by ``paddle.DataParallel``: one call after the last backward pass serves
accumulation, frozen parts and mixed precision alike, on gloo (CPU) as on NCCL.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import paddle
import paddle.distributed as dist
from paddle import nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.runtime import without_noise

T = TypeVar("T")


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


def barrier() -> None:
    if world_size() > 1:
        dist.barrier()


def mean(values: Sequence[float]) -> list[float]:
    """Each value averaged over the ranks in float64, the same on all of them; NaN on one is NaN on all."""
    if world_size() == 1:
        return list(values)
    tensor = paddle.to_tensor(list(values), dtype="float64")
    dist.all_reduce(tensor)
    return [float(v) for v in (tensor / world_size()).tolist()]


def gather(value: Any) -> list[Any]:
    """The picklable ``value`` of every rank, in rank order, on every rank."""
    if world_size() == 1:
        return [value]
    values: list[Any] = []
    dist.all_gather_object(values, value)
    return values


def on_main(function: Callable[[], T]) -> T:
    """Run ``function`` on rank 0 alone and hand its (picklable) result to all; its RssegError is raised on all."""
    result: Any = None
    if is_main():
        try:
            result = function()
        except RssegError as error:
            result = error
    result = gather(result)[0]
    if isinstance(result, RssegError):
        raise result
    return result


def broadcast_state(layer: nn.Layer) -> None:
    """Give all ranks rank 0's parameters and buffers."""
    if world_size() > 1:
        for tensor in layer.state_dict().values():
            dist.broadcast(tensor, src=0)


def average_gradients(model: nn.Layer) -> None:
    """Replace every gradient, and the running statistics of batch norm, by their means over the ranks.

    A parameter that no rank used keeps the gradient None, so that the optimiser skips it as in a single process; one
    that some ranks used counts as zero on the others. Averaged statistics keep the models of all ranks equal.
    """
    if world_size() == 1:
        return
    parameters = [p for p in model.parameters() if not p.stop_gradient]
    used = paddle.to_tensor([float(p.grad is not None) for p in parameters])
    dist.all_reduce(used)
    parameters = [p for p, count in zip(parameters, used.tolist(), strict=True) if count]
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = paddle.zeros_like(parameter)
    _average_([p.grad for p in parameters] + _running_statistics(model))


def _running_statistics(model: nn.Layer) -> list[paddle.Tensor]:
    """Mean and variance of the batch norms that learn them by themselves: SyncBatchNorm's agree anyway."""
    norms = (nn.BatchNorm1D, nn.BatchNorm2D, nn.BatchNorm3D)
    layers = [layer for layer in model.sublayers() if isinstance(layer, norms) and layer.training]
    return [tensor for layer in layers for tensor in (layer._mean, layer._variance)]


@paddle.no_grad()
def _average_(tensors: list[paddle.Tensor]) -> None:
    """Average in place over the ranks, all tensors of one type in one message: a message per tensor is far slower."""
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):  # no set: all ranks must take them in one order
        group = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = paddle.concat([tensor.flatten() for tensor in group])
        dist.all_reduce(flat)
        flat = flat / world_size()
        for tensor, part in zip(group, flat.split([tensor.size for tensor in group]), strict=True):
            paddle.assign(part.reshape(tensor.shape), tensor)
