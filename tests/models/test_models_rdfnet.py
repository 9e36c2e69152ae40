"""RDFNet; its fusion against PyTorch in tests/reference."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from contract import TINY, ModelContract, image

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import create_model

SMALL = {"type": "RDFNet", "backbone": TINY, "channels": 8}


class TestRDFNet(ModelContract):
    spec = SMALL


def test_each_encoder_has_its_own_bands():
    paddle.seed(0)
    model = create_model({**SMALL, "in_channels": 5, "split": 3, "num_classes": 2})
    assert (model.backbone.in_channels, model.second_backbone.in_channels) == (3, 2)
    model.eval()
    x = image(model, (33, 40))
    with paddle.no_grad():
        before = model(x)[0].numpy()
        for fusion in model.fusions:  # the second encoder is no longer heard
            fusion.branches[1][2].weight.set_value(paddle.zeros_like(fusion.branches[1][2].weight))
        deaf = model(x)[0].numpy()
        x[:, 3:] = 0
        np.testing.assert_array_equal(model(x)[0].numpy(), deaf)
        x[:, 2] = 0
        assert not np.allclose(model(x)[0].numpy(), deaf)
    assert not np.allclose(before, deaf)


@pytest.mark.parametrize("split", [0, 5])
def test_an_encoder_without_bands_is_told(split):
    with pytest.raises(RssegError, match=f"{split} of 5 bands.*1 to 4"):
        create_model({**SMALL, "in_channels": 5, "split": split})
