"""What a model begins with: ``model.pretrained``, a path or a known name, or a mapping with options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from paddle_rsseg.errors import RssegError, did_you_mean

SUFFIXES = (".safetensors", ".pth", ".pt", ".pdparams")


class Pretrained(BaseModel):
    """Weights to begin with.

    Attributes:
        weights: a file, a checkpoint directory, or a name of ``rsseg weights list``.
        stem: what a first convolution for other bands than red, green, blue begins with
            (:func:`paddle_rsseg.weights.load.adapt_stem`).
        partial: take what fits and leave the rest at its random start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    weights: str
    stem: Literal["mean", "copy", "zero", "random"] = "mean"
    partial: bool = False


def looks_like_a_name(weights: str) -> bool:
    """Whether text that is no existing path can be meant as a name of the table: ``resnet50.imagenet``."""
    return re.fullmatch(r"\w+\.\w+", weights) is not None and PurePosixPath(weights).suffix not in SUFFIXES


def read_pretrained(value: Any, where: str) -> Pretrained | None:
    """``pretrained`` as a file of settings has it: nothing, text, or a mapping.

    Raises:
        RssegError: anything else, an unknown key or a wrong value; ``where`` is the key named in the message.
    """
    if value is None or isinstance(value, Pretrained):
        return value
    if isinstance(value, str):
        return Pretrained(weights=value)
    if not isinstance(value, Mapping):
        raise RssegError(where, repr(value), "the path of a weights file")
    for key in value:
        if key not in Pretrained.model_fields:
            raise RssegError(
                f"{where}.{key}", f"unknown key {key!r}", fix=did_you_mean(str(key), Pretrained.model_fields)
            )
    try:
        return Pretrained(**value)
    except ValidationError as error:
        problem = error.errors()[0]
        key = problem["loc"][0]
        raise RssegError(
            f"{where}.{key}", repr(value.get(key)), problem["msg"].removeprefix("Input should be ")
        ) from None
