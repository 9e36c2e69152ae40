"""Worker processes that neither survive their parent nor answer Ctrl-C in its place."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext


def context() -> BaseContext:
    """How workers are started: forked copies of a process with threads may dead-lock."""
    return multiprocessing.get_context("spawn")


def initialise() -> None:
    """Run first in each worker: one OpenCV thread, Ctrl-C left to the parent, and an end when the parent ends."""
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    # after kill -9 of the parent nobody closes the task queue, and a waiting worker would stay for ever
    parent = multiprocessing.parent_process()
    assert parent is not None, "only workers call this"
    wait([parent.sentinel])
    os._exit(1)
