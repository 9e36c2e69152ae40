"""Our U-Net, U-Net++ and SegNet against PaddleSeg 2.8, on numbers that it computed (tests/golden/README.md).

A settings file of PaddleSeg names no wiring: what it means there is what it means here.
"""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest
from golden_case import OWN

from paddle_rsseg.alignment import golden
from paddle_rsseg.models import create_model
from paddle_rsseg.weights.layout import translate

SPECS = {
    "unet": {"type": "UNet"},
    "unet_deconv": {"type": "UNet", "use_deconv": True},
    "unetplusplus": {"type": "UNetPlusPlus"},
    "segnet": {"type": "SegNet"},
}


@pytest.mark.parametrize("name", ["unet", *(pytest.param(n, marks=pytest.mark.slow) for n in list(SPECS)[1:])])
def test_outputs(name):
    expected = np.load(OWN / "paddleseg" / f"{name}.npz")
    meta = json.loads(str(expected["meta"]))
    model = create_model({**SPECS[name], "num_classes": 5})
    translation = translate(golden.weights(meta["names_shapes"], meta["seed"], meta["gain"]))
    state = model.state_dict()
    assert set(translation.state) == set(state)
    for ours, array in translation.state.items():
        assert list(array.shape) == state[ours].shape
        state[ours].set_value(array)
    model.eval()
    with paddle.no_grad():
        logits = model(paddle.to_tensor(golden.inputs(meta["input_shape"], meta["seed"])))[0].numpy()
    theirs = expected["eval/logits"]
    assert np.abs(logits[..., :: meta["stride"], :: meta["stride"]] - theirs).max() < 1e-5 * np.abs(theirs).max()
