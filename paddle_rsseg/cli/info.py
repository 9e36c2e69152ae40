"""Show what there is to choose from, a configuration as it is understood, or the environment (--env)."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from paddle_rsseg import __version__, runtime
from paddle_rsseg.errors import RssegError

#: what a report of a problem should name
PACKAGES = ("numpy", "opencv-python-headless", "opencv-python", "rasterio", "pydantic", "safetensors", "visualdl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", help="print this YAML file resolved, each value with where it was set")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of the file")
    parser.add_argument("--env", action="store_true", help="versions, processor, threads, GPUs, and what is unsafe")


def run(args: argparse.Namespace) -> int | None:
    if args.env:
        return environment()
    runtime.quiet_paddle()
    if args.config:
        from paddle_rsseg.config import load_config

        settings = load_config(args.config, args.opts)
        print("\n".join(annotated(settings.plain(), settings.origin)))
        return None
    choices()
    return None


def choices() -> None:
    """Every registered name with the first line of its documentation."""
    from paddle_rsseg import registry

    for known in (registry.MODELS, registry.BACKBONES, registry.LOSSES, registry.DATASETS, registry.TRANSFORMS):
        print(f"{known.kind}:")
        for name in known.names():
            print(f"  {name:<28} {(known.get(name).__doc__ or '').strip().splitlines()[0]}")


def annotated(values: dict[str, Any], origin: Callable[[str], str]) -> Iterator[str]:
    """Lines of YAML, each value followed by where it comes from."""
    from paddle_rsseg.config.components import shown

    def lines(value: Any, path: str, indent: str) -> Iterator[tuple[str, str]]:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, child in items:
            below = f"{path}.{key}" if path else str(key)
            head = f"{indent}- " if isinstance(value, list) else f"{indent}{key}:"
            if isinstance(child, list) and any(isinstance(item, dict) for item in child):
                yield head.rstrip(), origin(below)
                yield from lines(child, below, indent + "  ")
            elif isinstance(child, dict) and child:
                nested = list(lines(child, below, indent + "  "))
                if isinstance(value, list):  # the first key goes on the line of the dash
                    nested[0] = (head + nested[0][0].lstrip(), nested[0][1])
                else:
                    yield head, ""
                yield from nested
            else:
                text = shown(list(child) if isinstance(child, tuple) else child, limit=None)
                yield f"{head.rstrip()} {text}", origin(below)

    for line, source in lines(values, "", ""):
        yield f"{line:<60}  # {source}" if source else line


def environment() -> int:
    """Print it; 1 if something in it is unsafe."""
    paddle = runtime.version_of("paddlepaddle-gpu", "paddlepaddle")
    facts = {
        "paddle_rsseg": f"{__version__} in {Path(__file__).parents[1]}",
        "python": f"{platform.python_version()} {sys.executable}",
        "system": platform.platform(),
        "paddle": paddle or "not installed",
        **{name: version for name in PACKAGES if (version := runtime.version_of(name))},
    }
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), "")
    facts["processor"] = f"{model or platform.processor()}, {runtime.available_cores()} cores usable"
    wanted = runtime.cpu_environment(os.environ, runtime.available_cores(), cpuinfo)
    facts["threads"] = f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}" + (
        f"; on a CPU the commands set {' '.join(f'{k}={v}' for k, v in wanted.items())}" if wanted else ""
    )
    try:
        runtime.quiet_paddle()
        facts["gpu"] = _gpus()
        problem = None
    except RssegError as error:
        problem = str(error)
    for name, value in facts.items():
        print(f"{name:<24} {value}")
    if problem is None and paddle and not paddle.startswith(("3.", "2.6")):
        problem = f"PaddlePaddle {paddle} is neither 3.x nor 2.6, the versions that are tested"
    print(f"\nUNSAFE: {problem}" if problem else "\nnothing unsafe found")
    return 1 if problem else 0


def _gpus() -> str:
    paddle = importlib.import_module("paddle")
    if not paddle.is_compiled_with_cuda():
        return "this Paddle is built for the CPU"
    names = [paddle.device.cuda.get_device_name(i) for i in range(paddle.device.cuda.device_count())]
    return f"{', '.join(names) or 'none found'}; CUDA {paddle.version.cuda()}, cuDNN {paddle.version.cudnn()}"
