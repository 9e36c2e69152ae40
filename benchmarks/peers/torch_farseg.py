"""FarSeg with a ResNet-18/34/50 encoder as a plain PyTorch module: the yardstick of the training benchmark.

Names of the tensors are those of the official release, so weights go to and from paddle_rsseg by renaming.
Written for inputs whose sides are multiples of 32, as training crops are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(inputs, width, stride)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = shortcut(inputs, 4 * width, stride)

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    if inputs == outputs and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    DEPTHS = {18: (BasicBlock, (2, 2, 2, 2)), 34: (BasicBlock, (3, 4, 6, 3)), 50: (Bottleneck, (3, 4, 6, 3))}

    def __init__(self, depth: int):
        super().__init__()
        block, repeats = self.DEPTHS[depth]
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs, self.out_channels = 64, []
        for i, (width, count) in enumerate(zip((64, 128, 256, 512), repeats, strict=True)):
            blocks = []
            for j in range(count):
                blocks.append(block(inputs, width, 2 if i > 0 and j == 0 else 1))
                inputs = width * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
            self.out_channels.append(inputs)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        features = []
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
            features.append(x)
        return features


class Encoder(nn.Module):
    def __init__(self, depth: int):
        super().__init__()
        self.resnet = ResNet(depth)


class FPN(nn.Module):
    def __init__(self, inputs: list[int]):
        super().__init__()
        for i, channels in enumerate(inputs, 1):
            setattr(self, f"fpn_inner{i}", nn.Conv2d(channels, 256, 1))
            setattr(self, f"fpn_layer{i}", nn.Conv2d(256, 256, 3, 1, 1))

    def forward(self, features):
        top = self.fpn_inner4(features[3])
        out = [self.fpn_layer4(top)]
        for i in (3, 2, 1):
            top = getattr(self, f"fpn_inner{i}")(features[i - 1]) + F.interpolate(top, scale_factor=2, mode="nearest")
            out.insert(0, getattr(self, f"fpn_layer{i}")(top))
        return out


class SceneRelation(nn.Module):
    def __init__(self, scene: int):
        super().__init__()
        self.scene_encoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(scene, 256, 1), nn.ReLU(), nn.Conv2d(256, 256, 1)) for _ in range(4)
        )
        encoder = lambda: nn.Sequential(nn.Conv2d(256, 256, 1), nn.BatchNorm2d(256), nn.ReLU())  # noqa: E731
        self.content_encoders = nn.ModuleList(encoder() for _ in range(4))
        self.feature_reencoders = nn.ModuleList(encoder() for _ in range(4))

    def forward(self, scene, pyramid):
        out = []
        for project, content, reencode, p in zip(
            self.scene_encoder, self.content_encoders, self.feature_reencoders, pyramid, strict=True
        ):
            relation = torch.sigmoid((project(scene) * content(p)).sum(1, keepdim=True))
            out.append(relation * reencode(p))
        return out


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList()
        for ups in (0, 1, 2, 3):
            units = []
            for j in range(max(ups, 1)):
                unit = [nn.Conv2d(256 if j == 0 else 128, 128, 3, 1, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU()]
                if ups:
                    unit.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True))
                units.append(nn.Sequential(*unit))
            self.blocks.append(nn.Sequential(*units))

    def forward(self, pyramid):
        return sum(block(p) for block, p in zip(self.blocks, pyramid, strict=True)) / 4


class FarSeg(nn.Module):
    def __init__(self, depth: int, num_classes: int):
        super().__init__()
        self.en = Encoder(depth)
        self.fpn = FPN(self.en.resnet.out_channels)
        self.decoder = Decoder()
        self.cls_pred_conv = nn.Conv2d(128, num_classes, 1)
        self.sr = SceneRelation(self.en.resnet.out_channels[-1])

    def forward(self, x):
        features = self.en.resnet(x)
        scene = F.adaptive_avg_pool2d(features[-1], 1)
        logits = self.cls_pred_conv(self.decoder(self.sr(scene, self.fpn(features))))
        return F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=True)


def annealed_focal(logits, label, step: int, horizon: int, gamma: float = 2.0, ignore: int = 255):
    """Cosine-annealed softmax focal loss, as the FarSeg paper trains with."""
    ce = F.cross_entropy(logits, label, ignore_index=ignore, reduction="none")
    valid = label != ignore
    with torch.no_grad():
        p = logits.softmax(1).gather(1, label.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
        modulation = (1 - p) ** gamma
        scale = modulation * ce.sum() / (ce * modulation).sum().clamp_min(1e-12)
        if step <= horizon:
            scale = scale + 0.5 * (1 - scale) * (1 + torch.cos(torch.tensor(torch.pi * step / horizon)))
    return (ce * scale).sum() / (valid.sum() + len(label))
