"""A trained model as a static graph with everything a server needs beside it."""

from __future__ import annotations

import sys
import types
from typing import Any

from paddle_rsseg.export.onnx import save_onnx
from paddle_rsseg.export.static import export

__all__ = ["export", "save_onnx"]


# `paddle_rsseg.export` is this package and, in the documented surface, the function: rs.export(…) works because the
# package can be called.
class _Callable(types.ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return export(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
