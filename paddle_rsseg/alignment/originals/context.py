"""What the systems' files of DANet, PSPNet and DenseASPP say of our networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import paddle.nn as nn

from paddle_rsseg.alignment.originals import Meta, shapes_of
from paddle_rsseg.alignment.originals.deeplab import NAMES, bands_and_classes, words

ENCODERS = {**NAMES, "resnext50": "ResNeXt50_32x4d", "resnext101": "ResNeXt101_32x8d"}


def naic_danet(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    (backbone,) = words(r"backbone (\w+)", meta)
    channels, query_channels = shapes["head.conv51.0.weight"][0], shapes["head.sa.query_conv.weight"][0]
    return {
        "type": "DANet",
        "backbone": ENCODERS[backbone],
        "channels": channels,
        "reduction": channels // query_channels,
        **bands_and_classes(shapes, "seg1.1"),
    }


def naic_pspnet(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    backend, bins = words(r"backend (\w+), pool_scales \(([\d, ]+)\)", meta)
    return {
        "type": "PSPNet",
        "backbone": ENCODERS[backend],
        "bins": tuple(int(number) for number in bins.split(",")),
        "channels": shapes["cbr_last.0.weight"][0],
        "pool_channels": shapes["pyramid_pooling.pp_bra1.conv1.weight"][0],
        "aux_channels": shapes["cbr_deepsup.0.weight"][0],
        **bands_and_classes(shapes, "cbr_last.4"),
    }


def naic_denseaspp(meta: Meta) -> dict[str, Any]:
    shapes = shapes_of(meta)
    (momentum,) = words(r"bn_momentum ([\d.]+)", meta)
    return {
        "type": "DenseASPP",
        "norm_momentum": 1 - float(momentum),
        "hidden": shapes["head.dense_aspp_block.aspp_3.conv1.weight"][0],
        "growth": shapes["head.dense_aspp_block.aspp_3.conv2.weight"][0],
        **bands_and_classes(shapes, "head.block.1"),
    }


class TorchDropout(nn.Layer):
    """Dropout that drops what PyTorch's would on CPU.

    Args:
        rate: of what is dropped.
        stream: PyTorch's generator, which draws 32 bits a call from the same twister; a dropout takes 64 bits a number,
            of which it looks at the low 53.
    """

    def __init__(self, rate: float, stream: np.random.RandomState):
        super().__init__()
        self.rate, self.stream = rate, stream

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if not self.training:
            return x
        high, low = self.stream.randint(0, 2**32, [*x.shape, 2], np.uint32).astype(np.uint64).transpose([4, 0, 1, 2, 3])
        number = ((high << np.uint64(32) | low) % np.uint64(2**53)) * 2.0**-53
        kept = (number < 1 - self.rate) / (1 - self.rate)
        return x * paddle.to_tensor(kept.astype(x.numpy().dtype))


def functional_dropout(model: nn.Layer) -> None:
    """Leave DenseASPP's blocks the dropout that they had when the numbers were made.

    The files say that every dropout was off. That of the blocks is a function, which the switch for modules does not
    reach; it was on, and PyTorch's generator began at 0.

    The loss after three updates no longer tells programs apart: in the network of PyTorch's own modules a change of
    1e-15 in all weights moves it away from the file's by 1.4e-4, 4.6e-3 or 7.1e-3.
    """
    stream = np.random.RandomState(0)
    for block in model.head.aspp.blocks:
        block[2] = TorchDropout(0.1, stream)
