"""What a file of weights is of: a segmentation network, or an encoder alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.weights.table import entries


@dataclass(frozen=True)
class Architecture:
    """A network that can be built.

    Attributes:
        spec: ``{"type": registered name, **arguments}``.
        encoder: it is an encoder, not a whole model.
    """

    spec: dict[str, Any]
    encoder: bool

    def build(self, **overrides: Any) -> Any:
        """The ``paddle.nn.Layer`` with its initial weights."""
        from paddle_rsseg.models import create_model
        from paddle_rsseg.models.backbones import build_backbone

        return build_backbone(self.spec, **overrides) if self.encoder else create_model(self.spec, **overrides)

    def __str__(self) -> str:
        arguments = ", ".join(f"{key}={value}" for key, value in self.spec.items() if key != "type")
        return self.spec["type"] + (f"({arguments})" if arguments else "")


def architecture(what: Any) -> Architecture:
    """The network that ``what`` names.

    Args:
        what: a model (``HRNetOCR``), a short name (``farseg_r50``), an encoder (``ResNet50``), each in any case; a
            name of the table of weights; ``{"type": …}``, also as text; settings or a component of them.

    Raises:
        RssegError: nothing of that name.
    """
    from paddle_rsseg.models import model_spec
    from paddle_rsseg.registry import BACKBONES, MODELS

    if isinstance(what, str) and what.lstrip().startswith("{"):
        try:
            what = yaml.safe_load(what)
        except yaml.YAMLError:
            raise RssegError("--arch", repr(what), "a name, or {type: Name, argument: value}") from None
    if isinstance(what, str) and what in entries():
        what = entries()[what].architecture
    spec = model_spec(what)
    encoders = {name.lower(): name for name in BACKBONES.names()}
    name = str(spec.get("type"))
    if name in MODELS.names():
        return Architecture(spec, encoder=False)
    if name.lower() in encoders:
        return Architecture({**spec, "type": encoders[name.lower()]}, encoder=True)
    known = [*MODELS.names(), *BACKBONES.names()]
    text = name if isinstance(what, Mapping | str) else str(what)
    raise RssegError("--arch", f"unknown network {text!r}", "a model, an encoder or a name of 'rsseg weights list'",
                     did_you_mean(name, known))  # fmt: skip
