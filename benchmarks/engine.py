"""One engine of inference_engines.py, as a worker: ``engine.py KIND NETWORK WORK``.

``prepare`` turns PaddleSeg's weights into ours: an .npz for PyTorch, a static graph and an ONNX file.
``dynamic``, ``exported``, ``onnxruntime``, ``openvino`` are our back ends; ``torch``, ``torch_compiled`` are not.
Imports come late: the environments of the engines differ.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from lockstep import serve

CLASSES = 19
#: our networks that are PaddleSeg's
SPECS = {
    "deeplabv3plus": {
        "type": "DeepLabV3Plus",
        "wiring": "paddleseg",
        "backbone": {"type": "ResNet50_vd", "contract_dilation": False},
    },
    "hrnet_ocr": {"type": "HRNetOCR", "wiring": "paddleseg", "backbone": "HRNetV2_W18"},
}


def ours(network: str, work: str):
    import paddle

    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import load_weights

    paddle.set_device("cpu")
    model = create_model({**SPECS[network], "num_classes": CLASSES})
    load_weights(model, f"{work}/{network}.pdparams")
    model.eval()
    return model


def prepare(network: str, work: str) -> None:
    from paddle_rsseg.inference import onnx
    from paddle_rsseg.inference.backends import save_static

    model = ours(network, work)
    np.savez(f"{work}/weights.npz", **{name: value.numpy() for name, value in model.state_dict().items()})
    onnx.convert(*save_static(model, work, 3), Path(work) / onnx.FILE)
    print("{}")


def forward_of(kind: str, network: str, work: str):
    """image → logits of one engine, with as many threads as OMP_NUM_THREADS says."""
    threads = int(os.environ["OMP_NUM_THREADS"])
    if kind == "dynamic":
        from paddle_rsseg.inference.backends import DynamicBackend

        return DynamicBackend(ours(network, work))
    if kind == "exported":
        from paddle_rsseg.inference.backends import PaddleInferenceBackend

        return PaddleInferenceBackend(work, threads)
    if kind == "onnxruntime":
        from paddle_rsseg.inference.onnx import OnnxBackend

        return OnnxBackend(work, threads)
    if kind == "openvino":
        from paddle_rsseg.inference.openvino import OpenVinoBackend

        return OpenVinoBackend(work, threads)
    return torch_forward(network, work, threads, compiled=kind == "torch_compiled")


def torch_forward(network: str, work: str, threads: int, compiled: bool):
    import torch
    from peers.torch_networks import build

    torch.set_num_threads(threads)
    model = build(network, CLASSES, f"{work}/weights.npz")
    if compiled:
        model = torch.compile(model)

    def forward(image: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(image)).numpy()

    return forward


def main() -> None:
    parser = argparse.ArgumentParser()
    kinds = ["prepare", "dynamic", "exported", "torch", "torch_compiled", "onnxruntime", "openvino"]
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("network", choices=list(SPECS))
    parser.add_argument("work", help="folder with the weights, image.npy and where logits go")
    args = parser.parse_args()
    if args.kind == "prepare":
        prepare(args.network, args.work)
    else:
        serve(forward_of(args.kind, args.network, args.work), args.work, args.kind)


if __name__ == "__main__":
    main()
