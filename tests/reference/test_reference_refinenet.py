"""RefineNet's 4-cascade, whose program cannot be imported, and RDFNet, of which there is none, against what NAIC_AI-RS
describes, written in PyTorch."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_rsseg.alignment.run import default_dtype, load_translated
from paddle_rsseg.models import create_model, rdfnet

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


def conv(before, after, kernel=3, bias=False, **options):
    dilation = options.get("dilation", 1)
    return nn.Conv2d(before, after, kernel, padding=kernel // 2 * dilation, bias=bias, **options)


class Block(nn.Module):
    def __init__(self, before, width, stride, dilation):
        super().__init__()
        self.conv1, self.bn1 = conv(before, width, stride=stride, dilation=dilation), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, dilation=dilation), nn.BatchNorm2d(width)
        if stride > 1 or before != width:
            self.downsample = nn.Sequential(conv(before, width, 1, stride=stride), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


class Encoder(nn.Module):
    """ResNet-18 with the deep stem of PSPNet; its last stage dilates by 2, from its first block on."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, stride=2), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = conv(64, 64), nn.BatchNorm2d(64)
        self.conv3, self.bn3 = conv(64, 128), nn.BatchNorm2d(128)
        before = 128
        for i, (width, stride, dilation) in enumerate([(64, 1, 1), (128, 2, 1), (256, 2, 1), (512, 1, 2)], 1):
            blocks = Block(before, width, stride, dilation), Block(width, width, 1, dilation)
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
            before = width

    def forward(self, x):
        for i in (1, 2, 3):
            x = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)).relu()
        x = F.max_pool2d(x, 3, 2, 1)
        for i in (1, 2, 3, 4):
            x = getattr(self, f"layer{i}")(x)
            yield x


class Unit(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, self.conv2 = conv(width, width, bias=True), conv(width, width)

    def forward(self, x):
        return x + self.conv2(self.conv1(x.relu()).relu())


class Refine(nn.Module):
    """``inputs``: widths, the coarser map's first."""

    def __init__(self, width, *inputs):
        super().__init__()
        for i, before in enumerate(inputs):
            setattr(self, f"rcu{i}", nn.Sequential(Unit(before), Unit(before)))
        if len(inputs) > 1:
            self.mrf = nn.Module()
            self.mrf.resolve0, self.mrf.resolve1 = (conv(before, width) for before in inputs)
        self.crp = nn.Module()
        for i in (1, 2):
            setattr(self.crp, f"block{i}", nn.Sequential(nn.MaxPool2d(5, 1, 2), conv(width, width)))
        self.output_conv = Unit(width)

    def forward(self, *inputs):
        x = self.rcu0(inputs[0])
        if len(inputs) > 1:
            finer = self.mrf.resolve1(self.rcu1(inputs[1]))
            x = finer + F.interpolate(self.mrf.resolve0(x), finer.shape[2:], mode="bilinear", align_corners=True)
        x = x.relu()
        first = self.crp.block1(x)
        return self.output_conv(x + first + self.crp.block2(first))


class Cascade(nn.Module):
    """With the tensor names of NAIC_AI-RS's models/RefineNet/RefineNet.py."""

    def __init__(self, width, classes):
        super().__init__()
        self.Resnet101 = Encoder()
        for i, before in enumerate((64, 128, 256, 512), 1):
            setattr(self, f"layer{i}_rn", conv(before, width * (1 + i // 4)))
        self.refinenet4 = Refine(2 * width, 2 * width)
        self.refinenet3 = Refine(width, 2 * width, width)
        self.refinenet2, self.refinenet1 = Refine(width, width, width), Refine(width, width, width)
        self.output_conv = nn.Sequential(Unit(width), Unit(width), conv(width, classes, 1, bias=True))

    def forward(self, x):
        one, two, three, four = (
            getattr(self, f"layer{i}_rn")(feature) for i, feature in enumerate(self.Resnet101(x), 1)
        )
        path = self.refinenet3(self.refinenet4(four), three)
        path = self.refinenet1(self.refinenet2(path, two), one)
        return F.interpolate(self.output_conv(path), x.shape[2:], mode="bilinear", align_corners=True)


@pytest.mark.parametrize("size", [(64, 64), (45, 71)])
def test_logits_and_every_gradient(size):
    torch.manual_seed(0)
    theirs = Cascade(8, 5).double()
    with default_dtype("float64"):
        ours = create_model(
            {
                "type": "RefineNet",
                "wiring": "cascade",
                "backbone": {"type": "ResNet18_vc", "stem_channels": 128},
                "channels": 8,
                "num_classes": 5,
            }
        )
    weights = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    translation = load_translated(ours, weights, "float64")
    assert translation.layout.name == "RefineNet (4-cascade) of NAIC_AI-RS"
    rng = np.random.default_rng(1)
    image, slope = rng.standard_normal((2, 3, *size)), rng.standard_normal((2, 5, *size))
    expected = theirs(torch.from_numpy(image))
    got = ours(paddle.to_tensor(image))[0]
    np.testing.assert_allclose(got.numpy(), expected.detach().numpy(), rtol=0, atol=1e-11)
    (expected * torch.from_numpy(slope)).sum().backward()
    (got * paddle.to_tensor(slope)).sum().backward()
    parameters = dict(ours.named_parameters())
    known = {origin: name for name, origin in translation.origin.items()}
    for name, parameter in theirs.named_parameters():
        wanted = parameter.grad.numpy()
        np.testing.assert_allclose(
            parameters[known[name]].grad.numpy(),
            wanted,
            rtol=0,
            atol=1e-9 * max(1.0, np.abs(wanted).max()),
            err_msg=name,
        )


class Fusion(nn.Module):
    def __init__(self, width):
        super().__init__()
        half = width // 2
        self.branches = nn.ModuleList(
            nn.Sequential(conv(width, half, 1), nn.Sequential(Unit(half), Unit(half)), conv(half, width))
            for _ in range(2)
        )
        self.pooling = conv(width, width)

    def forward(self, first, second):
        x = (self.branches[0](first) + self.branches[1](second)).relu()
        return x + self.pooling(F.max_pool2d(x, 5, 1, 2))


def test_fusion_of_two_encoders():
    """Of RDFNet; what is behind it is the cascade."""
    torch.manual_seed(0)
    theirs = Fusion(8).double()
    with default_dtype("float64"):
        ours = rdfnet.Fusion(8)
    state = {name.replace("pooling.", "pooling.convs.0."): value for name, value in theirs.state_dict().items()}
    missing, unexpected = ours.set_state_dict({name: value.numpy() for name, value in state.items()})
    assert not missing
    assert not unexpected
    first, second = np.random.default_rng(0).standard_normal((2, 1, 8, 7, 10))
    got = ours(paddle.to_tensor(first), paddle.to_tensor(second)).numpy()
    expected = theirs(torch.from_numpy(first), torch.from_numpy(second)).detach().numpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
