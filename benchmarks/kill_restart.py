"""Kill -9 at twenty random moments: python benchmarks/kill_restart.py

`rsseg predict` maps a scene of real pixels to labels, probabilities and a picture with an exported FarSeg-R18, in a
process of its own, which is killed at a random moment between its start and its end and started again, until it
finishes; then in a new directory once more, until it has been killed twenty times. All results must be, byte by byte,
those of a run that nobody killed. It ends with an error if they are not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import ROOT, clean_environment, conditions
from scenes import write_scene
from whole_scene import CLASSES, NETWORKS


def export_model(work: Path) -> Path:
    """An exported network: it starts faster than weights, which would be compiled and checked at every start."""
    code = f"""
import paddle
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.models import create_model
from paddle_rsseg.weights import save_weights
paddle.seed(0)
model = {NETWORKS["farseg_r18"] | {"num_classes": CLASSES, "in_channels": 3}}
spec = InferenceSpec(num_classes={CLASSES}, window=(256, 256), stride=(160, 160))
save_weights({str(work / "model.safetensors")!r}, create_model(model).state_dict(),
             {{"model": model, "inference": spec.to_dict()}})
"""
    weights, exported = work / "model.safetensors", work / "export"
    for words in (
        ["-c", code],
        ["tools/export.py", "--model_path", weights, "--save_dir", exported, "--format", "onnx"],
    ):
        done = subprocess.run(
            [sys.executable, *map(str, words)], cwd=ROOT, env=clean_environment(), capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"error: the model could not be made:\n{done.stderr[-3000:]}")
    return exported


def start(model: Path, scene: Path, out: Path, backend: str) -> subprocess.Popen:
    words = ["tools/predict.py", "--model_path", model, "--image_path", scene, "--save_dir", out]
    words += ["--products", "probabilities", "--product_type", "float16", "--backend", backend]
    with open(scene.with_name("log"), "w") as log:
        command = [sys.executable, *map(str, words)]
        return subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdout=log, stderr=log)


def finish(process: subprocess.Popen, scene: Path) -> None:
    if process.wait():
        said = scene.with_name("log").read_text()
        sys.exit(f"error: rsseg predict ended with {process.returncode}:\n{said[-3000:]}")


def digests(out: Path) -> dict[str, str]:
    files = sorted(path for path in out.iterdir() if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def bands_there(out: Path) -> int:
    return len(list(out.glob(".rsseg/**/[0-9]*.npz")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2000, help="pixels a side")
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "kill_restart.json")
    args = parser.parse_args()
    results: dict[str, Any] = {"size": args.size, "seed": args.seed, "backend": args.backend}
    results |= {"before": conditions(), "kills": []}
    moments = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        scene, model = work / "scene.tif", export_model(work)
        results["pixels"] = write_scene(scene, args.size, args.size)
        started = time.monotonic()
        finish(start(model, scene, work / "whole", args.backend), scene)
        seconds = results["seconds_without_kills"] = time.monotonic() - started
        whole = results["sha256"] = digests(work / "whole")
        rounds, wrong = 0, []
        while True:
            out = work / f"killed_{rounds}"
            process = start(model, scene, out, args.backend)
            moment = moments.uniform(0, seconds) if len(results["kills"]) < args.kills else None
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                results["kills"].append({"after_seconds": moment, "round": rounds, "bands_there": bands_there(out)})
                print(f"killed after {moment:.1f} s, {bands_there(out)} bands are there", flush=True)
                continue
            finish(process, scene)
            rounds += 1
            if digests(out) != whole:
                wrong.append(rounds - 1)
            print(
                f"round {rounds} finished: {'the same bytes' if digests(out) == whole else 'OTHER BYTES'}", flush=True
            )
            if moment is None:
                break
    results |= {"rounds": rounds, "rounds_with_other_bytes": wrong}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1))
    print(f"{len(results['kills'])} kills, {rounds} scenes finished, {len(wrong)} with other bytes")
    print(f"written: {os.path.relpath(args.out)}")
    if wrong:
        sys.exit("error: a killed and restarted run gave other bytes")


if __name__ == "__main__":
    main()
