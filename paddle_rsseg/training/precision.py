"""Mixed precision: what runs in half precision, and the loss scale of fp16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import paddle
from paddle import nn

#: PaddleSeg's choice: these follow their inputs, sparing two casts around every batch norm and every skip connection
HALF = {"elementwise_add", "batch_norm", "sync_batch_norm"}
#: resampling feeds the loss and the scene relation; its fp16 gradients are both slow and coarse
FULL = {"bilinear_interp_v2", "nearest_interp_v2", "bilinear_interp", "nearest_interp"}


class Precision:
    """fp32, or half precision with PaddlePaddle's AMP: what the loop wraps around one step.

    Args:
        name: ``fp32``, ``fp16`` or ``bf16``.
        level: ``O1``: operators of the white list compute in half precision; ``O2``: all but the black list do, the
            parameters are stored in half precision and the optimiser keeps the fp32 originals.
        device: ``cpu`` has no AMP in PaddlePaddle: everything here is then a no-op and :attr:`note` says so.
    """

    def __init__(self, name: str, level: str, device: str):
        self.enabled = name != "fp32" and device != "cpu"
        self.dtype = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}[name]
        self.level = level
        self.note = ""
        if name != "fp32" and not self.enabled:
            self.note = f"{name} has no effect on a CPU: PaddlePaddle computes in fp32 there"
        # bf16 has the range of fp32, so only fp16 needs its loss scaled
        self._scaler = paddle.amp.GradScaler(init_loss_scaling=1024) if self.enabled and name == "fp16" else None

    @property
    def skips_overflow(self) -> bool:
        """Whether :meth:`step` leaves out an update whose gradients are not finite."""
        return self._scaler is not None

    def __str__(self) -> str:
        return f"{self.dtype} {self.level}" if self.enabled else "float32"

    def decorate(self, model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> None:
        """Turn the parameters to half precision (O2 only), in place."""
        if self.enabled and self.level == "O2":
            paddle.amp.decorate(model, optimizer, level="O2", dtype=self.dtype, master_weight=True)

    def autocast(self) -> AbstractContextManager:
        """The context of a forward pass."""
        if not self.enabled:
            return nullcontext()
        return paddle.amp.auto_cast(
            custom_white_list=HALF if self.level == "O1" else None,
            custom_black_list=FULL,
            level=self.level,
            dtype=self.dtype,
        )

    def scale(self, loss: paddle.Tensor) -> paddle.Tensor:
        """What to call ``backward`` on."""
        return self._scaler.scale(loss) if self._scaler else loss

    def step(self, optimizer: paddle.optimizer.Optimizer) -> None:
        """Update the weights; fp16 gradients that overflowed skip it and lower the scale."""
        if self._scaler:
            self._scaler.step(optimizer)
            self._scaler.update()
        else:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers; {} without a scaler."""
        state = self._scaler.state_dict() if self._scaler else {}
        return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in state.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._scaler and state:
            self._scaler.load_state_dict({**state, "scale": np.asarray(state["scale"], np.float32)})
