"""U-Net and U-Net++ on any encoder; against segmentation_models.pytorch in tests/reference."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from contract import TINY, ModelContract

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import create_model
from paddle_rsseg.models.cost import learnable
from paddle_rsseg.models.encoder_unet import UNetPlusPlusHead


class TestEncoderUNet(ModelContract):
    spec = {"type": "EncoderUNet", "backbone": TINY, "channels": [32, 24, 16, 8, 8]}


class TestEncoderUNetPlusPlus(ModelContract):
    spec = {
        "type": "EncoderUNetPlusPlus", "channels": [32, 24, 16, 8, 8],
        "backbone": {"type": "EfficientNetB0", "padding": "nominal", "drop_connect": 0.0},
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "last", "millions"),
    [("EfficientNetB4", 448, 20.81), ("EfficientNetB6", 576, 44.67), ("EfficientNetB7", 640, 68.16)],
)
def test_published_parameter_counts(backbone, last, millions):
    model = create_model({"type": "EncoderUNetPlusPlus", "backbone": backbone, "num_classes": 10})
    parameters = sum(int(np.prod(p.shape)) for p in learnable(model).values())
    # system E counts the classifier's 1×1 convolution to four times the channels too, and its norm, which nothing uses
    parameters += last * 4 * last + 2 * 4 * last
    assert round(parameters / 1e6, 2) == millions


def test_every_node_sees_all_finer_ones_of_its_size():
    """The four nodes of a small U-Net++ written out."""
    paddle.seed(0)
    head = UNetPlusPlusHead((8, 6, 4), (5, 3, 2), 3)
    head.eval()
    coarse, middle, fine = (paddle.randn([1, 8, 2, 3]), paddle.randn([1, 6, 4, 6]), paddle.randn([1, 4, 8, 12]))

    def node(name, below, *skips):
        doubled = below.repeat_interleave(2, axis=2).repeat_interleave(2, axis=3)
        return head.nodes[name].convs(paddle.concat([doubled, *skips], axis=1))

    first = node("0_0", coarse, middle)
    detour = node("1_1", middle, fine)
    second = node("0_1", first, detour, fine)
    expected = head.classifier(node("0_2", second))
    np.testing.assert_allclose(head([coarse, middle, fine]).numpy(), expected.numpy(), atol=1e-6)


def test_other_sizes_are_those_of_the_image_filled_up():
    paddle.seed(0)
    model = create_model({"type": "EncoderUNet", "backbone": "ResNet18", "num_classes": 2})
    model.eval()
    x = paddle.randn([1, 3, 40, 33])
    with paddle.no_grad():
        expected = model(paddle.nn.functional.pad(x, [0, 31, 0, 24]))[0][:, :, :40, :33]
        np.testing.assert_array_equal(model(x)[0].numpy(), expected.numpy())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"backbone": "MiTB0"}, r"strides \[4, 8, 16, 32\].*2, 4, 8"),
        ({"backbone": {"type": "ResNet18", "output_stride": 16}}, r"strides \[2, 4, 8, 16, 16\]"),
        ({"backbone": "ResNet18", "channels": [8, 8]}, r"channels.*for 5 maps"),
    ],
)
def test_what_does_not_fit_is_told(spec, words):
    with pytest.raises(RssegError, match=words):
        create_model({"type": "EncoderUNet", **spec})
