"""FarSeg++: the contract in its three wirings, and its pyramid pooling against Paddle's adaptive one."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from contract import CLASSES, ModelContract, image

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses import build_loss
from paddle_rsseg.models import create_model
from paddle_rsseg.models.cost import count
from paddle_rsseg.models.pooling import average_parts

SMALL = {"fpn_out_channels": 32, "fsr_out_channels": 32, "decoder_out_channels": 16}
LOSS = {
    "types": [
        {"type": "ScaleAnnealingFocalLoss"},
        {
            "type": "MixedLoss",
            "losses": [{"type": "ObjectnessBCELoss"}, {"type": "ObjectnessDiceLoss"}],
            "coef": [1.0, 1.0],
        },
    ],
    "coef": [1.0, 1.0],
}


class TestFarSegPP(ModelContract):
    spec = {"type": "FarSegPP", "backbone": "MiTB0", **SMALL}
    train_outputs = 2
    aux_channels = {1: 1}


@pytest.mark.parametrize(
    "options",
    [{"backbone": "ResNet18"}, {"wiring": "parallel"}, {"wiring": "obj_seg_cascade", "scale_aware_proj": False}],
    ids=str,
)
class TestOtherWirings:
    def build(self, options) -> paddle.nn.Layer:
        paddle.seed(0)
        return create_model({**TestFarSegPP.spec, "num_classes": CLASSES, **options})

    def test_training_reaches_every_parameter(self, options):
        model = self.build(options)
        outputs = model(image(model, (64, 64)))
        label = paddle.randint(0, CLASSES, [2, 64, 64])
        losses = build_loss(LOSS)(outputs, label)
        assert list(losses) == ["ScaleAnnealingFocalLoss", "aux1.ObjectnessBCELoss", "aux1.ObjectnessDiceLoss"]
        paddle.add_n(list(losses.values())).backward()
        without = [name for name, p in model.named_parameters() if not p.stop_gradient and p.grad is None]
        assert not without

    def test_evaluation_gives_the_classes_alone(self, options):
        model = self.build(options)
        model.eval()
        x = image(model, (61, 40))
        with paddle.no_grad():
            alone = model(x)
            model.training = True  # its layers stay as they are
            both = model(x)
        assert [output.shape for output in both] == [[2, CLASSES, 61, 40], [2, 1, 61, 40]]
        assert len(alone) == 1
        np.testing.assert_array_equal(alone[0].numpy(), both[0].numpy())


def test_the_cascade_shows_one_branch_the_other():
    for wiring, sees in [("parallel", None), ("seg_obj_cascade", 1), ("obj_seg_cascade", 0)]:
        model = create_model({**TestFarSegPP.spec, "num_classes": CLASSES, "wiring": wiring})
        model.eval()
        model.training = True
        x = image(model, (64, 64))
        first = [output.numpy() for output in model(x)]
        other = model.head if sees == 1 else model.aux_head
        for parameter in other.decoder.parameters():
            parameter.set_value(parameter * 1.5)
        second = [output.numpy() for output in model(x)]
        changed = [i for i in (0, 1) if not np.array_equal(first[i], second[i])]
        assert changed == {None: [1], 1: [0, 1], 0: [0, 1]}[sees]


def test_unknown_wiring():
    with pytest.raises(RssegError, match="seg_obj_cascade"):
        create_model({**TestFarSegPP.spec, "wiring": "SegObjCascade"})


@pytest.mark.slow
def test_parameters_of_the_published_network():
    # the objectness branch included; the original, built and counted: 32,558,929
    assert count(create_model({"type": "FarSegPP", "num_classes": 16}), 32, 32)[0] == 32_558_929


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (6, 6), (7, 16), (31, 12)])
@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_average_parts(size, parts):
    x = paddle.randn([2, 3, *size])
    np.testing.assert_allclose(average_parts(x, parts).numpy(), F.adaptive_avg_pool2d(x, parts).numpy(), atol=1e-6)
