"""BASNet with NathanUA's tensor names, small, at even and odd sizes, against its formulas in PyTorch."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_rsseg.alignment.run import default_dtype, load_translated
from paddle_rsseg.models import create_model

torch = pytest.importorskip("torch")
F = torch.nn.functional

WIDTHS, REFINER, CLASSES = [4, 8, 12, 16], 6, 3


class Original:
    """Computes with a state dict; every name is written down where it is used."""

    def __init__(self, state, align_corners):
        self.state, self.corners = state, align_corners

    def conv(self, x, name, **options):
        weight = self.state[f"{name}.weight"]
        padding = weight.shape[2] // 2 * options.get("dilation", 1)
        return F.conv2d(x, weight, self.state.get(f"{name}.bias"), padding=padding, **options)

    def norm(self, x, name):
        parts = (self.state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts)

    def unit(self, x, name, norm, **options):
        return self.norm(self.conv(x, name, **options), norm).relu()

    def block(self, x, name, stride=1):
        y = self.unit(x, f"{name}.conv1", f"{name}.bn1", stride=stride)
        y = self.norm(self.conv(y, f"{name}.conv2"), f"{name}.bn2")
        if f"{name}.downsample.0.weight" in self.state:
            x = self.norm(self.conv(x, f"{name}.downsample.0", stride=stride), f"{name}.downsample.1")
        return (x + y).relu()

    def stage(self, x, name, dilations=(1, 1, 1)):
        for part, dilation in zip("1m2", dilations, strict=True):
            x = self.unit(x, f"conv{name}_{part}", f"bn{name}_{part}", dilation=dilation)
        return x

    def up(self, x, size, corners):
        return F.interpolate(x, size, mode="bilinear", align_corners=corners)

    def refined(self, x):
        downs = [self.unit(self.conv(x, "refunet.conv0"), "refunet.conv1", "refunet.bn1")]
        for i in (2, 3, 4, 5):
            downs.append(self.unit(F.max_pool2d(downs[-1], 2, 2, ceil_mode=True), f"refunet.conv{i}", f"refunet.bn{i}"))
        y = downs.pop()
        for i in (4, 3, 2, 1):
            skip = downs.pop()
            y = torch.cat([self.up(y, skip.shape[2:], False), skip], 1)
            y = self.unit(y, f"refunet.conv_d{i}", f"refunet.bn_d{i}")
        return x + self.conv(y, "refunet.conv_d0")

    def __call__(self, image):
        maps, x = [], self.unit(image, "inconv", "inbn")
        for i in (1, 2, 3, 4):
            x = self.block(x, f"encoder{i}.0", stride=2 if i > 1 else 1)
            maps.append(x)
        for i in (5, 6):
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
            for number in (1, 2, 3):
                x = self.block(x, f"resb{i}_{number}")
            maps.append(x)
        x = self.stage(x, "bg", (2, 2, 2))
        sides = [self.conv(x, "outconvb")]
        for i in (6, 5, 4, 3, 2, 1):
            skip = maps.pop()
            x = torch.cat([self.up(x, skip.shape[2:], self.corners), skip], 1)
            x = self.stage(x, f"{i}d", (1, 2, 2) if i == 6 else (1, 1, 1))
            sides.append(self.conv(x, f"outconv{i}"))
        outputs = [self.refined(sides[-1]), *sides[::-1]]
        return [self.up(output, image.shape[2:], self.corners) for output in outputs]


def state_dict(rng):
    """NathanUA's names in a small network, with random numbers."""
    state = {}

    def conv(name, before, after, kernel=3, bias=True):
        state[f"{name}.weight"] = rng.standard_normal((after, before, kernel, kernel)) / np.sqrt(before * kernel**2)
        if bias:
            state[f"{name}.bias"] = rng.standard_normal(after)

    def norm(name, width):
        for part in ("weight", "bias", "running_mean"):
            state[f"{name}.{part}"] = rng.standard_normal(width)
        state[f"{name}.running_var"] = rng.random(width) + 0.5

    def block(name, before, after):
        for i, inputs in ((1, before), (2, after)):
            conv(f"{name}.conv{i}", inputs, after, bias=False)
            norm(f"{name}.bn{i}", after)
        if before != after:
            conv(f"{name}.downsample.0", before, after, 1, bias=False)
            norm(f"{name}.downsample.1", after)

    def stage(name, before, inside, after):
        for part, inputs, outputs in (("1", before, inside), ("m", inside, inside), ("2", inside, after)):
            conv(f"conv{name}_{part}", inputs, outputs)
            norm(f"bn{name}_{part}", outputs)

    a, b, c, d = WIDTHS
    conv("inconv", 3, a)
    norm("inbn", a)
    for i, (before, after) in enumerate([(a, a), (a, b), (b, c), (c, d)], 1):
        block(f"encoder{i}.0", before, after)
    for name in ("resb5_1", "resb5_2", "resb5_3", "resb6_1", "resb6_2", "resb6_3"):
        block(name, d, d)
    stage("bg", d, d, d)
    for i, (inside, after) in enumerate([(a, a), (b, a), (c, b), (d, c), (d, d), (d, d)], 1):
        stage(f"{i}d", 2 * inside, inside, after)
        conv(f"outconv{i}", after, CLASSES)
    conv("outconvb", d, CLASSES)
    conv("refunet.conv0", CLASSES, REFINER)
    for i in (1, 2, 3, 4, 5):
        conv(f"refunet.conv{i}", REFINER, REFINER)
        norm(f"refunet.bn{i}", REFINER)
    for i in (1, 2, 3, 4):
        conv(f"refunet.conv_d{i}", 2 * REFINER, REFINER)
        norm(f"refunet.bn_d{i}", REFINER)
    conv("refunet.conv_d0", REFINER, CLASSES)
    return state


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(64, 32), (37, 41), (1, 3)])
def test_all_eight_outputs(size, align_corners):
    state = state_dict(np.random.default_rng(0))
    spec = {
        "type": "BASNet",
        "widths": WIDTHS,
        "depths": [1, 1, 1, 1],
        "refiner_width": REFINER,
        "num_classes": CLASSES,
        "align_corners": align_corners,
    }
    with default_dtype("float64"):
        ours = create_model(spec)
    translation = load_translated(ours, state, "float64")
    assert translation.layout.name == "BASNet of NathanUA or NAIC_AI-RS"
    image = np.random.default_rng(1).standard_normal((1, 3, *size))
    expected = Original({name: torch.from_numpy(array) for name, array in state.items()}, align_corners)(
        torch.from_numpy(image)
    )
    ours.eval()
    ours.training = True  # all outputs, with the running statistics
    with paddle.no_grad():
        got = ours(paddle.to_tensor(image))
    assert len(got) == len(expected) == 8
    for mine, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=0, atol=1e-10 * float(other.abs().max()))
