"""BiSeNet, both forms, with and without the pyramid."""

from __future__ import annotations

import numpy as np
import pytest
from contract import TINY, TINY_PARAMETERS, ModelContract

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import create_model
from paddle_rsseg.models.cost import learnable

SMALL = {"type": "BiSeNet", "backbone": TINY, "spatial_channels": (8, 16, 32), "channels": 32}

SPATIAL = (9 * 3 * 8 + 16) + (9 * 8 * 16 + 32) + (9 * 16 * 32 + 64)
#: of maps of 96 and 192 channels, reduced by 16, and their classifiers
REFINEMENTS = (96 * 6 + 12 + 6 * 96 + 96) + (192 * 12 + 24 + 12 * 192 + 192)
AUXILIARY = (96 * 16 + 16) + (192 * 16 + 16)
ATTENTION = 2 * (32 * 4 + 4) + (32 * 32 + 32) + 1
UP_AND_CLASSIFIER = (16 * 32 * 32 + 64) + (32 * 16 + 16)


class TestBiSeNetSplit(ModelContract):
    spec = {**SMALL, "context_channels": 16}
    train_outputs = 3
    parameters = (
        TINY_PARAMETERS + SPATIAL + REFINEMENTS + AUXILIARY
        + (9 * 288 * 16 + 32) + (16 * 2 + 2 + 2 * 16 + 16)  # the context's fusion
        + (48 * 32 + 64) + ATTENTION + UP_AND_CLASSIFIER
    )  # fmt: skip


class TestBiSeNetBaselineWithPyramid(ModelContract):
    spec = {**SMALL, "wiring": "baseline", "bins": (1, 3, 6)}
    train_outputs = 3
    parameters = (
        TINY_PARAMETERS + SPATIAL + REFINEMENTS + AUXILIARY
        + 3 * (192 * 64 + 2 * 64)  # the pyramid
        + (9 * (32 + 288 + 3 * 64) * 32 + 64) + (32 * 4 + 4 + 4 * 32 + 32)  # the fusion of everything
        + (32 * 32 + 64) + ATTENTION + UP_AND_CLASSIFIER
    )  # fmt: skip


@pytest.mark.slow
def test_published_parameter_count():
    parameters = learnable(create_model({"type": "BiSeNet", "num_classes": 11})).values()
    assert round(sum(int(np.prod(parameter.shape)) for parameter in parameters) / 1e6, 2) == 55.45


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"wiring": "splitt"}, "splitt.*baseline or split"),
        ({"spatial_channels": (8, 16)}, "2 numbers.*three"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(RssegError, match=words):
        create_model({**SMALL, **options})


def test_the_encoder_dilates_as_seghz_does_unless_its_mapping_says_otherwise():
    def dilations(**encoder):
        model = create_model({**SMALL, "backbone": {"type": "ResNet18", **encoder}})
        return [block.conv1._dilation[0] for block in model.backbone.layer4], model.min_multiple

    assert dilations() == ([2, 4, 8], 16)
    assert dilations(output_stride=8, multi_grid=(1, 1)) == ([4, 4], 8)
    # an encoder without these arguments is taken as it is
    assert create_model({**SMALL, "backbone": "MobileNetV2"}).min_multiple in (16, 32)
