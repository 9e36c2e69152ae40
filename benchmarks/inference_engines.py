"""One 512² image through DeepLabV3+ R50 and HRNet-W18-OCR, in our engines and in others', same weights and threads:

    python benchmarks/inference_engines.py --peer "$(bash benchmarks/peer_environment.sh)"

PyTorch, ONNX Runtime, OpenVINO and paddle2onnx are taken from this environment. All engines of a network are loaded
first and then run in turn. Writes engines.json and a table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from lockstep import Engine, python_of
from measure import ROOT, cpu, our_switches, run, spread
from speed import real_pixels

NETWORKS = ("deeplabv3plus", "hrnet_ocr")
BASE = "ours, exported"
#: engines whose logits differ by more than this, relative to the largest, do not compute the same network
TOLERANCE = 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", required=True, type=python_of, help="python of the PaddleSeg environment")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "engines.json")
    args = parser.parse_args()
    switches = our_switches()
    switches.setdefault("OMP_NUM_THREADS", "1")
    results: dict = {"cpu": cpu(), "switches": switches, "size": args.size, "networks": {}}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for network in args.networks:
        with tempfile.TemporaryDirectory() as work:
            np.save(f"{work}/image.npy", real_pixels(args.size, args.size).transpose(2, 0, 1)[None].copy())
            results["networks"][network] = measured(network, work, args, switches)
        args.out.write_text(json.dumps(results, indent=1) + "\n")  # what is measured stays, whatever comes
    print(f"\n{results['cpu']}; switches {switches}; {args.size}², batch 1")
    for network, rows in results["networks"].items():
        table(network, rows)
    print(f"written: {os.path.relpath(args.out)}")


def measured(network: str, work: str, args: argparse.Namespace, switches: dict[str, str]) -> dict[str, dict]:
    """Engine → seconds of every round, and how its logits compare with our dynamic graph's."""
    peer = "peers/paddleseg_engine.py"
    run(args.peer, peer, "weights", network, work, switches=switches)
    run(sys.executable, "engine.py", "prepare", network, work, switches=switches)
    plans = {
        "ours, dynamic": (sys.executable, "engine.py", "dynamic", switches),
        BASE: (sys.executable, "engine.py", "exported", switches),
        "PaddleSeg, as it comes": (args.peer, peer, "dynamic", {}),
        "PaddleSeg, equal switches": (args.peer, peer, "dynamic", switches),
        "PaddleSeg, exported": (args.peer, peer, "exported", switches),
        "torch, eager": (sys.executable, "engine.py", "torch", switches),
        "torch, compiled": (sys.executable, "engine.py", "torch_compiled", switches),
        "ONNX Runtime": (sys.executable, "engine.py", "onnxruntime", switches),
        "OpenVINO": (sys.executable, "engine.py", "openvino", switches),
    }
    engines, files = {}, {}
    for name, (python, script, kind, environment) in plans.items():
        print(f"{network}: {name}", file=sys.stderr, flush=True)
        extra = () if script == "engine.py" else ("--name", f"paddleseg_{len(engines)}")
        files[name] = f"{work}/logits_{extra[1] if extra else kind}.npy"
        engines[name] = Engine(python, script, kind, network, work, *extra, switches=environment)
    answers: dict[str, list[dict]] = {name: [] for name in engines}
    for _ in range(args.rounds):
        for name, engine in engines.items():
            answers[name].append(engine.run())
    for engine in engines.values():
        engine.close()
    reference = np.load(files["ours, dynamic"])
    rows = {}
    for name, engine in engines.items():
        logits = np.load(files[name])
        error = float(np.abs(logits - reference).max() / np.abs(reference).max())
        if not error <= TOLERANCE:
            sys.exit(f"error: {name} computes another {network}: its logits differ by {error:.1e}, relative")
        rows[name] = {
            "seconds": [answer["seconds"] for answer in answers[name]],
            "cpu_seconds": [answer["cpu_seconds"] for answer in answers[name]],
            "first_seconds": engine.ready["first_seconds"],
            "peak_mb": answers[name][-1]["peak_mb"],
            "logits_differ": error,
            "labels_differ": float((logits.argmax(1) != reference.argmax(1)).mean()),
        }
    return rows


def table(network: str, rows: dict[str, dict]) -> None:
    """Seconds, and the ratio to our exported graph: median over rounds of the ratio within a round."""
    print(f"\n{network:<28}{'seconds':>24}{'ratio':>8}{'CPU s':>8}{'first':>8}{'peak MB':>9}{'logits':>9}{'labels':>9}")
    base = rows[BASE]["seconds"]
    for name, row in rows.items():
        ratio = statistics.median(mine / ours for mine, ours in zip(row["seconds"], base, strict=True))
        print(
            f"{name:<28}{spread(row['seconds']):>24}{ratio:>8.2f}{min(row['cpu_seconds']):>8.2f}"
            f"{row['first_seconds']:>8.1f}{row['peak_mb']:>9.0f}{row['logits_differ']:>9.0e}{row['labels_differ']:>9.0e}"
        )


if __name__ == "__main__":
    main()
