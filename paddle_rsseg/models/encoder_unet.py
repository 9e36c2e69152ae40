"""U-Net and U-Net++ whose contracting half is any encoder, as segmentation_models.pytorch builds them.

Ronneberger et al., "U-Net", MICCAI 2015; Zhou et al., "UNet++", DLMIA 2018. The networks of those papers, with a
contracting half of their own, are ``UNet`` and ``UNetPlusPlus``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.backbones import accepts, build_backbone
from paddle_rsseg.models.base import Segmenter
from paddle_rsseg.models.layers import conv2d, conv_bn_relu, spatial_size
from paddle_rsseg.registry import MODELS

#: of the decoder's maps, from stride 16 to 1
CHANNELS = (256, 128, 64, 32, 16)


class UpBlock(nn.Layer):
    """N×C×h×w and skips N×C'×2h×2w → N×K×2h×2w: pixels doubled, skips beside them, two 3×3 convolutions."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int):
        super().__init__()
        self.convs = nn.Sequential(
            conv_bn_relu(in_channels + skip_channels, out_channels, 3, init="relu"),
            conv_bn_relu(out_channels, out_channels, 3, init="relu"),
        )

    def forward(self, x: paddle.Tensor, skips: Sequence[paddle.Tensor]) -> paddle.Tensor:
        size = spatial_size(x)
        # not as a scale, which paddle2onnx does not know for a map of any size
        twice = [2 * side for side in size] if paddle.in_dynamic_mode() else 2 * size
        x = F.interpolate(x, size=twice, mode="nearest")
        return self.convs(paddle.concat([x, *skips], axis=1) if skips else x)


class UNetHead(nn.Layer):
    """Maps of an encoder, coarse first, each twice the size of the one before → N×K×H×W logits.

    Args:
        widths: of the maps.
        channels: of the decoder's maps; the last one, twice as fine as the finest of the encoder, has no skip.
    """

    def __init__(self, widths: Sequence[int], channels: Sequence[int], num_classes: int):
        super().__init__()
        before, skips = [widths[0], *channels[:-1]], [*widths[1:], 0]
        self.blocks = nn.LayerList(UpBlock(*three) for three in zip(before, skips, channels, strict=True))
        self.classifier = conv2d(channels[-1], num_classes, 3)

    def forward(self, maps: Sequence[paddle.Tensor]) -> paddle.Tensor:
        x = maps[0]
        for i, block in enumerate(self.blocks):
            x = block(x, maps[i + 1 : i + 2])
        return self.classifier(x)


class UNetPlusPlusHead(nn.Layer):
    """As :class:`UNetHead` with nodes in place of the skips.

    Node (s, l) starts from the s-th map, 0 the coarsest, and has the size of the (l+1)-th. It is made of node
    (s, l-1), or of the map itself where s = l, and of all that is finer on the way: nodes (s+1, l) … (l, l) and the
    map of this size. Nodes (0, l) are the decoder proper and have its widths, the others those of the encoder's maps.
    """

    def __init__(self, widths: Sequence[int], channels: Sequence[int], num_classes: int):
        super().__init__()
        self.levels = len(widths) - 1
        nodes = {}
        for level in range(self.levels):
            for start in range(level + 1):
                below = channels[level - 1] if start == 0 < level else widths[level]
                skips = widths[level + 1] * (level + 1 - start)
                nodes[f"{start}_{level}"] = UpBlock(below, skips, widths[level + 1] if start else channels[level])
        nodes[f"0_{self.levels}"] = UpBlock(channels[-2], 0, channels[-1])
        self.nodes = nn.LayerDict(nodes)
        self.classifier = conv2d(channels[-1], num_classes, 3)

    def forward(self, maps: Sequence[paddle.Tensor]) -> paddle.Tensor:
        done: dict[str, paddle.Tensor] = {}
        for level in range(self.levels):
            for start in range(level, -1, -1):
                below = maps[level] if start == level else done[f"{start}_{level - 1}"]
                skips = [done[f"{other}_{level}"] for other in range(start + 1, level + 1)]
                done[f"{start}_{level}"] = self.nodes[f"{start}_{level}"](below, [*skips, maps[level + 1]])
        last = self.nodes[f"0_{self.levels}"](done[f"0_{self.levels - 1}"], [])
        return self.classifier(last)


class EncoderDecoder(Segmenter):
    """An encoder with a map of every stride from 2 on, and a head that doubles the resolution once for each.

    An image is filled up with zeros at the right and bottom to a multiple of the deepest stride, so that every map
    has exactly twice the size of the next; the logits are cut to the image's size.
    """

    head: nn.Layer

    def __init__(
        self,
        in_channels: int,
        backbone: str | Mapping[str, Any] | nn.Layer,
        channels: Sequence[int],
        with_cp: bool | Sequence[bool] | None,
    ):
        super().__init__()
        self.backbone = build_backbone(
            backbone,
            in_channels=in_channels,
            finest_stride=2 if accepts(backbone, "finest_stride") else None,
            with_cp=with_cp,
        )
        self.in_channels, strides = self.backbone.in_channels, list(self.backbone.strides)
        if strides != [2 ** (i + 1) for i in range(len(strides))]:
            raise RssegError(
                "model.backbone", f"maps of strides {strides}", "2, 4, 8, … each once",
                "take a ResNet, ResNeSt, SENet, MobileNetV2, ShuffleNetV2 or EfficientNet of output stride 32",
            )  # fmt: skip
        if len(channels) != len(strides):
            raise RssegError("model.channels", f"{list(channels)} for {len(strides)} maps", "one a map, coarse first")
        self.min_multiple = strides[-1]

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        size = spatial_size(x)
        features = self.backbone(fill_up(x, self.min_multiple))
        return [self.head(features[::-1])[:, :, : size[0], : size[1]]]


@MODELS.register()
class EncoderUNet(EncoderDecoder):
    """Image N×C×H×W of any size → logits N×K×H×W. The Unet of segmentation_models.pytorch.

    Its EfficientNets are ours with ``padding: nominal``. Where its newer versions resize a map to the size of an odd
    skip, here the image is filled up to a multiple of 32.

    Args:
        num_classes: K.
        in_channels: C, bands of the image.
        backbone: name, mapping or built encoder with maps of all strides from 2 on (``finest_stride`` 2 is set).
        channels: of the decoder's maps, from stride 16 to 1.
        with_cp: of the backbone: recompute activations in the backward pass to save memory.

    Raises:
        RssegError: an encoder that lacks a map.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "ResNet50",
        channels: Sequence[int] = CHANNELS,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__(in_channels, backbone, channels, with_cp)
        self.num_classes = num_classes
        self.head = UNetHead(self.backbone.out_channels[::-1], channels, num_classes)


@MODELS.register()
class EncoderUNetPlusPlus(EncoderDecoder):
    """Image N×C×H×W of any size → logits N×K×H×W. The UnetPlusPlus of segmentation_models.pytorch.

    The arguments are those of :class:`EncoderUNet`.
    """

    def __init__(
        self,
        num_classes: int = 16,
        in_channels: int = 3,
        backbone: str | Mapping[str, Any] | nn.Layer = "EfficientNetB4",
        channels: Sequence[int] = CHANNELS,
        with_cp: bool | Sequence[bool] | None = None,
    ):
        super().__init__(in_channels, backbone, channels, with_cp)
        self.num_classes = num_classes
        self.head = UNetPlusPlusHead(self.backbone.out_channels[::-1], channels, num_classes)


def fill_up(x: paddle.Tensor, multiple: int) -> paddle.Tensor:
    """Zeros at the right and bottom of N×C×H×W until height and width are multiples of ``multiple``."""
    size = spatial_size(x)
    if paddle.in_dynamic_mode():
        bottom, right = -size[0] % multiple, -size[1] % multiple
        return F.pad(x, [0, right, 0, bottom]) if bottom or right else x
    # how much is not known while the graph is traced: fill up by the most it can be, and cut
    whole = (size + multiple - 1) // multiple * multiple
    x = F.pad(x, [0, multiple - 1, 0, multiple - 1])
    return x[:, :, : whole[0], : whole[1]]
