"""Export a trained model as a static graph with its pre- and post-processing, checked against the model."""

from __future__ import annotations

import argparse
from pathlib import Path

NEEDS_PADDLE = True
#: what has run the exported graph → where deploy.yaml says how closely
CHECKS = {"Paddle Inference": "equality", "ONNX Runtime": "equality_onnx"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", help="YAML of the model; not needed where the weights were written by rsseg")
    parser.add_argument("--model_path", required=True, help="checkpoint directory, .safetensors, .pdparams or .pth")
    parser.add_argument("--save_dir", default="output/export", help="directory to write (default: %(default)s)")
    parser.add_argument(
        "--input_shape",
        nargs="+",
        type=int,
        metavar="N",
        help="N C H W for a graph of fixed height and width (N stays free); default: every size",
    )
    parser.add_argument(
        "--format", choices=("paddle", "onnx"), default="paddle",
        help="onnx: model.onnx as well, for ONNX Runtime, OpenVINO, TensorRT and the like (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--temperature", metavar="T",
        help="of the probabilities, for whoever runs the export: a number, or a file of 'rsseg val --calibrate'",
    )  # fmt: skip
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY=VALUE", help="override values of --config")


def run(args: argparse.Namespace) -> int | None:
    import paddle

    from paddle_rsseg.errors import RssegError
    from paddle_rsseg.export import export
    from paddle_rsseg.inference.ensemble_file import is_ensemble
    from paddle_rsseg.inference.temperature import read_temperature

    paddle.set_device("cpu")  # the graph is the same for every device
    source = args.model_path
    if is_ensemble(Path(source)):
        fix = "export its members, and name the exports in its YAML"
        raise RssegError("--model_path", f"{source} is no network", "weights or a checkpoint", fix)
    if args.config:
        from paddle_rsseg.config import load_config

        source = load_config(args.config, args.opts)
    temperature = None if args.temperature is None else read_temperature(args.temperature)
    print(f"exporting {args.model_path}")
    path = export(
        source, save_dir=args.save_dir, weights=args.model_path, input_shape=args.input_shape, format=args.format,
        temperature=temperature,
    )  # fmt: skip
    import yaml

    description = yaml.safe_load((path / "deploy.yaml").read_text(encoding="utf-8"))
    checks = {name: description[key] for name, key in CHECKS.items() if key in description}
    cases = ", ".join("×".join(map(str, case)) for case in checks["Paddle Inference"]["cases"])
    within = ", ".join(f"{name} {check['max_relative_error']:.0e}" for name, check in checks.items())
    print(f"equal to the model at N×H×W {cases}: logits within {within} (relative)")
    for name in (*description["model"].values(), "deploy.yaml"):
        print(f"  {path / name}  {(path / name).stat().st_size / 1e6:.1f} MB")
    print(f"next: python deploy/python/infer.py --config {path / 'deploy.yaml'} --image_path IMAGE --save_dir MAPS")
    return None
