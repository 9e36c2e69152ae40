"""paddle2onnx for many graphs: to import it takes far longer than to convert one of them."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

from paddle_rsseg.inference import onnx

#: imports it once, and for each line of arguments runs the conversion in a copy of itself, which may die of it
LOOP = """
import os, sys
import paddle2onnx
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.dup2(2, 1)  # paddle2onnx is talkative
        sys.argv[2:] = line.rstrip().split("\\t")
        conversion = sys.argv.pop(1)
        exec(conversion)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Converter:
    """Takes the place of ``onnx._run_conversion``, whose own process the tests of the export see at work."""

    def __init__(self):
        environment = {**os.environ, "MALLOC_PERTURB_": onnx.GARBAGE}
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOOP, onnx.CONVERSION],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip

    def __call__(self, *arguments: str) -> tuple[int, str]:
        print(*arguments, sep="\t", file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline()), "paddle2onnx failed"


@functools.cache
def converter() -> Converter:
    """One for all tests of this process; it ends with it."""
    return Converter()
