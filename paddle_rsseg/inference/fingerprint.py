"""Which model, which image: what must be the same for bands of two runs to belong together."""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors

from paddle_rsseg import tree
from paddle_rsseg.inference.ensemble_file import is_ensemble, read_ensemble
from paddle_rsseg.runtime import version_of

#: files of a directory that are the model, and not, say, the state of its optimiser
MODEL_FILES = {".json", ".pdmodel", ".pdiparams", ".yaml", ".onnx", ".safetensors", ".pdparams", ".pth"}

#: what every back end needs → the packages that it comes in
LIBRARIES = {"PaddlePaddle": ("paddlepaddle-gpu", "paddlepaddle"), "NumPy": ("numpy",)}


def fingerprint(model: Any) -> str | None:
    """SHA-256 of a model's content: a file, an export's or a checkpoint's directory, an ensemble's file and all of
    its members, or a network's parameters.

    Returns:
        None for a back end that has no ``fingerprint`` of its own: nothing is known of what it computes.
    """
    digest = hashlib.sha256()
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        if is_ensemble(path):
            ensemble = read_ensemble(path)
            parts = [repr(ensemble.content)]
            for member in ensemble.members:
                parts.append(str(fingerprint(member.model)))
                if member.config is not None:
                    parts.append(repr(tree.plain(tree.read(member.config))))
            return hashlib.sha256("\n".join(parts).encode()).hexdigest()
        files = [path] if path.is_file() else sorted(f for f in path.iterdir() if f.suffix in MODEL_FILES)
        for file in files:
            digest.update(file.name.encode())
            with file.open("rb") as content:
                while block := content.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()
    paddle = sys.modules.get("paddle")  # where nobody has imported it, nobody has a layer of it
    if paddle is not None and isinstance(model, paddle.nn.Layer):
        for name, value in model.state_dict().items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value.numpy()).tobytes())
        return digest.hexdigest()
    return getattr(model, "fingerprint", None)


#: goes up when the engine's sums are made in another order, so that a band may differ in its last bits
ARITHMETIC = 2


def versions(backend: Any) -> dict[str, str | int | None]:
    """Version of everything that takes part in the arithmetic; None: not installed."""
    from paddle_rsseg import __version__

    libraries = {**LIBRARIES, **getattr(backend, "libraries", {})}
    installed = {name: version_of(*packages) for name, packages in libraries.items()}
    return {"paddle_rsseg": __version__, "arithmetic": ARITHMETIC, **installed}


def image_identity(path: str | os.PathLike) -> list[list[Any]]:
    """[name, bytes, time of change in ns] of the files that an image consists of, those behind a VRT too.

    Files that are elsewhere (``/vsi…``) have only a name.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path) as image:
                files = image.files or [os.fspath(path)]
    except rasterio.errors.RasterioError:  # such as NumPy's, which GDAL does not read
        files = [os.fspath(path)]
    return [[os.path.basename(file), *_size_and_time(file)] for file in files]


def _size_and_time(file: str) -> list[int]:
    try:
        state = os.stat(file)
    except OSError:
        return []
    return [state.st_size, state.st_mtime_ns]
