"""Memory of an ensemble's members that take turns: python benchmarks/ensemble_memory.py

Each measurement is a process of its own that opens an ensemble of one or of three networks (FarSeg with ResNet-18, its
graph exported once), maps one image, and reports what that took above the opened networks: the peak while mapping, and
what is left afterwards. It is taken with and without ``frugal``, which ensembles ask their back ends for.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import ROOT, cpu, our_switches, run

CLASSES = 16


def memory_mb(field: str) -> int:
    """``VmRSS``, what is resident, or ``VmHWM``, its peak."""
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024


def forget_peak() -> None:
    """The peak starts anew at what is resident (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def worker(kind: str, members: int, side: int, frugal: bool, export: Path) -> dict:
    import paddle_rsseg as rs
    from paddle_rsseg.inference import ensemble

    if not frugal:
        opened = ensemble.open_model
        ensemble.open_model = lambda *given, frugal, **names: opened(*given, frugal=False, **names)
    path = export.parent / f"{kind}{members}.yml"
    model = "model.safetensors" if kind == "dynamic" else "export"
    path.write_text(
        f"average: probs\ncrop_size: {side}\nstride: {side}\nmembers:\n" + f"  - {{model: {model}}}\n" * members
    )
    predictor = rs.Predictor(path, backend=kind, device="cpu")
    predictor.predict(np.zeros((32, 32, 3), np.uint8))  # what is made once, such as reordered weights
    image = np.random.default_rng(0).integers(0, 256, (side, 3 * side, 3), np.uint8)
    forget_peak()
    before, started = memory_mb("VmRSS"), time.perf_counter()
    predictor.predict(image)
    return {
        "back end": kind, "members": members, "frugal": frugal, "opened": before,
        "peak above": memory_mb("VmHWM") - before, "left above": memory_mb("VmRSS") - before,
        "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=768, help="of a window, in pixels (default: %(default)s)")
    parser.add_argument("--backends", nargs="+", default=["dynamic", "paddle", "onnx", "openvino"])
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        kind, members, side, frugal, export = args.worker
        print(json.dumps(worker(kind, int(members), int(side), frugal == "True", Path(export))))
        return
    import paddle

    import paddle_rsseg as rs
    from paddle_rsseg.inference.spec import InferenceSpec
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import save_weights

    results = []
    with tempfile.TemporaryDirectory() as folder:
        paddle.seed(0)
        component, spec = {"type": "FarSeg", "backbone": "ResNet18", "num_classes": CLASSES}, InferenceSpec(CLASSES)
        weights = Path(folder) / "model.safetensors"
        state = create_model(component).state_dict()
        save_weights(weights, state, {"model": component, "inference": spec.to_dict()})
        rs.export(weights, save_dir=Path(folder) / "export", format="onnx")
        for kind in args.backends:
            for members in (1, 3):
                for frugal in (False, True) if members == 3 and kind != "dynamic" else (True,):
                    words = (kind, members, args.side, frugal, Path(folder) / "export")
                    done = run(sys.executable, "ensemble_memory.py", "--worker", *words, switches=our_switches())
                    results.append(done)
                    print(done, flush=True)
    path = ROOT / "benchmarks/results/ensemble_memory.json"
    path.write_text(json.dumps({"cpu": cpu(), "side": args.side, "MB": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
