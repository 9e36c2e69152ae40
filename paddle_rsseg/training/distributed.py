"""Several processes, one training: gradients and values averaged. All of it is a no-op in a single process.

Gradients are averaged here rather than by ``paddle.DataParallel``: one call after the last backward pass serves
accumulation, frozen parts and mixed precision alike, on gloo (CPU) as on NCCL.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.distributed as dist
from paddle import nn

from paddle_rsseg.ranks import barrier, gather, is_main, on_main, rank, setup, world_size

__all__ = [
    "average_gradients", "barrier", "broadcast_state", "gather", "is_main", "mean", "on_main", "rank", "setup",
    "world_size",
]  # fmt: skip


def mean(values: Sequence[float]) -> list[float]:
    """Each value averaged over the ranks in float64, the same on all of them; NaN on one is NaN on all."""
    if world_size() == 1:
        return list(values)
    tensor = paddle.to_tensor(list(values), dtype="float64")
    dist.all_reduce(tensor)
    return [float(v) for v in (tensor / world_size()).tolist()]


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
