"""The two networks of inference_engines.py as plain PyTorch modules, in PaddleSeg's wiring.

DeepLabV3+ on ResNet50_vd of output stride 8, and HRNet-W18-OCR. Tensors are called as in paddle_rsseg, but for
``running_mean`` and ``running_var``. Evaluation only, for sides that are multiples of 32.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def build(name: str, num_classes: int, weights: str) -> nn.Module:
    """``deeplabv3plus`` or ``hrnet_ocr`` with the tensors of an .npz file of paddle_rsseg."""
    network = {"deeplabv3plus": DeepLabV3Plus, "hrnet_ocr": HRNetOCR}[name](num_classes)
    stored = np.load(weights)
    state = {
        key.replace("._mean", ".running_mean").replace("._variance", ".running_var"): torch.from_numpy(stored[key])
        for key in stored.files
    }
    counters = {key for key in network.state_dict() if key.endswith("num_batches_tracked")}
    missing, extra = network.load_state_dict(state, strict=False)
    if set(missing) - counters or extra:
        raise SystemExit(f"error: the twin of {name} has other tensors: {set(missing) - counters}, {extra}")
    return network.eval()


def unit(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1, bias: bool = True):
    padding = kernel // 2 * dilation
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def larger(x, like):
    return x if x.shape[2:] == like.shape[2:] else F.interpolate(x, like.shape[2:], mode="bilinear")


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int = 1, dilation: int = 1, shortcut: nn.Module | None = None):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = shortcut

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class BasicBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + x)


class ResNet50vd(nn.Module):
    """Image → maps of stride 4 and 8."""

    def __init__(self):
        super().__init__()
        stem = [(3, 32, 2), (32, 32, 1), (32, 64, 1)]
        layers: list[nn.Module] = []
        for inputs, outputs, stride in stem:
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.conv1, self.bn1 = nn.Sequential(*layers[:-2]), layers[-2]
        inputs = 64
        for i, (depth, stride, dilation) in enumerate([(3, 1, 1), (4, 2, 1), (6, 1, 2), (3, 1, 4)]):
            width = 64 * 2**i
            mean = nn.AvgPool2d(2, 2) if stride == 2 else nn.Identity()
            shortcut = nn.Sequential(mean, nn.Conv2d(inputs, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width))
            blocks = [Bottleneck(inputs, width, stride, dilation, shortcut)]
            blocks += [Bottleneck(4 * width, width, 1, dilation) for _ in range(depth - 1)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
            inputs = 4 * width

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        fine = self.layer1(x)
        return fine, self.layer4(self.layer3(self.layer2(fine)))


class Separable(nn.Module):
    def __init__(self, inputs: int, outputs: int, dilation: int = 1):
        super().__init__()
        depthwise = nn.Conv2d(inputs, inputs, 3, 1, dilation, dilation, groups=inputs)
        self.depthwise = nn.Sequential(depthwise, nn.BatchNorm2d(inputs))
        self.pointwise = unit(inputs, outputs)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


class ASPP(nn.Module):
    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList([unit(2048, 256), *[Separable(2048, 256, rate) for rate in (12, 24, 36)]])
        self.pool = unit(2048, 256, bias=False)
        self.fusion = unit(5 * 256, 256)

    def forward(self, x):
        mean = self.pool(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return self.fusion(torch.cat([*[branch(x) for branch in self.branches], mean], 1))


class DeepLabHead(nn.Module):
    def __init__(self, num_classes: int):
        super().__init__()
        self.aspp = ASPP()
        self.low_level = unit(256, 48)
        self.convs = nn.Sequential(Separable(304, 256), Separable(256, 256))
        self.classifier = nn.Conv2d(256, num_classes, 1)

    def forward(self, fine, coarse):
        return self.classifier(self.convs(torch.cat([larger(self.aspp(coarse), fine), self.low_level(fine)], 1)))


class DeepLabV3Plus(nn.Module):
    def __init__(self, num_classes: int):
        super().__init__()
        self.backbone = ResNet50vd()
        self.head = DeepLabHead(num_classes)

    def forward(self, x):
        return larger(self.head(*self.backbone(x)), x)


class Halving(nn.Conv2d):
    """3×3 of stride 2, padded after the last pixel only."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3, 2, bias=False)

    def forward(self, x):
        return super().forward(F.pad(x, (0, 1, 0, 1)))


def halving(inputs: int, outputs: int, relu: bool = True):
    return nn.Sequential(Halving(inputs, outputs), nn.BatchNorm2d(outputs), *[nn.ReLU()] * relu)


class Module(nn.Module):
    """Four blocks in every branch, then the exchange."""

    def __init__(self, widths: list[int]):
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*[BasicBlock(width) for _ in range(4)]) for width in widths)
        self.fuse_layers = nn.ModuleList()
        for i, target in enumerate(widths):
            ways = {}
            for j, width in enumerate(widths):
                if j > i:
                    ways[str(j)] = unit(width, target, bias=False)[:2]
                elif j < i:
                    steps = [halving(width, width) for _ in range(i - j - 1)]
                    ways[str(j)] = nn.Sequential(*steps, halving(width, target, relu=False))
            self.fuse_layers.append(nn.ModuleDict(ways))

    def forward(self, maps):
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for i, ways in enumerate(self.fuse_layers):
            total = maps[i]
            for j, way in ways.items():
                total = total + larger(way(maps[int(j)]), maps[i])
            fused.append(F.relu(total))
        return fused


class HRNetW18(nn.Module):
    """Image → four maps of strides 4 to 32."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = Halving(3, 64), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = Halving(64, 64), nn.BatchNorm2d(64)
        shortcut = nn.Sequential(nn.Conv2d(64, 256, 1, bias=False), nn.BatchNorm2d(256))
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64, shortcut=shortcut), *[Bottleneck(256, 64) for _ in range(3)]
        )  # fmt: skip
        widths = [18, 36, 72, 144]
        self.transition1 = nn.ModuleDict({"0": unit(256, 18, 3, bias=False), "1": nn.Sequential(halving(256, 36))})
        self.transition2 = nn.ModuleDict({"2": nn.Sequential(halving(36, 72))})
        self.transition3 = nn.ModuleDict({"3": nn.Sequential(halving(72, 144))})
        self.stage2 = nn.Sequential(Module(widths[:2]))
        self.stage3 = nn.Sequential(*[Module(widths[:3]) for _ in range(4)])
        self.stage4 = nn.Sequential(*[Module(widths) for _ in range(3)])

    def forward(self, x):
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        x = self.layer1(x)
        maps = self.stage2([self.transition1["0"](x), self.transition1["1"](x)])
        maps = self.stage3([*maps, self.transition2["2"](maps[-1])])
        return self.stage4([*maps, self.transition3["3"](maps[-1])])


class PixelHead(nn.Module):
    def __init__(self, width: int, num_classes: int):
        super().__init__()
        self.conv = unit(width, width)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, x):
        return self.classifier(self.conv(x))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Sequential(unit(512, 256), unit(256, 256))
        self.key = nn.Sequential(unit(512, 256), unit(256, 256))
        self.value = nn.Sequential(unit(512, 256))
        self.out = nn.Sequential(unit(256, 512))

    def forward(self, pixels, regions):
        query, key, value = (part.flatten(2) for part in (self.query(pixels), self.key(regions), self.value(regions)))
        weights = torch.softmax(key.transpose(1, 2) @ query / 16, 1)  # 16 = √256
        return self.out((value @ weights).unflatten(2, pixels.shape[2:]))


class OCRHead(nn.Module):
    def __init__(self, width: int, num_classes: int):
        super().__init__()
        self.pixels = unit(width, 512, 3)
        self.attention = Attention()
        self.join = unit(1024, 512)
        self.classifier = nn.Conv2d(512, num_classes, 1)

    def forward(self, x, soft_regions):
        pixels = self.pixels(x)
        regions = pixels.flatten(2) @ torch.softmax(soft_regions.flatten(2), 2).transpose(1, 2)
        return self.classifier(self.join(torch.cat([self.attention(pixels, regions.unsqueeze(3)), pixels], 1)))


class HRNetOCR(nn.Module):
    def __init__(self, num_classes: int):
        super().__init__()
        self.backbone = HRNetW18()
        self.aux_head = PixelHead(270, num_classes)
        self.head = OCRHead(270, num_classes)

    def forward(self, x):
        maps = self.backbone(x)
        features = torch.cat([larger(m, maps[0]) for m in maps], 1)
        return larger(self.head(features, self.aux_head(features)), x)
