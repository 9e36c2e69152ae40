"""HRNet: the encoder, the plain network and HRNet-OCR."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from backbone_contract import BackboneContract
from contract import ModelContract

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import create_model
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.models.cost import learnable
from paddle_rsseg.models.hrnet_ocr import ObjectAttention, region_vectors
from paddle_rsseg.models.hrnet_pam import Hourglass

SMALL = "HRNetV2_W18_Small_V1"


class TestHRNetV2W18SmallV1(BackboneContract):
    spec = {"type": SMALL}
    parameters = 1_477_920  # timm's hrnet_w18_small without its classifier


class TestHRNetV2SamePadding(BackboneContract):
    spec = {"type": SMALL, "fuse": "centres", "padding": "same"}


class TestHRNet(ModelContract):
    spec = {"type": "HRNet", "backbone": SMALL}
    parameters = 1_477_920 + (240 * 240 + 240) + 2 * 240 + (240 * 16 + 16)


class TestHRNetOCR(ModelContract):
    spec = {"type": "HRNetOCR", "backbone": SMALL, "wiring": "paddleseg", "ocr_channels": 32, "key_channels": 16}
    train_outputs = 2


#: the encoder and HRNet's own head as an auxiliary one, of width 240 and for 16 classes
ENCODER, AUXILIARY = 1_477_920, (240 * 240 + 240) + 2 * 240 + (240 * 16 + 16)


class TestHRNetPAM(ModelContract):
    spec = {"type": "HRNetPAM", "backbone": SMALL}
    train_outputs = 2
    parameters = (
        ENCODER
        + AUXILIARY
        + (9 * 240 * 240 + 2 * 240)  # down
        + 2 * (240 * 30 + 30) + (240 * 240 + 240) + 1  # the attention
        + (16 * 240 * 120 + 2 * 120)  # up
        + (360 * 16 + 16)
    )  # fmt: skip


class TestHRNetPSP(ModelContract):
    spec = {"type": "HRNetPSP", "backbone": SMALL, "bins": (1, 3, 6), "aux_head": True}
    train_outputs = 2
    parameters = ENCODER + AUXILIARY + 3 * (240 * 40 + 2 * 40) + (360 * 16 + 16)


def test_pyramid_alone_has_no_auxiliary_output():
    model = create_model({"type": "HRNetPSP", "backbone": SMALL})
    model.train()
    assert len(model(random_image(32, 32))) == 1
    assert (
        sum(int(np.prod(p.shape)) for p in learnable(model).values()) == ENCODER + 4 * (240 * 30 + 60) + 360 * 16 + 16
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "millions"),
    [
        # the spec sheets of SegHZ (7 classes) and NAIC_AI-RS (15)
        ({"type": "HRNet", "wiring": "seghz", "backbone": "HRNetV2_W48", "num_classes": 7}, 65.85),
        ({"type": "HRNet", "wiring": "seghz", "backbone": "HRNetV2_W64", "num_classes": 7}, 116.63),
        ({"type": "HRNetOCR", "wiring": "seghz", "backbone": "HRNetV2_W48", "num_classes": 7}, 70.36),
        ({"type": "HRNetOCR", "wiring": "seghz", "backbone": "HRNetV2_W64", "num_classes": 7}, 122.24),
        ({"type": "HRNetPAM", "backbone": "HRNetV2_W48", "num_classes": 7}, 75.32),
        ({"type": "HRNetPAM", "backbone": "HRNetV2_W64", "num_classes": 7}, 133.46),
        ({"type": "HRNetPSP", "backbone": "HRNetV2_W48", "num_classes": 7}, 65.59),
        ({"type": "HRNetPSP", "backbone": "HRNetV2_W64", "num_classes": 7}, 116.17),
        ({"type": "HRNetOCR", "wiring": "official", "backbone": "HRNetV2_W48", "num_classes": 15}, 70.37),
    ],
)
def test_published_parameter_counts(spec, millions):
    parameters = sum(int(np.prod(parameter.shape)) for parameter in learnable(create_model(spec)).values())
    assert round(parameters / 1e6, 2) == millions


def random_image(*size: int) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(1).standard_normal((1, 3, *size)).astype("float32"))


def with_random_weights(layer: paddle.nn.Layer) -> paddle.nn.Layer:
    """In eval mode; the same numbers for the same names and shapes."""
    rng = np.random.default_rng(2)
    for tensor in layer.state_dict().values():
        value = rng.standard_normal(tensor.shape) if tensor.ndim > 1 else 0.5 + rng.random(tensor.shape)
        tensor.set_value((value / np.sqrt(np.prod(tensor.shape[1:]))).astype("float32"))
    layer.eval()
    return layer


def features(size: tuple[int, int], **options) -> list[np.ndarray]:
    with paddle.no_grad():
        encoder = with_random_weights(build_backbone(SMALL, **options))
        return [feature.numpy() for feature in encoder(random_image(*size))]


def test_each_fuse_is_another_network():
    maps = [features((64, 64), fuse=fuse)[0] for fuse in ("corners", "centres", "nearest")]
    assert not np.allclose(maps[0], maps[1], rtol=1e-2)
    assert not np.allclose(maps[1], maps[2], rtol=1e-2)


def test_same_padding_is_symmetric_where_all_sides_are_odd():
    # 97 → 49 → 25 → 13 → 7, but 64 is even
    for size, equal in (((97, 97), True), ((64, 64), False)):
        symmetric, same = (features(size, padding=padding)[3] for padding in ("symmetric", "same"))
        assert np.allclose(symmetric, same, rtol=1e-4) == equal


def test_initial_values():
    paddle.seed(0)
    model = create_model({"type": "HRNetOCR", "backbone": SMALL})
    plain = create_model({"type": "HRNet", "backbone": SMALL})
    small = [model.backbone.stage4[0].branches[3][0].conv1, plain.head.conv[0]]
    assert [round(float(conv.weight.std()), 5) for conv in small] == pytest.approx([0.001, 0.001], rel=0.02)
    # OCR's own layers begin as PyTorch's do
    fan_in = 240 * 9
    assert float(model.head.pixels[0].weight.abs().max()) == pytest.approx(fan_in**-0.5, rel=0.01)


@pytest.mark.parametrize(
    ("wiring", "biased"),
    [
        ("official", {"aux_head", "pixels"}),
        ("seghz", {"aux_head", "pixels"}),
        ("mmseg", set()),
        ("paddleseg", {"aux_head", "pixels", "attention", "join"}),
    ],
)
def test_biases_of_the_wirings(wiring, biased):
    model = create_model({"type": "HRNetOCR", "backbone": SMALL, "wiring": wiring})
    parts = {
        "aux_head": model.aux_head.conv,
        "pixels": model.head.pixels,
        "attention": model.head.attention.key[1],
        "join": model.head.join,
    }
    assert {name for name, part in parts.items() if part[0].bias is not None} == biased


def test_single_options_replace_those_of_the_wiring():
    model = create_model(
        {"type": "HRNetOCR", "backbone": SMALL, "wiring": "mmseg", "align_corners": True, "dropout": 0.3}
    )
    assert model.align_corners
    assert model.head.dropout.p == 0.3
    assert model.backbone.stage2[0].fuse == "centres"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"type": "HRNet", "wiring": "mmcv"}, "mmcv.*official, seghz, mmseg, paddleseg"),
        ({"type": "HRNet", "backbone": SMALL, "fuse": "cubic"}, "cubic.*corners, centres or nearest"),
        ({"type": "HRNetOCR", "backbone": SMALL, "padding": "valid"}, "valid.*symmetric or same"),
        ({"type": "HRNetOCR", "backbone": SMALL, "with_cp": [True]}, "one bool, or four"),
    ],
)
def test_wrong_options_are_named(spec, words):
    with pytest.raises(RssegError, match=words):
        create_model(spec)


def test_region_vectors_are_weighted_means():
    rng = np.random.default_rng(0)
    pixels, logits = rng.standard_normal((2, 4, 3, 5)), 3 * rng.standard_normal((2, 6, 3, 5))
    got = region_vectors(paddle.to_tensor(pixels), paddle.to_tensor(logits)).numpy()
    assert got.shape == (2, 4, 6, 1)
    for image in range(2):
        for region in range(6):
            weights = np.exp(logits[image, region])
            expected = (pixels[image] * weights / weights.sum()).sum(axis=(1, 2))
            np.testing.assert_allclose(got[image, :, region, 0], expected, rtol=1e-10)


def test_attention_pixel_by_pixel():
    attention = with_random_weights(ObjectAttention(6, 4, bias=True))
    rng = np.random.default_rng(0)
    pixels = paddle.to_tensor(rng.standard_normal((1, 6, 2, 3)).astype("float32"))
    regions = paddle.to_tensor(rng.standard_normal((1, 6, 5, 1)).astype("float32"))
    with paddle.no_grad():
        query, key, value = (
            part(x).numpy()[0]
            for part, x in ((attention.query, pixels), (attention.key, regions), (attention.value, regions))
        )
        mixed = np.empty_like(query)
        for row, column in np.ndindex(2, 3):
            likeness = np.exp(query[:, row, column] @ key[:, :, 0] / 2.0)  # √4
            mixed[:, row, column] = value[:, :, 0] @ (likeness / likeness.sum())
        expected = attention.out(paddle.to_tensor(mixed[None])).numpy()
        np.testing.assert_allclose(attention(pixels, regions).numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 1)])
def test_hourglass_keeps_its_place(size):
    """Of an odd size it gives what it gives of the even size above, without the last row or column."""
    hourglass = with_random_weights(Hourglass(16, 8))
    x = np.random.default_rng(0).standard_normal((1, 16, *size)).astype("float32")
    padded = np.pad(x, [(0, 0), (0, 0), (0, size[0] % 2), (0, size[1] % 2)])
    with paddle.no_grad():
        got, whole = hourglass(paddle.to_tensor(x)).numpy(), hourglass(paddle.to_tensor(padded)).numpy()
    assert got.shape == (1, 8, *size)
    np.testing.assert_allclose(got, whole[..., : size[0], : size[1]], rtol=1e-4, atol=1e-5)
