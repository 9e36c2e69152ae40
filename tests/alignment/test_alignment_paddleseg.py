"""Our DeepLabV3+ against PaddleSeg 2.8's own, on numbers that PaddleSeg computed (tests/golden/README.md)."""

from __future__ import annotations

import json

import numpy as np
import paddle
from golden_case import OWN

from paddle_rsseg.alignment import golden
from paddle_rsseg.losses import build_loss
from paddle_rsseg.models import create_model
from paddle_rsseg.weights.layout import translate


def test_deeplabv3plus_resnet50_vd():
    expected = np.load(OWN / "paddleseg" / "deeplabv3p_resnet50_vd.npz")
    meta = json.loads(str(expected["meta"]))
    backbone = {"type": "ResNet50_vd", "multi_grid": (1, 2, 4)}
    model = create_model({"type": "DeepLabV3Plus", "wiring": "paddleseg", "backbone": backbone, "num_classes": 5})
    translation = translate(golden.weights(meta["names_shapes"], meta["seed"], meta["gain"]))
    state = model.state_dict()
    assert set(translation.state) == set(state)
    for name, array in translation.state.items():
        state[name].set_value(array)

    x = paddle.to_tensor(golden.inputs(meta["input_shape"], meta["seed"]))
    model.eval()
    with paddle.no_grad():
        logits = model(x)[0].numpy()[..., :: meta["stride"], :: meta["stride"]]
    assert np.abs(logits - expected["eval/logits"]).max() < 1e-5 * np.abs(logits).max()

    model.train()
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.Dropout):
            layer.p = 0.0
    rule, (images, _, *size) = meta["label"], meta["input_shape"]
    label = golden.labels((images, *size), rule["num_classes"], meta["seed"], rule["pattern"], rule["ignore"])
    loss = build_loss({"types": [{"type": "CrossEntropyLoss"}], "coef": [1.0]}, rule["ignore"])
    total = paddle.add_n(list(loss(model(x), paddle.to_tensor(label)).values()))
    total.backward()
    assert abs(total.item() - expected["loss"]) < 1e-5 * expected["loss"]
    parameters, ours = dict(model.named_parameters()), {theirs: name for name, theirs in translation.origin.items()}
    norms = np.array([float(np.linalg.norm(parameters[ours[name]].grad.numpy())) for name in meta["parameters"]])
    # float32 flips a few ReLUs; a bias in front of a norm has the gradient 0 but for rounding
    assert np.abs(norms - expected["grad_norms"]).max() < 1e-2 * expected["grad_norms"].max()
    large = expected["grad_norms"] > 1e-3 * expected["grad_norms"].max()
    off = np.abs(norms - expected["grad_norms"])[large] / expected["grad_norms"][large]
    assert large.sum() > 100
    assert off.max() < 2e-2
    assert np.median(off) < 2e-3
