"""scSE-UNet, UNetResNetAE, CE-Net and SegNet: the contract, parameter counts, and what they do at odd sizes."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from contract import CLASSES, TINY, ModelContract

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import create_model
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.backbones.resnet import BasicBlock, ResNet
from paddle_rsseg.models.cenet import MaxPoolingPyramid
from paddle_rsseg.models.cost import learnable

VGG = {"type": "VGG16_bn", "width": 12}


class TestSCSEUNet(ModelContract):
    spec = {"type": "SCSEUNet", "backbone": TINY}


class TestUNetResNetAE(ModelContract):
    """On a ResNet, which it insists on, of one block a stage."""

    spec = {"type": "UNetResNetAE", "width": 16}

    def build(self, **overrides):
        paddle.seed(0)
        encoder = ResNet(BasicBlock, (1, 1, 1, 1), overrides.pop("in_channels", 3), finest_stride=2)
        return create_model({**self.spec, "num_classes": CLASSES, "backbone": encoder, **overrides})


class TestCENet(ModelContract):
    spec = {"type": "CENet", "backbone": TINY}


class TestSegNet(ModelContract):
    spec = {"type": "SegNet", "backbone": VGG}


@pytest.mark.slow
class TestSegNetTied(ModelContract):
    spec = {"type": "SegNet", "backbone": VGG, "tied": True}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "millions", "digits"),
    [
        # the specification of NAIC_AI-RS's networks, 15 classes
        ({"type": "UNetResNetAE"}, 55.67, 2),
        ({"type": "CENet"}, 29.01, 2),
        ({"type": "SegNet", "tied": True}, 16.32, 2),
        # 8 classes; with 15 it is 29.45
        ({"type": "SegNet", "num_classes": 8}, 29.4, 1),
        # 33.10 with the 513,000 of the ImageNet classifier, which the original keeps and does not use
        ({"type": "SCSEUNet"}, 33.10 - 0.51, 2),
    ],
)
def test_published_parameter_counts(spec, millions, digits):
    model = create_model({"num_classes": 15, **spec})
    parameters = sum(int(np.prod(parameter.shape)) for parameter in learnable(model).values())
    assert round(parameters / 1e6, digits) == round(millions, digits)


def test_tied_segnet_has_no_convolutions_of_its_own_where_channels_stay():
    free, tied = (create_model({"type": "SegNet", "backbone": VGG, "tied": tied}) for tied in (False, True))
    assert len([name for name in learnable(free) if name.startswith("decoder")]) == 4 * 12
    assert len([name for name in learnable(tied) if name.startswith("decoder")]) == 4 * 3
    assert [len(stage) for stage in tied.decoder] == [0, 1, 1, 1, 0]


def test_dropout_of_the_hypercolumn_rests_in_evaluation():
    model = create_model({"type": "UNetResNetAE", "backbone": "ResNet18", "width": 16})
    x = paddle.randn([1, 3, 33, 40])
    model.eval()
    np.testing.assert_array_equal(model(x)[0].numpy(), model(x)[0].numpy())
    model.dropout.train()
    assert not np.allclose(model(x)[0].numpy(), model(x)[0].numpy())


def test_pooling_pyramid_of_a_map_smaller_than_its_windows():
    pyramid = MaxPoolingPyramid(4)
    x = paddle.randn([1, 4, 3, 3])
    out = pyramid(x)
    assert out.shape == [1, 8, 3, 3]
    whole = pyramid.conv(x.max(axis=[2, 3], keepdim=True))
    for channel in (1, 2, 3):  # windows of 3×3, 5×5 and 6×6
        np.testing.assert_allclose(out[0, channel].numpy(), np.full((3, 3), whole.item()), rtol=1e-5)
    np.testing.assert_array_equal(out[:, 4:].numpy(), x.numpy())


def test_hypercolumn_takes_a_resnet_that_is_already_built():
    model = create_model({"type": "UNetResNetAE", "backbone": build_backbone("ResNet18", finest_stride=2), "width": 16})
    assert model(paddle.randn([1, 3, 32, 32]))[0].shape == [1, 16, 32, 32]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"type": "SegNet", "backbone": "ResNet18"}, r"ResNet.*VGG16_bn"),
        ({"type": "UNetResNetAE", "backbone": "SEResNet50"}, r"SENet.*a ResNet"),
        ({"type": "UNetResNetAE", "backbone": build_backbone("ResNet18")}, r"strides \[4, 8, 16, 32\].*finest_stride"),
        ({"type": "UNetResNetAE", "backbone": "ResNet18", "width": 8}, r"8.*16 or more"),
    ],
)
def test_wrong_options_are_named(spec, words):
    with pytest.raises(RssegError, match=words):
        create_model(spec)
