"""Swin: the contract on a small one, and windows, padding, shift and mask against attention written out place by place.

Nothing on the package index fills a map up as mmsegmentation does, hence the writing out.
"""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from backbone_contract import BackboneContract

from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.backbones.swin import Block, Merging, Swin, shift_mask
from paddle_rsseg.models.backbones.transformer import LayerNorm
from paddle_rsseg.models.cost import learnable


class TestSwin(BackboneContract):
    spec = {"type": "SwinT", "window_size": 7}

    def build(self, **overrides):
        paddle.seed(0)
        return Swin(24, (2, 2, 2, 1), heads=3, **{"window_size": 7, **overrides})


class TestSwinWindow12(TestSwin):
    spec = {"type": "SwinT", "window_size": 12}

    def build(self, **overrides):
        return super().build(window_size=12, **overrides)


@pytest.mark.parametrize(
    ("name", "parameters"),
    # the authors' classifiers without the last norm and the linear layer, and with the norms of the four maps
    [
        ("SwinT", 28_288_354 - 769_000 - 1536 + 2880),
        pytest.param("SwinS", 49_606_258 - 769_000 - 1536 + 2880, marks=pytest.mark.slow),
        pytest.param("SwinB", 87_768_224 - 1_025_000 - 2048 + 3840, marks=pytest.mark.slow),
        pytest.param("SwinL", 196_532_476 - 1_537_000 - 3072 + 5760, marks=pytest.mark.slow),
    ],
)
def test_parameters(name, parameters):
    encoder = build_backbone(name)
    assert sum(int(np.prod(p.shape)) for p in learnable(encoder).values()) == parameters


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("size", [(5, 7), (10, 10), (3, 4), (11, 5)])
def test_attention_in_windows(size, shift):
    side = 5
    block = Block(8, heads=2, side=side, shift=shift, drop=0.0)
    block.attn.relative_position_bias_table.set_value(paddle.randn([81, 2]))
    x = paddle.randn([2, *size, 8])
    got = block.attend(block.norm1(x), shift_mask(x, side, shift) if shift else None).numpy()
    expected = [written_out(block, image) for image in block.norm1(x).numpy()]
    np.testing.assert_allclose(got, expected, atol=2e-5)


def written_out(block: Block, image: np.ndarray) -> np.ndarray:
    """Attention of every place of an H×W×C map to those of its window, one query at a time."""
    side, shift, attention = block.side, block.shift, block.attn
    height, width, channels = image.shape
    rows, columns = math.ceil(height / side) * side, math.ceil(width / side) * side
    filled = np.zeros((rows, columns, channels))
    filled[:height, :width] = image
    projection = filled @ attention.qkv.weight.numpy() + attention.qkv.bias.numpy()
    query, key, value = np.split(projection, 3, axis=-1)
    table = attention.relative_position_bias_table.numpy()
    depth = channels // attention.heads
    mixed = np.zeros_like(filled)

    def part(place: int, length: int) -> int:
        """Where a place lies after the shift: 0 in windows all of one piece, else on either side of the seam."""
        return 0 if place < length - side else 1 if place < length - shift else 2

    for row in range(height):
        for column in range(width):
            here = ((row - shift) % rows, (column - shift) % columns)  # after the shift
            window = [
                (here[0] // side * side + i, here[1] // side * side + j) for i in range(side) for j in range(side)
            ]
            for head in range(attention.heads):
                span = slice(head * depth, (head + 1) * depth)
                logits, values = [], []
                for there in window:
                    source = ((there[0] + shift) % rows, (there[1] + shift) % columns)
                    offset = (here[0] - there[0] + side - 1) * (2 * side - 1) + here[1] - there[1] + side - 1
                    logit = query[row, column, span] @ key[source][span] / math.sqrt(depth) + table[offset, head]
                    together = all(
                        part(a, n) == part(b, n) for a, b, n in zip(here, there, (rows, columns), strict=True)
                    )
                    logits.append(logit if together or not shift else logit - 100)
                    values.append(value[source][span])
                weights = np.exp(logits - np.max(logits))
                mixed[row, column, span] = weights / weights.sum() @ np.array(values)
    return (mixed @ attention.proj.weight.numpy() + attention.proj.bias.numpy())[:height, :width]


def test_merging_takes_neighbours_column_by_column():
    merging = Merging(2)
    x = np.arange(3 * 2 * 2, dtype="float32").reshape(1, 3, 2, 2)
    merging.norm.forward = lambda x: x
    merging.reduction.forward = lambda x: x
    got = merging(paddle.to_tensor(x)).numpy()
    assert got.shape == (1, 2, 1, 8)
    assert got[0, 0, 0].tolist() == [*x[0, 0, 0], *x[0, 1, 0], *x[0, 0, 1], *x[0, 1, 1]]
    assert got[0, 1, 0].tolist() == [*x[0, 2, 0], 0, 0, *x[0, 2, 1], 0, 0]


def test_the_gradient_through_a_frozen_norm():
    """Paddle's own takes a scale that does not train for 1."""
    rng = np.random.default_rng(0)
    x, pull = rng.standard_normal((2, 4, 6))
    gradients = []
    for trainable in (True, False):
        norm = LayerNorm(6)
        norm.weight.set_value(np.linspace(0.5, 2, 6).astype("float32"))
        norm.bias.set_value(np.linspace(-1, 1, 6).astype("float32"))
        norm.weight.trainable = norm.bias.trainable = trainable
        image = paddle.to_tensor(x.astype("float32"), stop_gradient=False)
        out = norm(image)
        (out * paddle.to_tensor(pull.astype("float32"))).sum().backward()
        gradients.append((out.numpy(), image.grad.numpy()))
    for trained, frozen in zip(*gradients, strict=True):
        np.testing.assert_allclose(frozen, trained, atol=1e-5)
