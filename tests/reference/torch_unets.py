"""U-Net's relatives in PyTorch, from their formulas and with the originals' tensor names: what no numbers are kept of.

Every class only holds layers under those names; ``forward`` spells out what happens, without regard to speed.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn as nn
import torch.nn.functional as F


def double(*widths: int, bias: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=bias), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


class Named(nn.Module):
    """Layers under given names; ``a.b`` becomes layer b of a."""

    def __init__(self, **layers: nn.Module):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)


class Recurrent(Named):
    def __init__(self, channels: int, t: int):
        super().__init__(conv=double(channels, channels))
        self.t = t

    def forward(self, x):
        y = self.conv(x)
        for _ in range(self.t):
            y = self.conv(x + y)
        return y


class RecurrentBlock(Named):
    def __init__(self, before: int, after: int, t: int):
        units = nn.Sequential(Recurrent(after, t), Recurrent(after, t))
        super().__init__(RCNN=units, Conv_1x1=nn.Conv2d(before, after, 1))

    def forward(self, x):
        x = self.Conv_1x1(x)
        return x + self.RCNN(x)


class Gate(Named):
    def __init__(self, channels: int):
        inner = channels // 2
        super().__init__(
            W_g=nn.Sequential(nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner)),
            W_x=nn.Sequential(nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner)),
            psi=nn.Sequential(nn.Conv2d(inner, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid()),
        )


class LeeJunHyun(nn.Module):
    """U_Net, AttU_Net, R2U_Net (t) and R2AttU_Net."""

    def __init__(self, widths, classes: int, bands: int, gated: bool, t: int | None):
        super().__init__()
        self.t, self.gated = t, gated
        for n, (before, after) in enumerate(zip([bands, *widths], widths, strict=False), 1):
            self.add_module(f"RRCNN{n}" if t else f"Conv{n}", self.block(before, after))
        for n in range(5, 1, -1):
            coarse, fine = widths[n - 1], widths[n - 2]
            up = nn.Sequential(nn.Upsample(scale_factor=2), *double(coarse, fine))
            self.add_module(f"Up{n}", Named(up=up))
            if gated:
                self.add_module(f"Att{n}", Gate(fine))
            self.add_module(f"Up_RRCNN{n}" if t else f"Up_conv{n}", self.block(2 * fine, fine))
        self.Conv_1x1 = nn.Conv2d(widths[0], classes, 1)

    def block(self, before: int, after: int) -> nn.Module:
        return RecurrentBlock(before, after, self.t) if self.t else Named(conv=double(before, after, after))

    def run(self, name: str, x):
        block = getattr(self, name.replace("Conv", "RRCNN").replace("conv", "RRCNN") if self.t else name)
        return block(x) if self.t else block.conv(x)

    def forward(self, x):
        skips = []
        for n in range(1, 6):
            x = self.run(f"Conv{n}", x if n == 1 else F.max_pool2d(x, 2))
            skips.append(x)
        for n in range(5, 1, -1):
            x, skip = getattr(self, f"Up{n}").up(x), skips[n - 2]
            if self.gated:
                gate = getattr(self, f"Att{n}")
                skip = skip * gate.psi(torch.relu(gate.W_g(x) + gate.W_x(skip)))
            x = self.run(f"Up_conv{n}", torch.cat([skip, x], 1))
        return self.Conv_1x1(x)


class Milesial(nn.Module):
    def __init__(self, widths, classes: int, bands: int):
        super().__init__()
        self.inc = Named(conv=Named(conv=double(bands, widths[0], widths[0])))
        out = []
        for n in range(1, 5):
            block = Named(conv=double(widths[n - 1], widths[n], widths[n]))
            self.add_module(f"down{n}", Named(mpconv=nn.Sequential(nn.MaxPool2d(2), block)))
        coarse = widths[4]
        for n in range(1, 5):
            skip, out = widths[4 - n], widths[max(3 - n, 0)]
            self.add_module(f"up{n}", Named(conv=Named(conv=double(coarse + skip, out, out))))
            coarse = out
        self.outc = Named(conv=nn.Conv2d(coarse, classes, 1))

    def forward(self, x):
        maps = [self.inc.conv.conv(x)]
        for n in range(1, 5):
            maps.append(getattr(self, f"down{n}").mpconv[1].conv(F.max_pool2d(maps[-1], 2)))
        x = maps.pop()
        for n in range(1, 5):
            skip = maps.pop()
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = getattr(self, f"up{n}").conv.conv(torch.cat([skip, x], 1))
        return self.outc.conv(x)


class Nested(nn.Module):
    """UNet_Nested: BatchNorm on the way down only, transposed convolutions, the mean of four heads."""

    def __init__(self, widths, classes: int, bands: int):
        super().__init__()
        for i, (before, after) in enumerate(zip([bands, *widths], widths, strict=False)):
            self.add_module(f"conv{i}0", Named(conv1=double(before, after), conv2=double(after, after)))
        for j in range(1, 5):
            for i in range(5 - j):
                joined, width = (j + 1) * widths[i], widths[i]
                first = nn.Sequential(nn.Conv2d(joined, width, 3, padding=1), nn.ReLU())
                second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
                up = nn.ConvTranspose2d(widths[i + 1], width, 2, stride=2)
                self.add_module(f"up_concat{i}{j}", Named(conv=Named(conv1=first, conv2=second), up=up))
            self.add_module(f"final_{j}", nn.Conv2d(widths[0], classes, 1))

    def forward(self, x):
        nodes = {}
        for i in range(5):
            block = getattr(self, f"conv{i}0")
            x = block.conv2(block.conv1(x if i == 0 else F.max_pool2d(x, 2)))
            nodes[i, 0] = x
        for j in range(1, 5):
            for i in range(5 - j):
                block = getattr(self, f"up_concat{i}{j}")
                joined = torch.cat([block.up(nodes[i + 1, j - 1]), *(nodes[i, k] for k in range(j))], 1)
                nodes[i, j] = block.conv.conv2(block.conv.conv1(joined))
        return sum(getattr(self, f"final_{j}")(nodes[0, j]) for j in range(1, 5)) / 4


class Residual(nn.Module):
    def __init__(self, before: int, after: int, stride: int = 1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        if stride != 1 or before != after:
            around = nn.Conv2d(before, after, 1, stride, bias=False)
            self.downsample = nn.Sequential(around, nn.BatchNorm2d(after))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class UnetResnetAE(nn.Module):
    """On ResNet-18, in evaluation."""

    def __init__(self, width: int, classes: int, bands: int):
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(bands, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        stages = {"feature0": stem}
        for n, (before, after) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], 1):
            stages[f"feature{n}"] = nn.Sequential(Residual(before, after, 1 if n == 1 else 2), Residual(after, after))
        self.encoder = Named(**stages)
        self.center = double(512, 8 * width, 4 * width, bias=False)
        before = {5: 4 * width + 512, 4: width + 256, 3: width + 128, 2: width + 64, 1: width}
        for n, channels in before.items():
            inner = width // 2 * 2 ** (n - 1)
            squeeze = Named(
                channel_excitation=nn.Sequential(
                    nn.Linear(width, width // 16), nn.ReLU(), nn.Linear(width // 16, width), nn.Sigmoid()
                ),
                spatial_se=nn.Sequential(nn.Conv2d(width, 1, 1, bias=False), nn.Sigmoid()),
            )
            blocks = {"block1": Residual(channels, inner), "block2": Residual(inner, width)}
            self.add_module(f"decoder{n}", Named(**blocks, scse_module=squeeze))
        self.cbr_last = nn.Sequential(*double(5 * width + 64, width, bias=False), nn.Conv2d(width, classes, 1))

    def forward(self, x):
        def up(x, factor):
            return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=True)

        maps = [x]
        for n in range(5):
            maps.append(getattr(self.encoder, f"feature{n}")(maps[-1]))
        x, levels = F.max_pool2d(self.center(maps[5]), 2), {}
        for n in range(5, 0, -1):
            block, x = getattr(self, f"decoder{n}"), up(x, 2)
            if n > 1:
                x = torch.cat([x, maps[n]], 1)
            x = block.block2(block.block1(x))
            squeeze = block.scse_module
            x = x * squeeze.channel_excitation(x.mean((2, 3)))[:, :, None, None] + x * squeeze.spatial_se(x)
            levels[n] = x
        column = [up(maps[1], 2), levels[1], *(up(levels[n], 2 ** (n - 1)) for n in range(2, 6))]
        return self.cbr_last(torch.cat(column, 1))


#: convolutions of VGG-16, in units of the first one's channels
VGG = ((0, 1, 1), (1, 2, 2), (2, 4, 4, 4), (4, 8, 8, 8), (8, 8, 8, 8))


class SegNet(nn.Module):
    """With yassouali's names if tied, else with PaddleSeg's."""

    def __init__(self, width: int, classes: int, bands: int, tied: bool):
        super().__init__()
        self.tied = tied
        stages = [[bands if c == 0 else c * width for c in stage] for stage in VGG]
        if tied:
            for n, stage in enumerate(stages, 1):
                # what stands before the stage's first convolution is no layer of it
                self.add_module(f"stage{n}_encoder", double(*stage))
            encoder = [list(getattr(self, f"stage{n}_encoder")) for n in range(1, 6)]
            for n, stage in enumerate(reversed(encoder), 1):
                layers: list[nn.Module] = []
                for conv, norm in zip(stage[-3::-3], stage[-2::-3], strict=True):
                    if conv is encoder[0][0]:
                        conv = nn.Conv2d(width, width, 3, padding=1)
                    elif conv.in_channels != conv.out_channels:
                        norm = nn.BatchNorm2d(conv.in_channels)
                        conv = nn.Conv2d(conv.out_channels, conv.in_channels, 3, padding=1)
                    layers += [conv, norm, nn.ReLU()]
                last = [nn.Conv2d(width, classes, 3, padding=1)] if n == 5 else []
                self.add_module(f"stage{n}_decoder", nn.Sequential(*layers, *last))
        else:
            for n, stage in enumerate(stages, 1):
                self.add_module(f"enco{n}", nn.Sequential(*map(paddleseg_conv, stage, stage[1:])))
                back = stage[::-1] if n > 1 else [width, width]
                parts = list(map(paddleseg_conv, back, back[1:]))
                parts += [nn.Conv2d(width, classes, 3, padding=1)] if n == 1 else []
                self.add_module(f"deco{6 - n}", nn.Sequential(*parts))

    def forward(self, x):
        names = ("stage{}_encoder", "stage{}_decoder") if self.tied else ("enco{}", "deco{}")
        taken = []
        for n in range(1, 6):
            x = getattr(self, names[0].format(n))(x)
            taken.append(x.shape[2:])
            x, places = F.max_pool2d(x, 2, return_indices=True)
            taken.append(places)
        for n in range(1, 6):
            places, size = taken.pop(), taken.pop()
            x = getattr(self, names[1].format(n))(F.max_unpool2d(x, places, 2, output_size=size))
        return x


class PaddleSegConv(Named):
    def forward(self, x):
        return torch.relu(self._batch_norm(self._conv(x)))


def paddleseg_conv(before: int, after: int) -> PaddleSegConv:
    return PaddleSegConv(_conv=nn.Conv2d(before, after, 3, padding=1), _batch_norm=nn.BatchNorm2d(after))
