"""SENet, ResNeSt, VGG-16 and DRN-D-54; the first two with one block a stage, which is all their code."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from backbone_contract import BackboneContract

from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.backbones.resnest import ResNeSt
from paddle_rsseg.models.backbones.senet import SENet
from paddle_rsseg.models.cost import learnable


class SENetContract(BackboneContract):
    output_strides = (8, 16, 32)
    kind = ""

    def build(self, **overrides):
        paddle.seed(0)
        return SENet(self.kind, (1, 1, 1, 1), **overrides)

    def map_size(self, size, stride):
        # the stem's convolution rounds up, its pooling down
        return -(-max(-(-size // 2) // 2, 1) // (stride // 4))


class TestSEResNet(SENetContract):
    kind = "resnet"


class TestSENet154(SENetContract):
    kind = "senet"


class TestResNeSt(BackboneContract):
    output_strides = (8, 16, 32)

    def build(self, **overrides):
        paddle.seed(0)
        return ResNeSt((1, 1, 1, 2), 64, **overrides)


class TestVGG16(BackboneContract):
    spec = {"type": "VGG16_bn"}
    strides = (1, 2, 4, 8, 16, 32)
    parameters = 138_365_992 - 123_642_856  # torchvision's without its three linear layers

    def map_size(self, size, stride):
        return max(size // stride, 1)


@pytest.mark.slow
class TestDRND54(BackboneContract):
    spec = {"type": "DRN_D_54"}
    strides = (4, 8, 8, 8)
    parameters = 35_809_176 - 513_000  # 35.8 M in its repository


def test_resnest_pools_where_a_stride_became_a_dilation_or_not():
    blurs = {
        flavour: [stage[0].mean is not None for stage in ResNeSt((1, 1, 1, 1), 64, 3, 8, pool_dilated=flavour).stages]
        for flavour in (True, False)
    }
    assert blurs == {True: [False, True, True, True], False: [False, True, False, False]}


def test_split_attention_is_a_softmax_over_the_halves():
    block = ResNeSt((1, 1, 1, 1), 64).layer1[0].conv2
    block.eval()
    x = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 64, 5, 7)).astype("float32"))
    halves = paddle.nn.functional.relu(block.bn0(block.conv(x))).reshape([2, 2, 64, 5, 7])
    logits = block.fc2(paddle.nn.functional.relu(block.bn1(block.fc1(halves.sum(1).mean((2, 3), keepdim=True)))))
    weights = paddle.nn.functional.softmax(logits.reshape([2, 2, 64, 1, 1]), axis=1)
    np.testing.assert_allclose(block(x).numpy(), (weights * halves).sum(1).numpy(), atol=1e-5)


#: of timm, with a classifier of 1000 classes
PUBLISHED = {
    "ResNeSt50": 27_483_240,
    "ResNeSt101": 48_275_016,
    "SEResNet50": 28_088_024,
    "SEResNet101": 49_326_872,
    "SEResNet152": 66_821_848,
    "SEResNeXt50_32x4d": 27_559_896,
    "SEResNeXt101_32x4d": 48_955_416,
    "SENet154": 115_088_984,
}


@pytest.mark.parametrize(
    "name", [name if count < 3e7 else pytest.param(name, marks=pytest.mark.slow) for name, count in PUBLISHED.items()]
)
def test_parameter_count_is_the_published_one_without_the_classifier(name):
    net = build_backbone(name)
    assert sum(int(np.prod(p.shape)) for p in learnable(net).values()) == PUBLISHED[name] - 2_049_000


def test_freezing_and_fixed_statistics():
    net = SENet("resnext", (1, 1, 1, 1), freeze_at=2, batchnorm_trainable=False)
    trained = [name for name, parameter in net.named_parameters() if parameter.trainable and "_" not in name]
    assert trained
    assert not any(name.startswith(("layer0.", "layer1.")) or "bn" in name for name in trained)
