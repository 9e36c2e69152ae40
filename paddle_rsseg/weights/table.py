"""The public weights that are known by name, such as ``hrnet_ocr_w48.cityscapes``: ``weights/tables/*.yml``.

The word before the point says which network, the word behind it what it was trained on, and by whom where several did.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from paddle_rsseg.errors import RssegError, did_you_mean

TABLES = Path(__file__).parent / "tables"
_NAME = r"^[a-z0-9_]+\.[a-z0-9_]+$"


class Entry(BaseModel):
    """One file of weights.

    Attributes:
        name: ``architecture.dataset``.
        model: ``{"type": …}``, the segmentation network; or
        backbone: name or ``{"type": …}``, the encoder that the file holds.
        origin: who trained and published it; ``page`` is where they say so.
        licence: of the project the file comes from.
        url: its address.
        scheme: whose names the tensors have.
        dataset, classes: what it was trained on.
        bands, mean, std: of its images, in this order; mean and std are of values from 0 to 1.
        sha256: of the file, or the digits it begins with, where they are published; else empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=_NAME)
    model: dict[str, Any] | None = None
    backbone: str | dict[str, Any] | None = None
    origin: str
    page: str
    licence: str
    url: str = Field(pattern=r"^https?://")
    scheme: str
    dataset: str
    classes: int = Field(ge=1)
    bands: tuple[str, ...] = ("red", "green", "blue")
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    sha256: str = Field("", pattern=r"^([0-9a-f]{8,64})?$")
    note: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Entry:
        if (self.model is None) == (self.backbone is None):
            raise ValueError("either a model or a backbone")
        if not len(self.bands) == len(self.mean) == len(self.std):
            raise ValueError("bands, mean and std differ in number")
        return self

    @property
    def file(self) -> str:
        """Name of the file in the local folder: its own, unless that is the same for all files of its origin."""
        own = PurePosixPath(self.url)
        return f"{self.name}{own.suffix}" if own.stem == "model" else own.name

    @property
    def architecture(self) -> dict[str, Any]:
        """``{"type": …, **arguments}`` of the model or the encoder."""
        spec = self.model or self.backbone
        return dict(spec) if isinstance(spec, Mapping) else {"type": str(spec)}

    @property
    def architecture_text(self) -> str:
        """The same in a few words: ``HRNetOCR(HRNetV2_W48, wiring=official)``."""
        spec = self.architecture
        inner = spec.pop("backbone", None)
        values = [str(inner)] if inner else []
        values += [f"{key}={value}" for key, value in spec.items() if key != "type"]
        return spec["type"] + (f"({', '.join(values)})" if values else "")


@cache
def entries() -> dict[str, Entry]:
    """Every known file by its name, sorted."""
    found: dict[str, Entry] = {}
    for path in sorted(TABLES.glob("*.yml")):
        for entry in read_table(path):
            if entry.name in found:
                raise RssegError(path, f"{entry.name} is in another table too", "a name of its own")
            found[entry.name] = entry
    return dict(sorted(found.items()))


def read_table(path: Path) -> list[Entry]:
    """The rows of one file.

    A table is a mapping with the key ``weights``, name → row; its other keys are what the rows have in common. ``base``
    stands before addresses that are not complete; ``sha256_in_name`` says that names end in digits of the hash, as
    PyTorch's convention has it (``resnet50-0676ba61.pth``).
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    rows = content.pop("weights")
    result = []
    for name, row in rows.items():
        values = {**content, **row, "name": name}
        base, in_name = values.pop("base", ""), values.pop("sha256_in_name", False)
        if "://" not in values["url"]:
            values["url"] = base + values["url"]
        if in_name:
            values["sha256"] = re.findall(r"-([0-9a-f]{8,})\.\w+$", values["url"])[0]
        try:
            result.append(Entry(**values))
        except ValidationError as error:
            problem = error.errors()[0]
            raise RssegError(f"{path}: {name}", f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    return result


def entry(name: str) -> Entry:
    """The row of this name.

    Raises:
        RssegError: there is none; the message carries the nearest name.
    """
    known = entries()
    if name not in known:
        raise RssegError("weights", f"unknown name {name!r}", "one of 'rsseg weights list'", did_you_mean(name, known))
    return known[name]
