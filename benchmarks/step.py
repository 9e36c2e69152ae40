"""The bare training step that both sides of the speed benchmark time: it is the same code under two environments.

So it measures what threads and libraries make of one step, not the loops of the two projects around it.
"""

from __future__ import annotations

import time

import numpy as np
import paddle

from paddle_rsseg.losses.focal import AnnealingSoftmaxFocalLoss


def timed_steps(model: paddle.nn.Layer, work: str, crop: int, batch: int, steps: int) -> float:
    """Median seconds of ``steps`` steps (forward, loss, backward, update) after one that is not counted.

    Args:
        work: folder with image.npy (H×W×3 float32) and label.npy (crop×crop).
    """
    model.train()
    loss_layer = AnnealingSoftmaxFocalLoss(T_max=10000)
    clip = paddle.nn.ClipGradByGlobalNorm(35.0)
    optimizer = paddle.optimizer.Momentum(0.007, 0.9, model.parameters(), weight_decay=1e-4, grad_clip=clip)
    image, label = np.load(f"{work}/image.npy")[:crop, :crop], np.load(f"{work}/label.npy").astype("int64")
    x = paddle.to_tensor(image.transpose(2, 0, 1)[None].repeat(batch, 0))
    y = paddle.to_tensor(label[None].repeat(batch, 0))
    times = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        loss = loss_layer(model(x)[0], y)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        loss.item()
        times.append(time.perf_counter() - started)
    return float(np.median(times[1:]))
