"""Write docs/models.md: every network and encoder with its size, its speed, and how close it is to its original.

``python tools/models_page.py`` measures what docs/models.json does not know yet (``--again``: everything), and writes
the page from that file and from the results of ``rsseg align`` in docs/alignment. What there is to measure is read
from the registry and from configs/, so a new network or recipe needs no change here.
"""

from __future__ import annotations

import argparse
import datetime
import inspect
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a bare clone has the package beside it

import yaml

from paddle_rsseg import runtime

ROOT = Path(__file__).resolve().parents[1]
PAGE, DATA = ROOT / "docs" / "models.md", ROOT / "docs" / "models.json"
#: written by hand: what the originals get wrong or leave open, and the sizes that their authors published
ORIGINALS, COUNTS = ROOT / "docs" / "originals.yml", ROOT / "docs" / "published_counts.yml"
RESULTS = ROOT / "docs" / "alignment"
#: the side of the image for which multiply-adds and time are given, and its classes and bands
SIDE, CLASSES, BANDS = 512, 16, 3


def networks() -> dict[str, dict[str, Any]]:
    """Title → ``{"spec", "recipes"}`` of every registered network as it is by default, and as the recipes have it."""
    from paddle_rsseg.config import load_config
    from paddle_rsseg.models import model_spec
    from paddle_rsseg.registry import MODELS

    found: dict[str, dict[str, Any]] = {}
    for name in MODELS.names():
        found[title({"type": name})] = {"spec": {"type": name}, "recipes": []}
    recipes = (path for path in (ROOT / "configs").glob("[!_]*/*.yml") if path.parent.name != "ensembles")
    for path in sorted(recipes):
        spec = {k: v for k, v in model_spec(load_config(path)).items() if k not in ("num_classes", "in_channels")}
        found.setdefault(title(spec), {"spec": spec, "recipes": []})["recipes"].append(path.stem)
    return found


def defaults_of(spec: dict[str, Any]) -> dict[str, Any]:
    from paddle_rsseg.registry import BACKBONES, MODELS

    registry = MODELS if spec["type"] in MODELS.names() else BACKBONES
    return {name: p.default for name, p in inspect.signature(registry.get(spec["type"])).parameters.items()}


def wiring(spec: dict[str, Any]) -> tuple[str, str, str]:
    """Network, encoder and wiring: what makes it the same program as an original's."""
    filled = {**defaults_of(spec), **spec}
    encoder = filled.get("backbone", "")
    return spec["type"], encoder["type"] if isinstance(encoder, dict) else encoder, filled.get("wiring", "")


def title(spec: dict[str, Any]) -> str:
    """``DeepLabV3Plus, ResNet50 (wiring naic)``: the network, its encoder, and arguments that are not its defaults."""
    defaults = defaults_of(spec)
    encoder = spec.get("backbone", defaults.get("backbone", ""))
    arguments = {key: value for key, value in spec.items() if key not in ("type", "backbone")}
    if isinstance(encoder, dict):
        arguments |= {f"backbone.{key}": value for key, value in encoder.items() if key != "type"}
        encoder = encoder["type"]
    shown = [f"{key} {value}" for key, value in arguments.items() if defaults.get(key, ...) != value]
    return ", ".join(filter(None, (spec["type"], encoder))) + (f" ({', '.join(shown)})" if shown else "")


def measure_network(spec: dict[str, Any]) -> dict[str, Any]:
    from paddle_rsseg.models import create_model
    from paddle_rsseg.models.cost import count

    model = create_model({**spec, "num_classes": CLASSES, "in_channels": BANDS})
    parameters, multiply_adds = count(model, SIDE, SIDE)
    return {"parameters": parameters, "multiply_adds": multiply_adds}


def time_network(spec: dict[str, Any]) -> dict[str, Any]:
    """Median of seven runs of the exported graph."""
    import numpy as np

    from paddle_rsseg.inference.backends import PaddleInferenceBackend, save_static
    from paddle_rsseg.models import create_model

    model = create_model({**spec, "num_classes": CLASSES, "in_channels": BANDS})
    image = np.random.default_rng(0).standard_normal((1, BANDS, SIDE, SIDE), np.float32)
    with tempfile.TemporaryDirectory() as directory:
        save_static(model, directory, BANDS)
        backend = PaddleInferenceBackend(directory)
        times = []
        for _ in range(9):
            started = time.perf_counter()
            backend(image)
            times.append(time.perf_counter() - started)
    return {"seconds": float(f"{statistics.median(times[2:]):.3g}"), "where": where()}


def measure_encoder(name: str) -> dict[str, Any]:
    from paddle_rsseg.models.backbones import build_backbone
    from paddle_rsseg.models.cost import count

    encoder = build_backbone({"type": name, "in_channels": BANDS})
    parameters, multiply_adds = count(encoder, SIDE, SIDE)
    channels, strides = list(encoder.out_channels), list(encoder.strides)
    return {"parameters": parameters, "multiply_adds": multiply_adds, "channels": channels, "strides": strides}


def where() -> str:
    """Date, processor, threads and Paddle of a time that was measured."""
    import paddle

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    date = datetime.date.today().isoformat()
    return f"{date}, {processor}, {runtime.process_cores()} threads, Paddle {paddle.__version__}"


def alignment() -> list[dict[str, Any]]:
    """What ``rsseg align`` found, of every report in docs/alignment, each original once in each type of numbers."""
    results = [one for path in sorted(RESULTS.glob("*/results.json")) for one in json.loads(path.read_text())]
    unique = {(one["original"], one["dtype"] == "float32"): one for one in results}
    return [unique[key] for key in sorted(unique)]


def reference(encoder: str) -> str:
    """The package and the name of an encoder's original."""
    from paddle_rsseg.weights.references import REFERENCES

    found = [one for one in REFERENCES if re.fullmatch(one.pattern, encoder)]
    return ", ".join(f"{one.package} `{re.sub(one.pattern, one.name, encoder)}`" for one in found)


def page(data: dict[str, Any]) -> str:
    return "\n".join(_lines(data)) + "\n"


def _lines(data: dict[str, Any]) -> Iterator[str]:
    yield "# Networks and encoders"
    yield ""
    yield (
        "Written by `python tools/models_page.py` from the registry, the recipes in `configs/` and the reports in "
        "`docs/alignment/`; do not edit it by hand. "
        f"Sizes are for {CLASSES} classes, {BANDS} bands and one image of {SIDE} × {SIDE} pixels. Parameters count "
        "frozen ones, not running statistics; multiply-adds are those of convolutions and linear layers (attention's "
        "products of matrices are not counted)."
    )
    yield from ("", "## Networks", "")
    yield "| network, encoder | parameters (M) | multiply-adds (G) | CPU (s) | aligned to | recipes |"
    yield "| --- | ---: | ---: | ---: | --- | --- |"
    rows = networks()
    results = alignment()
    for name, row in rows.items():
        known = data["networks"][name]
        aligned = dict.fromkeys(one["original"] for one in results if wiring(one["network"]) == wiring(row["spec"]))
        seconds = known.get("seconds", "–")
        yield (
            f"| {name} | {known['parameters'] / 1e6:.2f} | {known['multiply_adds'] / 1e9:.1f} | {seconds} | "
            f"{', '.join(aligned) or '–'} | {', '.join(row['recipes']) or '–'} |"
        )
    yield ""
    yield "CPU: median time of the exported graph in Paddle Inference, batch 1, as measured:"
    yield ""
    for place in sorted({data["networks"][name].get("where", "– not measured yet") for name in rows}):
        yield f"- {place}"
    yield from ("", "## Alignment", "")
    yield (
        "Each original ran its own PyTorch code in float64; ours repeats the run from its weights, input and labels, "
        "in float64 too, or, where it says so, in the float32 of training. "
        "Largest differences, relative: of the outputs to the largest number of the map, of the gradient's norm and "
        "the loss to the original's. Where the last is left out, rounding outgrows the tolerance of 1e-4 after two "
        "updates: a change of 1e-15 in the weights then moves the next loss by about that much (DANet on ResNeSt) or "
        "more (RendDANet by 1e-3; PyTorch's own DANet on ResNeXt by 3e-3, its DenseASPP by 7e-3). The reports with "
        "every number are in `docs/alignment/`."
    )
    yield ""
    yield "| original | ours | outputs | loss | gradients | loss after 5 steps | |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | --- |"
    for one in results:
        losses = one["losses"]
        last = f"{losses[5]:.0e}" if len(losses) > 5 else "–"
        yield (
            f"| {one['original']} ({one['source'].removeprefix('github ')}) | {title(one['network'])}"
            f"{', in float32' if one['dtype'] == 'float32' else ''} | "
            f"{one['outputs']:.0e} | {losses[0]:.0e} | {one['gradients']:.0e} | {last} | "
            f"{'pass' if one['ok'] else '**out of tolerance**'} |"
        )
    yield from ("", "## Where an original is broken or silent", "")
    yield "What its document intends is built; losses of that kind are in `docs/losses.md`."
    yield ""
    yield "| network | there | here |"
    yield "| --- | --- | --- |"
    for one in yaml.safe_load(ORIGINALS.read_text(encoding="utf-8")):
        yield f"| {one['network']} | {one['there']} | {one['here']} |"
    yield from ("", "## Published parameter counts", "")
    yield "| network | published (M) | here (M) | why not the same |"
    yield "| --- | ---: | ---: | --- |"
    for one in yaml.safe_load(COUNTS.read_text(encoding="utf-8")):
        yield f"| {one['network']} | {one['published']:.2f} | {one['here']:.2f} | {one.get('why', '–')} |"
    yield from ("", "## Encoders", "")
    yield (
        "Channels and strides of the maps that an encoder returns, from fine to coarse. The tests marked `reference` "
        "compare it with the package named: random weights through our converter, maps within 1e-4 relative."
    )
    yield ""
    yield "| encoder | parameters (M) | multiply-adds (G) | channels | strides | compared with |"
    yield "| --- | ---: | ---: | --- | --- | --- |"
    for name, known in data["encoders"].items():
        channels, strides = (", ".join(map(str, known[key])) for key in ("channels", "strides"))
        yield (
            f"| {name} | {known['parameters'] / 1e6:.2f} | {known['multiply_adds'] / 1e9:.1f} | {channels} | "
            f"{strides} | {reference(name) or '–'} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--again", action="store_true", help="measure everything, not only what is new")
    parser.add_argument("--no_times", action="store_true", help="leave times out, where the machine has other work")
    args = parser.parse_args()
    runtime.restart_for_cpu("cpu")
    runtime.quiet_paddle()
    import paddle

    from paddle_rsseg.registry import BACKBONES

    paddle.set_device("cpu")
    known = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() and not args.again else {}
    wanted = networks()
    data: dict[str, Any] = {
        "networks": {name: known.get("networks", {}).get(name, {}) for name in wanted},
        "encoders": {name: known.get("encoders", {}).get(name, {}) for name in BACKBONES.names()},
    }
    for kind, rows in data.items():
        for name, row in rows.items():
            if "parameters" not in row:
                print(name, flush=True)
                row |= measure_network(wanted[name]["spec"]) if kind == "networks" else measure_encoder(name)
            if kind == "networks" and "seconds" not in row and not args.no_times:
                row |= time_network(wanted[name]["spec"])
            DATA.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(data), encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
