"""PointRend on other networks, RendDANet and RendUNet."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from contract import CLASSES, TINY, TINY_PARAMETERS, ModelContract, image

from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses import build_loss
from paddle_rsseg.models import create_model
from paddle_rsseg.models.cost import learnable
from paddle_rsseg.models.layers import resize
from paddle_rsseg.training.build import seed_all
from paddle_rsseg.weights import load_pretrained, save_weights

POINTS = {"points": 40, "refined": 60}
DEEPLAB = {"type": "DeepLabV3Plus", "backbone": TINY, "channels": 16, "low_level_channels": 8}
SMALL = {"type": "PointRend", "model": DEEPLAB, "channels": 16, **POINTS}


def losses(heads: int, **options):
    types = [{"type": "CrossEntropyLoss"}, *[{"type": "PointLoss", **options}] * heads]
    return build_loss({"types": types, "coef": [1.0] * (heads + 1)})


class PointContract(ModelContract):
    def loss(self, outputs, label):
        return paddle.add_n(list(losses(len(self.aux_shapes))(outputs, label).values()))


class TestPointRend(PointContract):
    spec = SMALL
    train_outputs = 2
    aux_shapes = {1: [CLASSES + 2, 40, 1]}


class TestRendDANet(PointContract):
    spec = {"type": "RendDANet", "backbone": TINY, "channels": 16, "point_channels": 16, **POINTS}
    train_outputs = 2
    aux_shapes = {1: [CLASSES + 2, 40, 1]}


class TestRendUNet(PointContract):
    spec = {"type": "RendUNet", "backbone": TINY, "channels": 8, "point_channels": 16, **POINTS}
    train_outputs = 4
    aux_shapes = {i: [CLASSES + 2, 40, 1] for i in (1, 2, 3)}
    # two convolutions of the image, scSE, classifier, three heads of three layers and a classifier
    parameters = (
        TINY_PARAMETERS
        + (3 * 9 * 8 + 16)
        + (8 * 9 * 8 + 16)
        + (192 * 48 + 48 + 48 * 192 + 192)
        + (192 + 1)
        + (192 * 16 + 16)
        + sum((fine + 16) * 16 + 16 + 2 * (16 * 16 + 16) + (16 * 16 + 16) for fine in (24, 24, 8))
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "unused", "millions"),
    [
        # the originals hold tensors that they never use: ResNet's ImageNet classifier; two heads, of layer2 and layer3
        ({"type": "RendDANet", "num_classes": 15}, 2048 * 1000 + 1000, 68.75),
        (
            {"type": "RendUNet", "num_classes": 8},
            sum((n + 8) * 256 + 256 + 2 * (256 * 256 + 256) + 256 * 8 + 8 for n in (512, 1024)),
            45.83,
        ),
    ],
)
def test_published_parameter_counts(spec, unused, millions):
    ours = sum(int(np.prod(parameter.shape)) for parameter in learnable(create_model(spec)).values())
    assert round((ours + unused) / 1e6, 2) == millions


def build(**options):
    paddle.seed(0)
    return create_model({**SMALL, "num_classes": CLASSES, **options})


def test_evaluation_refines_the_bare_network():
    model = build()
    model.eval()
    x = image(model, (64, 64))
    with paddle.no_grad():
        bare = resize(resize(model.network.maps(x)[0], [32, 32]), [64, 64]).numpy()
        refined = model(x)[0].numpy()
    differing = (np.abs(refined - bare) > 1e-4).any(1)
    assert differing.any(axis=(1, 2)).all()
    # 60 pixels at 1/2, whose neighbours change too, and 60 at 1
    assert (differing.sum((1, 2)) < 60 * 16 + 60).all()
    assert not differing.all()


def test_two_maps_and_three_steps():
    model = build(features=(0, 2), steps=3, align_corners=False, coarse="last")
    assert model.point_head.layers[0].weight.shape == [16, 24 + 96 + CLASSES, 1, 1]
    x = image(model, (40, 33))
    model.train()
    assert [output.shape for output in model(x)] == [[2, CLASSES, 40, 33], [2, CLASSES + 2, 40, 1]]
    model.eval()
    assert [output.shape for output in model(x)] == [[2, CLASSES, 40, 33]]


def test_the_encoder_runs_once():
    model, runs = build(), []
    model.network.backbone.register_forward_pre_hook(lambda layer, x: runs.append(1))
    for mode in (model.train, model.eval):
        runs.clear()
        mode()
        model(image(model, (32, 32)))
        assert len(runs) == 1


def test_auxiliary_outputs_stand_between():
    model = build(model={**DEEPLAB, "aux_head": True, "aux_channels": 8})
    model.train()
    outputs = model(image(model, (32, 32)))
    assert [x.shape for x in outputs] == [[2, CLASSES, 32, 32]] * 2 + [[2, CLASSES + 2, 40, 1]]


def test_a_built_network_and_a_name():
    network = create_model({**DEEPLAB, "num_classes": 4, "in_channels": 2})
    model = create_model({"type": "PointRend", "model": network})
    assert (model.num_classes, model.in_channels) == (4, 2)
    assert model.network is network
    assert create_model({"type": "PointRend", "model": "farseg_r18", "num_classes": 3}).num_classes == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": {**DEEPLAB, "num_classes": 3}}, "model.model.num_classes.*3.*5"),
        ({"features": (7,)}, r"model.features.*\[7\].*0 to"),
        ({"features": ()}, "model.features"),
        ({"model": {**DEEPLAB, "backbone": {**TINY, "pretrained": "x.pdparams"}}}, "pretrained"),
        ({"model": {**DEEPLAB, "pretrained": "x.pdparams"}}, "pretrained"),
        ({"model": paddle.nn.Linear(1, 1), "num_classes": None}, "Linear.*backbone"),
    ],
)
def test_what_cannot_be_refined(options, message):
    with pytest.raises(RssegError, match=message):
        build(**options)


def test_rend_unet_wants_its_strides():
    with pytest.raises(RssegError, match="strides"):
        create_model({"type": "RendUNet", "backbone": "MiTB0"})


class TestFrozen:
    def test_only_the_point_head_trains_and_statistics_rest(self):
        model = build(freeze=True)
        model.train()
        assert all(
            name.startswith("point_head.") for name, parameter in learnable(model).items() if parameter.trainable
        )
        assert model.point_head.training
        assert not any(layer.training for layer in model.network.sublayers(include_self=True))
        before = {name: value.numpy() for name, value in model.network.state_dict().items()}
        label = paddle.zeros([2, 32, 32], "int64")
        paddle.add_n(list(losses(1)(model(image(model, (32, 32))), label).values())).backward()
        for name, value in model.network.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), before[name])
        assert all(parameter.grad is not None for parameter in model.point_head.parameters())

    def test_evaluation_and_back(self):
        model = build(freeze=True)
        model.eval()
        model.train()
        assert model.training
        assert not model.network.training

    def test_a_finished_network_begins_it(self, tmp_path):
        network = create_model({**DEEPLAB, "num_classes": CLASSES})
        path = tmp_path / "deeplab.safetensors"
        save_weights(path, {name: tensor.numpy() for name, tensor in network.state_dict().items()}, {})
        model = build(freeze=True)
        report = load_pretrained(model, path)
        assert report.complete
        for name, tensor in network.state_dict().items():
            np.testing.assert_array_equal(model.network.state_dict()[name].numpy(), tensor.numpy())
        assert set(report.adapted) == {f"point_head.{name}" for name in model.point_head.state_dict()}


def test_two_passes_of_the_same_seed_have_the_same_points():
    model = create_model({**TestRendUNet.spec, "num_classes": CLASSES})
    model.train()
    x = image(model, (32, 32))
    outputs = []
    for seed in (1, 1, 2):
        seed_all(seed, 4, 0, 0)
        outputs.append([output.numpy() for output in model(x)])
    for same, other, differing in zip(*(run[1:] for run in outputs), strict=True):
        np.testing.assert_array_equal(same, other)
        assert (same[:, -2:] != differing[:, -2:]).any()
    assert (outputs[0][1][:, -2:] != outputs[0][2][:, -2:]).any()


def test_resized_logits_are_the_networks():
    model = build()
    model.train()
    x = image(model, (33, 40))
    paddle.seed(0)
    main = model(x)[0]
    paddle.seed(0)
    np.testing.assert_allclose(main.numpy(), resize(model.network.maps(x)[0], [33, 40], True).numpy(), rtol=1e-5)
