"""FarSeg: the contract for its variants, size and cost, options and their errors."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from contract import TINY, ModelContract, image

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import create_model, layers, model_spec
from paddle_rsseg.models.cost import count, learnable
from paddle_rsseg.models.farseg import SceneRelation, resolutions_up

NARROW = {
    "type": "FarSeg",
    "backbone": TINY,
    "fpn_out_channels": 32,
    "fsr_out_channels": 32,
    "decoder_out_channels": 32,
}


class TestFarSegR18(ModelContract):
    spec = {"type": "FarSeg", "backbone": "ResNet18"}


@pytest.mark.slow
class TestFarSegR50(ModelContract):
    spec = {"type": "FarSeg"}


class TestFarSegOneProjection(ModelContract):
    spec = {**NARROW, "scale_aware_proj": False}


class TestFarSegWithoutRelation(ModelContract):
    spec = {**NARROW, "scene_relation": False}


class TestFarSegStride8GroupNorm(ModelContract):
    spec = {**NARROW, "backbone": {**TINY, "output_stride": 8}, "norm": "GroupNorm"}


def test_parts_have_the_published_sizes():
    model = create_model("farseg_r50")
    assert count_of(model) == 31_370_064
    sizes = {name: count_of(getattr(model, name)) for name in ("en", "fpn", "sr", "decoder", "cls_pred_conv")}
    published = {"en": 23_508_032, "fpn": 3_344_384, "sr": 2_891_776, "decoder": 1_623_808, "cls_pred_conv": 2_064}
    assert sizes == published


def count_of(layer: paddle.nn.Layer) -> int:
    return sum(int(np.prod(p.shape)) for p in learnable(layer).values())


def test_multiply_adds_scale_to_the_published_number():
    # everything grows with the area but the scene's projections, of one vector: 4·(2048·256 + 256·256)
    fixed = 4 * (2048 * 256 + 256 * 256)
    _, small = count(create_model("farseg_r50"), 64, 64)
    assert (small - fixed) * (896 // 64) ** 2 + fixed == pytest.approx(143.52e9, abs=0.005e9)


def test_count_leaves_the_mode_and_no_hooks():
    model = create_model("farseg_r18", num_classes=2)
    first = count(model, 32, 32)
    assert model.training
    assert count(model, 32, 32) == first


def test_multiples_of_32_are_plain_doublings():
    # the exact-size rule must be the paper's ×2 there
    model = create_model("farseg_r18", num_classes=3)
    model.eval()
    x = image(model, (64, 128))
    F = paddle.nn.functional

    def up(t, factor, mode):
        return F.interpolate(
            t, scale_factor=factor, mode=mode, **({"align_corners": True} if mode == "bilinear" else {})
        )

    with paddle.no_grad():
        features = model.en(x)
        top, pyramid = None, []
        for i in (4, 3, 2, 1):
            inner = getattr(model.fpn, f"fpn_inner{i}")(features[i - 1])
            top = inner if top is None else inner + up(top, 2, "nearest")
            pyramid.insert(0, getattr(model.fpn, f"fpn_layer{i}")(top))
        scene = features[-1].mean([2, 3], keepdim=True)
        total = 0
        for i, p in enumerate(pyramid):
            score = (model.sr.scene_encoder[i](scene) * model.sr.content_encoders[i](p)).sum(1, keepdim=True)
            z = F.sigmoid(score) * model.sr.feature_reencoders[i](p)
            for unit in model.decoder.blocks[i]:
                z = unit(z) if i == 0 else up(unit(z), 2, "bilinear")
            total = total + z
        expected = up(model.cls_pred_conv(total / 4), 4, "bilinear").numpy()
        np.testing.assert_allclose(model(x)[0].numpy(), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("strides", "doublings"),
    [((4, 8, 16, 32), [0, 1, 2, 3]), ((4, 8, 16, 16), [0, 1, 2, 2]), ((4, 8, 8, 8), [0, 1, 1, 1])],
)
def test_decoder_doubles_as_often_as_the_stride_says(strides, doublings):
    assert [len(resolutions_up(stride, strides)) for stride in strides] == doublings
    model = create_model("farseg_r18", output_stride=strides[-1])
    assert [len(units) for units in model.decoder.blocks] == [max(n, 1) for n in doublings]
    model.eval()
    assert model(image(model, (70, 90)))[0].shape == [2, 16, 70, 90]


def test_relation_of_half_precision_maps_does_not_overflow():
    # a product of 256 · 100 · 100 is beyond float16's 65504; the sum must be taken in float32
    scene = paddle.full([1, 256, 1, 1], 100.0).astype("float16")
    content = paddle.full([1, 256, 2, 2], 100.0).astype("float16")
    content[0, :, 0, 0] = paddle.to_tensor([100.0, -100.0] * 128).astype("float16")
    relation = SceneRelation.relation(scene, content)
    assert relation.dtype == paddle.float32
    assert relation[0, 0, 0, 0].item() == 0.5
    assert relation[0, 0, 1, 1].item() == 1.0


def test_exact_resize_agrees_with_the_kernel():
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 7))
    for size in [(9, 13), (1, 1), (20, 3)]:
        exact = layers.resize(paddle.to_tensor(x), size).numpy()
        kernel = layers.resize(paddle.to_tensor(x.astype("float32")), size).numpy()
        np.testing.assert_allclose(exact, kernel, atol=1e-5)


def test_initial_values():
    paddle.seed(1)
    model = create_model("farseg_r50")
    # uniform ±b has the standard deviation b/√3
    for layer, bound in [
        (model.fpn.fpn_layer1, np.sqrt(3 / (256 * 9))),
        (model.sr.content_encoders[0][0], 1 / np.sqrt(256)),
        (model.decoder.blocks[0][0][0], 1 / np.sqrt(256 * 9)),
        (model.cls_pred_conv, 1 / np.sqrt(128)),
    ]:
        weight = layer.weight.numpy()
        assert np.abs(weight).max() <= bound * (1 + 1e-6)
        assert weight.std() == pytest.approx(bound / np.sqrt(3), rel=0.03)
    assert not model.fpn.fpn_layer1.bias.numpy().any()
    assert np.abs(model.sr.content_encoders[0][0].bias.numpy()).max() == pytest.approx(1 / 16, rel=0.1)
    stem = model.en.resnet.conv1.weight.numpy()
    assert stem.std() == pytest.approx(np.sqrt(2 / (64 * 49)), rel=0.03)


class TestCreateModel:
    def test_names(self):
        for name in ("FarSeg", "farseg", "farseg_r50", "FarSeg_R50"):
            spec = model_spec(name, num_classes=3)
            assert spec == {"type": "FarSeg", "num_classes": 3, **({"backbone": "ResNet50"} if "50" in name else {})}
        assert create_model("farseg_r18").en.resnet.out_channels == [64, 128, 256, 512]

    def test_pretrained_is_left_to_others(self):
        spec = {"type": "FarSeg", "pretrained": "a", "backbone": {"type": "ResNet18", "pretrained": "b"}}
        create_model(spec)
        assert spec == {"type": "FarSeg", "pretrained": "a", "backbone": {"type": "ResNet18", "pretrained": "b"}}

    def test_component_and_settings(self):
        class Component:
            def spec(self):
                return {"type": "FarSeg", "backbone": "ResNet18", "num_classes": 4}

        class Settings:
            model = Component()

        assert create_model(Component()).num_classes == 4
        assert create_model(Settings(), num_classes=7).num_classes == 7

    def test_backbone_that_is_already_built(self):
        backbone = create_model("farseg_r18", in_channels=5).en.resnet
        model = create_model("FarSeg", backbone=backbone)
        assert model.in_channels == 5
        with pytest.raises(ValueError, match="output_stride"):
            create_model("FarSeg", backbone=backbone, output_stride=8)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"model": "farsegg"}, "did you mean 'FarSeg'"),
            ({"model": "farseg_r51"}, "ResNet50"),
            ({"model": "FarSeg", "num_class": 3}, "did you mean 'num_classes'"),
            ({"model": "FarSeg", "backbone": {"type": "ResNet18", "strid": 1}}, "strid"),
            ({"model": "FarSeg", "output_stride": 7}, "8, 16 or 32"),
            ({"model": "FarSeg", "norm": "LayerNorm"}, "GroupNorm"),
            ({"model": "FarSeg", "freeze_at": 6}, "freeze_at"),
        ],
    )
    def test_mistakes(self, arguments, message):
        with pytest.raises(RssegError, match=message):
            create_model(**arguments)
