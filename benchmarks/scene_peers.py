"""A scene of 8,000 × 8,000 real pixels beside three other suites' ways, in one run:

    python benchmarks/scene_peers.py --peer "$(bash benchmarks/peer_environment.sh)" --final

Same network, weights, windows and 16 classes; every measurement is a process of its own, the peers once as they come
and once with our switches of threads and MKL (ours also keeps freed memory, as its commands do). Ours maps a GeoTIFF to
a GeoTIFF, the peers (peers/scene_side.py) an .npy to an .npy; "deployed" is an export in a process without Paddle. A
side that needs more memory than is free is left out, and the results say so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measure import ROOT, Timed, conditions, free_gb, our_switches, report, resident_mb, run
from scenes import write_array, write_scene
from whole_scene import CLASSES, NETWORKS

#: bytes a pixel at the peak, about: sums, what is added or divided, and the image in float32 twice
BYTES = {
    "ours": 0,
    "paddleseg": 2 * 8 * CLASSES + 8 + 2 * 12,
    "mmseg": 3 * 4 * CLASSES + 4 + 2 * 12,
    "paddlers": 4,
    "paddlers_accum": 4,
}
#: switches of ours that the peers do not get: they keep freed memory in the process, and peers free gigabytes
KEEPING = "MALLOC_"


def spec_of(protocol: str, window: int, stride: int) -> dict[str, Any]:
    """``peers``: means of logits, all windows alike, as PaddleSeg and mmsegmentation; ``predict``: `rsseg predict`."""
    shared = {"window": (window, window), "stride": (stride, stride)}
    return {**shared, "average": "logits", "blend": "uniform"} if protocol == "peers" else {**shared, "blend": "cosine"}


def prepare(network: str, work: Path) -> None:
    """Weights that all sides load."""
    import paddle
    import small_network  # noqa: F401

    from paddle_rsseg.export import export
    from paddle_rsseg.inference.spec import InferenceSpec
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import save_weights

    paddle.set_device("cpu")
    paddle.seed(0)
    model = {**NETWORKS[network], "num_classes": CLASSES, "in_channels": 3}
    network = create_model(model)
    state, spec = network.state_dict(), InferenceSpec(num_classes=CLASSES)
    (work / "model.json").write_text(json.dumps(model))
    np.savez(work / "weights.npz", **{name: value.numpy() for name, value in state.items()})
    save_weights(work / "model.safetensors", state, {"model": model, "inference": spec.to_dict()})
    export(network, spec, work / "export", format="onnx")
    print("{}")


def ours(way: str, work: Path, window: int, stride: int) -> None:
    """``way`` is a protocol, or protocol@backend, or protocol@deployed."""
    import rasterio

    from paddle_rsseg.inference.predictor import Predictor
    from paddle_rsseg.inference.scene import Outputs

    protocol, _, backend = way.partition("@")
    model = work / "export"
    if backend == "deployed":
        sys.modules["paddle"] = None  # type: ignore[assignment]  # whoever imports it gets an ImportError
        backend = "openvino"
    else:
        import small_network  # noqa: F401  (registers it)

        model = work / "model.safetensors"
    predictor = Predictor(model, backend=backend or "openvino", device="cpu", **spec_of(protocol, window, stride))
    scorer: Any = predictor.engine.score
    scorer.backend(np.zeros((1, 3, window, window), np.float32))  # warm up
    loaded = resident_mb()
    name, scorer.backend = scorer.backend.name, Timed(scorer.backend)
    written = predictor.predict_file(work / "scene.tif", work / f"maps_{way}", outputs=Outputs(overlay=False))
    report(scorer.backend, loaded, backend=name)
    with rasterio.open(written[0]) as file:  # after the measurement
        np.save(work / f"labels_ours_{way}.npy", file.read(1))


def table(results: dict) -> str:
    base = results["rows"]["ours, peers"]
    lines = [f"{'':<34}{'seconds':>9}{'ratio':>8}{'not network':>13}{'peak MB':>9}{'ratio':>8}{'same label':>12}"]
    for name, row in results["rows"].items():
        if "left_out" in row:
            lines.append(f"{name:<34} left out: {row['left_out']}")
            continue
        share = 1 - row["network_seconds"] / row["seconds"]
        ratios = (row["seconds"] / base["seconds"], row["peak_mb"] / base["peak_mb"])
        same = row.get("label_agreement")
        lines.append(
            f"{name:<34}{row['seconds']:>9.1f}{ratios[0]:>7.2f}×{share:>13.1%}{row['peak_mb']:>9.0f}{ratios[1]:>7.2f}×"
            + (f"{same:>12.4%}" if same is not None else "")
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", help="python of the PaddleSeg environment")
    parser.add_argument("--final", action="store_true", help="8,000 pixels a side and FarSeg-R18")
    parser.add_argument("--size", type=int, help="pixels a side (default: 2000)")
    parser.add_argument("--network", choices=list(NETWORKS), help="default: small")
    parser.add_argument("--window", type=int, default=896)
    parser.add_argument("--stride", type=int, default=512)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="sides whose name has one of these words")
    parser.add_argument("--scratch", type=Path, help="directory for the scene (default: the system's for temporaries)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "scene_peers.json")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = args.size or (8000 if args.final else 2000)
    network = args.network or ("farseg_r18" if args.final else "small")
    if args.worker:
        task, work = args.worker[0], Path(args.worker[1])
        prepare(network, work) if task == "prepare" else ours(task, work, args.window, args.stride)
        return
    if not args.peer:
        parser.error("--peer is needed: " + '"$(bash benchmarks/peer_environment.sh)"')
    switches = our_switches()
    equal = {name: value for name, value in switches.items() if not name.startswith(KEEPING)}
    windows = ("--window", args.window, "--stride", args.stride)
    results: dict[str, Any] = {"network": network, "size": size, "window": args.window, "stride": args.stride}
    results |= {"switches": switches, "equal_switches": equal, "rows": {}}

    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        work = Path(folder)
        results["pixels"] = write_scene(work / "scene.tif", size, size, zoom=size / 3174)
        write_array(work / "scene.tif", work / "scene.npy")
        run(sys.executable, "scene_peers.py", "--worker", "prepare", work, "--network", network, *windows)
        sides: list[tuple[str, str, dict[str, str] | None]] = [("ours, peers", "ours_peers", switches)]
        sides.append(("ours, predict", "ours_predict", switches))
        sides.append(("ours, peers, deployed", "ours_peers@deployed", switches))
        sides.append(("ours, peers, Paddle Inference", "ours_peers@paddle", switches))
        sides.append(("ours, peers, bfloat16", "ours_peers@openvino-bf16", switches))
        for way in ("paddlers", "paddlers_accum", "paddleseg", "mmseg"):
            sides.append((f"{way}, equal switches", way, equal))
            if way != "paddlers_accum":  # slow, and it would say nothing new
                sides.append((f"{way}, as it comes", way, None))
        # ours is what the others are compared with
        sides = sides[:1] + [side for side in sides[1:] if not args.only or any(word in side[0] for word in args.only)]
        for name, way, chosen in sides:
            before = conditions()
            needed = 2 + BYTES["ours" if way.startswith("ours") else way] * size * size / 1e9
            if needed > free_gb():
                results["rows"][name] = {"left_out": f"needs about {needed:.0f} GB, {free_gb():.0f} GB are free"}
            else:
                if way.startswith("ours"):
                    worker = (sys.executable, "scene_peers.py", "--worker", way.split("_")[1], work, *windows)
                else:
                    worker = (args.peer, "peers/scene_side.py", way, work, *windows)
                row = run(*worker, switches=chosen) | {"before": before}
                if name != "ours, peers":
                    same = np.load(work / f"labels_{way}.npy", "r") == np.load(work / "labels_ours_peers.npy", "r")
                    row["label_agreement"] = float(same.mean())
                results["rows"][name] = row
            print(table(results).splitlines()[-1], flush=True)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(results, indent=1))
    print(f"\n{conditions()['cpu']}; {network}, {size}² pixels, windows of {args.window} every {args.stride}")
    print(table(results))
    print(f"written: {os.path.relpath(args.out)}")


if __name__ == "__main__":
    main()
