"""PointRend on any network: its logits, made sharp where they are undecided (Kirillov et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import paddle
import paddle.nn as nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models import layers
from paddle_rsseg.models.base import Heritage, Segmenter
from paddle_rsseg.models.layers import resize, spatial_size
from paddle_rsseg.models.points import PointHead, fraction
from paddle_rsseg.registry import MODELS


class PointSegmenter(Segmenter):
    """A network with point heads: in training the logits at the input's size, then one output for each point head.

    :meth:`maps` gives in evaluation the refined logits at the input's size, in training the heads' logits at their own
    and then the points' (:meth:`.points.PointHead.train_output`).

    Attributes:
        point_outputs: number of point heads.
    """

    point_outputs = 1

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        maps = self.maps(x)
        if not self.training:
            return maps
        size = spatial_size(x)
        logits, points = maps[: -self.point_outputs], maps[-self.point_outputs :]
        return [*[resize(x, size, self.align_corners) for x in logits], *points]


@MODELS.register()
class PointRend(PointSegmenter):
    """A network whose logits are refined, where they are undecided, from fine maps of its own encoder.

    Image N×C×H×W of any size → [logits N×K×H×W]; in training those of the network without refinement, its auxiliary
    ones, and last the points' N×(K+2)×P×1, for which there is :class:`.PointLoss`:

    .. code-block:: yaml

        model: {type: PointRend, model: {type: DeepLabV3Plus, backbone: ResNet50}}
        loss:
          types: [{type: CrossEntropyLoss}, {type: PointLoss}]
          coef: [1.0, 1.0]

    The defaults are those of detectron2's semantic PointRend, with two differences: uncertainty is a difference of
    probabilities, there of logits, and maps go on beyond the centres of their outer pixels, there they fade to 0.

    With ``pretrained``, weights of the bare network begin this one, and the point head starts anew.

    Args:
        model: the network: mapping, name, or already built; with an encoder as its ``backbone``.
        num_classes: K; None: the network's.
        in_channels: C, bands of the image; None: the network's.
        features: which of the encoder's maps the points see, counted from the finest.
        steps: of the subdivision; each doubles the size and the last ends at that of the image. log2 of the stride of
            the network's logits: 2 for logits at 1/4.
        channels, hidden_layers, bias, coarse_each_layer, points, oversample, importance, refined, centres, coarse: of
            the point head (:class:`.points.PointHead`).
        align_corners: of the point head. None: as the network has it in its last up-sampling.
        freeze: only the point head trains; the network stays in evaluation mode, statistics of its norms included, and
            gives no auxiliary outputs.

    Raises:
        RssegError: a network without an encoder, other classes than its own, or a map that is not there.
    """

    heritage = Heritage(marker=r"^backbone\.", rename=(r"^", "network."), zero=r"$^", anew=r"^point_head\.")

    def __init__(
        self,
        model: str | Mapping[str, Any] | nn.Layer = "DeepLabV3Plus",
        num_classes: int | None = None,
        in_channels: int | None = None,
        features: Sequence[int] = (0,),
        steps: int = 2,
        channels: int = 256,
        hidden_layers: int = 3,
        bias: bool = True,
        coarse_each_layer: bool = True,
        points: int = 2048,
        oversample: float = 3,
        importance: float = 0.75,
        refined: int = 8192,
        align_corners: bool | None = None,
        centres: bool | None = None,
        coarse: Literal["first", "last"] = "first",
        freeze: bool = False,
    ):
        super().__init__()
        self.network = _network(model, num_classes=num_classes, in_channels=in_channels)
        self.num_classes, self.in_channels = self.network.num_classes, self.network.in_channels
        self.min_multiple, self.align_corners = self.network.min_multiple, self.network.align_corners
        widths = self.network.backbone.out_channels
        if not features or not all(0 <= i < len(widths) for i in features):
            raise RssegError("model.features", str(list(features)), f"some of 0 to {len(widths) - 1}, 0 the finest map")
        self.features, self.steps, self.frozen = tuple(features), steps, freeze
        self.point_head = PointHead(
            sum(widths[i] for i in features),
            self.num_classes,
            channels,
            hidden_layers,
            bias,
            coarse_each_layer,
            points,
            oversample,
            importance,
            refined,
            self.align_corners if align_corners is None else align_corners,
            centres,
            coarse,
        )
        if freeze:
            layers.freeze(self.network)

    def train(self) -> None:
        super().train()
        if self.frozen:
            self.network.eval()

    def maps(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        maps, encoded = self.network.maps_and_features(x)
        features = [encoded[i] for i in self.features]
        if self.training:
            return [*maps, self.point_head.train_output(maps[0], features, spatial_size(x))]
        logits = maps[0]
        for step in range(self.steps):
            size = fraction(spatial_size(x), 2 ** (self.steps - 1 - step))
            logits = self.point_head.refine(logits, maps[0], features, size)
        return [logits]


def _network(model: str | Mapping[str, Any] | nn.Layer, **options: int | None) -> nn.Layer:
    """The network to refine, built with those ``options`` that are not None.

    Raises:
        RssegError: see :class:`PointRend`.
    """
    from paddle_rsseg.models import create_model, model_spec  # which needs the networks, and so this module

    given = {key: value for key, value in options.items() if value is not None}
    if not isinstance(model, nn.Layer):
        if isinstance(model, Mapping) and any("pretrained" in part for part in _mappings(model)):
            raise RssegError(
                "model.model",
                "'pretrained'",
                "it beside model.model",
                "the bare network's weights may begin it",
            )
        model = create_model({**given, **model_spec(model)})
    for key, value in given.items():
        if getattr(model, key) != value:
            raise RssegError(f"model.model.{key}", str(getattr(model, key)), f"{value}, as model.{key} says")
    if not hasattr(model, "backbone"):
        raise RssegError("model.model", f"{type(model).__name__}, which has no encoder apart", "one with a 'backbone'")
    return model


def _mappings(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [model, *[value for value in model.values() if isinstance(value, Mapping)]]
