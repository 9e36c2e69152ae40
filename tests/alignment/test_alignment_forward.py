"""FarSeg-50 stage by stage: the reference's inner maps for weights and input from NumPy's legacy generator."""

from __future__ import annotations

import zlib

import numpy as np
import paddle
import pytest

from paddle_rsseg.models import create_model

# name: mean, std, first, last element of the flattened map (printed by the PyTorch reference in float32)
EXPECTED = {
    "c2": (4.050681e-01, 4.899712e-01, 2.959393e-01, 0),
    "c3": (2.385619e-01, 2.796110e-01, 1.973166e-01, 1.720236e-01),
    "c4": (1.878229e-01, 1.929673e-01, 1.374944e-01, 3.678863e-01),
    "c5": (1.229494e-01, 1.447926e-01, 2.331076e-01, 7.116269e-02),
    "p2": (1.380894e-01, 1.584237e00, 7.845064e-01, -1.245651e00),
    "p3": (-4.529651e-02, 9.796041e-01, -3.493697e-01, -4.486017e-01),
    "p4": (3.971525e-02, 6.086766e-01, 1.283599e-02, -5.308107e-01),
    "p5": (-2.154151e-02, 2.745715e-01, -4.336701e-01, -2.462665e-01),
    "r2": (7.022080e-01, 4.392939e-02, 6.727470e-01, 6.390308e-01),
    "r3": (6.409512e-01, 6.825757e-02, 5.907213e-01, 4.705066e-01),
    "r4": (3.920085e-01, 3.329630e-02, 4.782507e-01, 4.009700e-01),
    "r5": (4.760189e-01, 6.546086e-03, 4.839131e-01, 4.744822e-01),
    "z2": (3.434421e-01, 5.191296e-01, 0, 4.349300e-01),
    "z3": (1.624672e-01, 2.696040e-01, 2.610981e-01, 0),
    "z4": (7.182202e-02, 1.065241e-01, 6.096039e-02, 2.248734e-01),
    "z5": (4.422407e-02, 6.118788e-02, 0, 0),
    "decoder": (7.969148e-02, 7.675526e-02, 4.607830e-02, 1.487859e-02),
    "logits at 1/4": (-3.173310e-02, 1.453359e-01, 4.179047e-02, 1.495079e-01),
    "logits": (-3.288155e-02, 1.460110e-01, 4.179047e-02, 1.495079e-01),
    "softmax": (6.250000e-02, 9.386658e-03, 6.558865e-02, 7.424884e-02),
}
# at row 10, column 20
LOGITS = [0.1353, -0.04581, 0.0298, -0.09708, 0.03391, -0.22232, 0.00471, 0.09445,
          -0.16875, -0.09557, 0.24595, -0.25035, -0.17777, -0.08621, -0.14534, 0.18927]  # fmt: skip


def weight(name: str, shape: list[int]) -> np.ndarray:
    original = name.replace("_mean", "running_mean").replace("_variance", "running_var")
    value = np.random.RandomState(zlib.crc32(original.encode())).standard_normal(shape)
    if original.endswith("running_var"):
        value = 0.8 + 0.2 * np.abs(value)
    elif original.endswith("running_mean"):
        value = 0.1 * value
    elif original.endswith("bias"):
        value = 0.05 * value
    elif value.ndim == 1:
        value = 0.5 + 0.05 * value
    else:
        value = value * np.sqrt(2 / np.prod(shape[1:])) * (0.1 if original.startswith("sr.scene_encoder") else 1.0)
    return value.astype("float32")


@pytest.fixture(scope="module")
def maps() -> dict[str, np.ndarray]:
    model = create_model("farseg_r50")
    model.set_state_dict({name: weight(name, tensor.shape) for name, tensor in model.state_dict().items()})
    model.eval()
    seen: dict[str, np.ndarray] = {}

    def keep(*names: str):
        def hook(layer, inputs, output):
            for name, value in zip(names, output if isinstance(output, list) else [output], strict=True):
                seen[name] = value.numpy()

        return hook

    model.en.register_forward_post_hook(keep("c2", "c3", "c4", "c5"))
    model.fpn.register_forward_post_hook(keep("p2", "p3", "p4", "p5"))
    model.sr.register_forward_post_hook(keep("z2", "z3", "z4", "z5"))
    model.decoder.register_forward_post_hook(keep("decoder"))
    model.cls_pred_conv.register_forward_post_hook(keep("logits at 1/4"))
    for i in range(4):
        model.sr.scene_encoder[i].register_forward_post_hook(keep(f"scene{i + 2}"))
        model.sr.content_encoders[i].register_forward_post_hook(keep(f"content{i + 2}"))
    image = np.random.RandomState(2020).standard_normal((1, 3, 64, 96)).astype("float32")
    with paddle.no_grad():
        logits = model(paddle.to_tensor(image))[0]
        seen["logits"] = logits.numpy()
        seen["softmax"] = paddle.nn.functional.softmax(logits, axis=1).numpy()
        for i in range(2, 6):
            scene, content = (paddle.to_tensor(seen[f"{kind}{i}"]) for kind in ("scene", "content"))
            seen[f"r{i}"] = model.sr.relation(scene, content).numpy()
    return seen


@pytest.mark.parametrize("name", EXPECTED)
def test_inner_map(maps, name):
    value = maps[name].astype("float64")
    measured = [value.mean(), value.std(), value.flat[0], value.flat[-1]]
    # the table has seven digits; float32 arithmetic leaves about 1e-6 of the spread
    np.testing.assert_allclose(measured, EXPECTED[name], rtol=2e-6, atol=3e-6 * EXPECTED[name][1])


def test_logits_of_a_pixel_and_label_map(maps):
    np.testing.assert_allclose(maps["logits"][0, :, 10, 20], LOGITS, atol=6e-6)
    classes, pixels = np.unique(maps["logits"].argmax(1), return_counts=True)
    assert dict(zip(classes.tolist(), pixels.tolist(), strict=True)) == {10: 5951, 15: 193}
