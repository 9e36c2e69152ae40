"""DANet, PSPNet, DeepLabV3 and DenseASPP: small members keep the contract, options do what they say."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from contract import TINY, TINY_PARAMETERS, ModelContract, image

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import create_model
from paddle_rsseg.models.aspp import JointASPP
from paddle_rsseg.models.cost import learnable
from paddle_rsseg.models.deeplabv3 import WIRINGS


class TestDANet(ModelContract):
    """With everything that can be added."""

    spec = {
        "type": "DANet",
        "backbone": TINY,
        "channels": 32,
        "squeeze": 4,
        "branch_heads": True,
        "aux_head": True,
        "aux_channels": 32,
    }
    train_outputs = 4


class TestPSPNet(ModelContract):
    spec = {"type": "PSPNet", "backbone": TINY, "channels": 32, "aux_channels": 32}
    train_outputs = 2
    parameters = (
        TINY_PARAMETERS
        + 4 * (192 * 32 + 2 * 32)
        + ((192 + 4 * 32) * 32 * 9 + 2 * 32)
        + (32 * 16 + 16)
        + (96 * 32 * 9 + 2 * 32)
        + (32 * 16 + 16)
    )


class TestDeepLabV3(ModelContract):
    spec = {"type": "DeepLabV3", "wiring": "naic", "backbone": TINY, "channels": 32}


class TestDenseASPP(ModelContract):
    spec = {"type": "DenseASPP", "backbone": TINY, "hidden": 32, "growth": 16}


def size(model) -> int:
    return sum(int(np.prod(p.shape)) for p in learnable(model).values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "parameters"),
    [
        # NAIC_AI-RS's sheet says 68.48 million: it counts the encoder's ImageNet classifier, 2.05, which nothing uses
        ({"type": "DANet"}, 68.48e6 - 2_049_000),
        ({"type": "PSPNet"}, 56.41e6),
        ({"type": "DenseASPP"}, 46.19e6),
        ({"type": "DeepLabV3", "wiring": "naic", "backbone": {"type": "ResNet101_vc", "stem_channels": 128}}, 58.16e6),
        # torchvision's own count
        ({"type": "DeepLabV3", "num_classes": 21}, 42_004_074),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_published_parameter_counts(spec, parameters):
    assert size(create_model({"num_classes": 15, **spec})) == pytest.approx(parameters, abs=5000)


def build(kind: str, **arguments):
    return create_model({"type": kind, "backbone": "ResNet18", "num_classes": 5, **arguments})


@pytest.mark.parametrize("wiring", sorted(WIRINGS))
def test_every_wiring_of_deeplabv3(wiring):
    model = build("DeepLabV3", wiring=wiring, channels=8, aux_channels=8)
    outputs = model(image(model, (33, 40)))
    assert [output.shape for output in outputs] == [[2, 5, 33, 40]] * (2 if WIRINGS[wiring]["aux_head"] else 1)


def test_strides_come_from_argument_mapping_and_default():
    def strides(kind, **arguments):
        small = {"hidden": 8, "growth": 8} if kind == "DenseASPP" else {"channels": 8}
        return build(kind, **small, **arguments).backbone.strides[-1]

    assert [strides(kind) for kind in ("DANet", "PSPNet", "DeepLabV3", "DenseASPP")] == [8, 32, 8, 16]
    assert strides("DeepLabV3", wiring="naic") == 16
    assert strides("PSPNet", output_stride=16) == 16
    backbone = {"type": "ResNet18", "output_stride": 32}
    assert strides("DeepLabV3", backbone=backbone, output_stride=16) == 32  # the mapping is the nearer
    assert [strides(kind, backbone=backbone) for kind in ("DANet", "DenseASPP")] == [32, 32]


def test_danet_without_additions_has_one_output():
    model = build("DANet", channels=32)
    assert len(model(image(model, (32, 32)))) == 1
    assert size(build("DANet", channels=32, squeeze=4)) == size(model) + 2 * 512 * 128 + 128 + 512 + 512 + 1


def test_squeeze_comes_before_the_attention():
    """At γ = 0 and with a squeeze of 0 nothing of the image is left."""
    model = build("DANet", channels=32, squeeze=4)
    for conv in (model.squeeze.channel.fc2, model.squeeze.spatial.conv):
        conv.weight.set_value(paddle.zeros_like(conv.weight))
        conv.bias.set_value(paddle.full_like(conv.bias, -200.0))  # a sigmoid of 0
    model.eval()
    with paddle.no_grad():
        logits = model(image(model, (64, 64)))[0].numpy()[:, :, 32, 32]
    np.testing.assert_allclose(logits[0], logits[1], rtol=1e-5)


@pytest.mark.parametrize("kind", ["DeepLabV3", "DenseASPP"])
def test_momentum_of_the_encoder_alone(kind):
    model = build(kind, **({"wiring": "naic", "channels": 8} if kind == "DeepLabV3" else {"hidden": 8}))
    norms = {name: part for name, part in model.named_sublayers() if isinstance(part, paddle.nn.BatchNorm2D)}
    momenta = {name.split(".")[0]: part._momentum for name, part in norms.items()}
    assert momenta == {"backbone": 0.99, "head": 0.9}
    assert build("DeepLabV3", channels=8).backbone.bn1._momentum == 0.9


def test_unknown_wiring():
    with pytest.raises(RssegError, match=r"keras.*torchvision, naic, mmseg, smp"):
        build("DeepLabV3", wiring="keras")


def test_joint_aspp_from_its_formula():
    paddle.seed(0)
    aspp = JointASPP(6, 4, rates=(2, 3)).to(dtype="float64")
    rng = np.random.default_rng(0)
    for tensor in aspp.state_dict().values():
        tensor.set_value(paddle.to_tensor(0.2 + rng.random(tensor.shape)))
    aspp.eval()
    x = rng.standard_normal((1, 6, 8, 7))
    state = {name: tensor.numpy() for name, tensor in aspp.state_dict().items()}

    def conv(x, name, dilation=1):
        weight = state[name + ".weight"]
        reach = weight.shape[2] // 2 * dilation
        padded = np.pad(x, [(0, 0), (0, 0), (reach, reach), (reach, reach)])
        out = np.zeros((1, len(weight), *x.shape[2:]))
        for row, column in np.ndindex(weight.shape[2:]):
            top, left = row * dilation, column * dilation
            part = padded[:, :, top : top + x.shape[2], left : left + x.shape[3]]
            out += np.einsum("nchw,kc->nkhw", part, weight[:, :, row, column])
        return out

    def norm(x, name):
        mean, variance, weight, bias = (
            state[f"{name}.{part}"][:, None, None] for part in ("_mean", "_variance", "weight", "bias")
        )
        out = (x - mean) / np.sqrt(variance + 1e-5) * weight + bias
        return np.where(out > 0, out, 0.01 * out)

    branches = [conv(x, "branches.0"), conv(x, "branches.1", 2), conv(x, "branches.2", 3)]
    together = conv(norm(np.concatenate(branches, 1), "reduction.0.0"), "reduction.1")
    pooled = conv(norm(conv(x.mean((2, 3), keepdims=True), "pool.0"), "pool.1.0"), "pool.2")
    expected = norm(together + pooled, "norm.0")
    with paddle.no_grad():
        np.testing.assert_allclose(aspp(paddle.to_tensor(x)).numpy(), expected, rtol=1e-10)
