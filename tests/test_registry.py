"""A name becomes an object; what stands in the way is said in one line."""

from __future__ import annotations

import subprocess
import sys


def test_without_paddle_the_way_out_is_told():
    code = """
import sys
class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "paddle":
            raise ModuleNotFoundError("No module named 'paddle'", name=name)
sys.meta_path.insert(0, Missing)
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import MODELS, TRANSFORMS
print(len(TRANSFORMS.names()) > 5)
try:
    MODELS.names()
except RssegError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "True", "environment: PaddlePaddle is not installed; pip install paddlepaddle (or -gpu)",
    ]  # fmt: skip
