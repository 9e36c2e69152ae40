"""UPerNet: the contract on a small encoder, and the head's arithmetic level by level."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
from contract import CLASSES, TINY, ModelContract

from paddle_rsseg.models import create_model
from paddle_rsseg.models.backbones.swin import Swin
from paddle_rsseg.models.upernet import UPerHead

WIDTHS, CHANNELS = (32, 64, 160, 256), 24


def conv(inputs: int, outputs: int, kernel: int) -> int:
    """Parameters of a convolution without bias and its BatchNorm."""
    return inputs * outputs * kernel**2 + 2 * outputs


class TestUPerNet(ModelContract):
    spec = {"type": "UPerNet", "backbone": "MiTB0", "channels": CHANNELS, "aux_channels": 16}
    train_outputs = 2
    parameters = (
        3_319_392  # MiT-B0 without its classifier
        + 4 * conv(256, CHANNELS, 1)
        + conv(256 + 4 * CHANNELS, CHANNELS, 3)
        + sum(conv(width, CHANNELS, 1) for width in WIDTHS[:3])
        + 3 * conv(CHANNELS, CHANNELS, 3)
        + conv(4 * CHANNELS, CHANNELS, 3)
        + (CHANNELS * 16 + 16)
        + conv(160, 16, 3)
        + (16 * 16 + 16)
    )


class TestUPerNetOfSmp(ModelContract):
    spec = {
        "type": "UPerNet", "backbone": TINY, "channels": 16, "dropout": 0.0, "norm_maps": True,
        "align_corners": True, "aux_head": False,
    }  # fmt: skip


class TestUPerNetOnSwin(ModelContract):
    """On a Swin so small that its graph, the largest of all, is quickly made."""

    spec = {"type": "UPerNet", "backbone": "SwinT", "channels": 16, "aux_channels": 16}
    train_outputs = 2

    def build(self, **overrides):
        paddle.seed(0)
        encoder = Swin(24, (1, 2, 1, 1), heads=3, in_channels=overrides.pop("in_channels", 3), drop_path_rate=0.0)
        return create_model({**self.spec, "num_classes": CLASSES, "backbone": encoder, **overrides})


def test_the_head_level_by_level():
    paddle.seed(0)
    head = UPerHead((4, 6, 8), 3, channels=5, dropout=0.1, norm_maps=False)
    head.eval()
    maps = [paddle.randn([1, 4, 16, 12]), paddle.randn([1, 6, 8, 6]), paddle.randn([1, 8, 4, 3])]

    def up(x, like):
        return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False, align_mode=0)

    top = head.pooling(maps[2])
    middle = head.laterals[1](maps[1]) + up(top, maps[1])
    finest = head.laterals[0](maps[0]) + up(middle, maps[0])
    # the level above takes the sum, not what the 3×3 made of it
    levels = [head.smooth[0](finest), up(head.smooth[1](middle), finest), up(top, finest)]
    expected = head.classifier(head.fusion(paddle.concat(levels, axis=1)))
    np.testing.assert_allclose(head(maps).numpy(), expected.numpy(), atol=1e-6)


def test_maps_are_normed_over_their_channels():
    paddle.seed(0)
    options = {"in_channels": (4, 6), "num_classes": 3, "channels": 5, "dropout": 0.0}
    plain, normed = UPerHead(**options, norm_maps=False), UPerHead(**options, norm_maps=True)
    normed.set_state_dict(plain.state_dict())
    plain.eval()
    normed.eval()
    maps = [paddle.randn([1, 4, 8, 6]), paddle.randn([1, 6, 4, 3])]
    whitened = [(x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-6).sqrt() for x in maps]
    np.testing.assert_allclose(normed(maps).numpy(), plain(whitened).numpy(), atol=1e-5)


def test_the_auxiliary_head_sees_the_last_map_but_one():
    model = create_model({"type": "UPerNet", "backbone": "MiTB0", "channels": 8})
    assert model.aux_head.conv[0].weight.shape == [256, 160, 3, 3]
    assert create_model({"type": "UPerNet", "backbone": "MiTB0", "channels": 8, "aux_head": False}).aux_head is None
