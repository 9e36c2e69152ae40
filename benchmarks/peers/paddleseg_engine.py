"""PaddleSeg 2.8's own networks as a worker of inference_engines.py: ``paddleseg_engine.py KIND NETWORK WORK``.

``weights`` makes the weights that all engines use: random, with the statistics of BatchNorm measured on the image.
``dynamic`` runs PaddleSeg as it is; ``exported`` its static graph under Paddle Inference, which in Paddle 3.3 needs a
pass taken out before it runs at all: our back end does so.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import paddle
from engine import CLASSES
from lockstep import serve
from paddleseg.models import DeepLabV3P, OCRNet
from paddleseg.models.backbones import HRNet_W18, ResNet50_vd

from paddle_rsseg.inference.backends import PaddleInferenceBackend, save_static


def build(network: str) -> paddle.nn.Layer:
    if network == "deeplabv3plus":
        return DeepLabV3P(CLASSES, ResNet50_vd(output_stride=8), aspp_ratios=(1, 12, 24, 36))
    return OCRNet(CLASSES, HRNet_W18(), backbone_indices=[0])


def random_weights(network: str, work: str) -> None:
    paddle.seed(0)
    model = build(network)
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.Conv2D):  # the initial ones of HRNet are too small to be told from zero
            fan_in = layer.weight.shape[1] * layer.weight.shape[2] * layer.weight.shape[3]
            paddle.nn.initializer.Normal(0.0, (2 / fan_in) ** 0.5)(layer.weight)
        if isinstance(layer, paddle.nn.layer.norm._BatchNormBase):
            layer._momentum = 0.0  # the next batch's statistics replace the running ones
    model.train()
    with paddle.no_grad():
        model(paddle.to_tensor(np.load(f"{work}/image.npy")).tile([2, 1, 1, 1]))
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.layer.norm._BatchNormBase):
            # the mean of one image does not vary, and dividing by that would enlarge rounding errors
            layer._variance.set_value(layer._variance.clip(min=0.1))
    paddle.save(model.state_dict(), f"{work}/{network}.pdparams")
    print("{}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["weights", "dynamic", "exported"])
    parser.add_argument("network", choices=["deeplabv3plus", "hrnet_ocr"])
    parser.add_argument("work", help="folder with image.npy and where weights and logits go")
    parser.add_argument("--name", default="paddleseg", help="of the logits' file")
    args = parser.parse_args()
    paddle.set_device("cpu")
    if args.kind == "weights":
        random_weights(args.network, args.work)
        return
    model = build(args.network)
    model.set_state_dict(paddle.load(f"{args.work}/{args.network}.pdparams"))
    model.eval()
    if args.kind == "exported":
        folder = f"{args.work}/paddleseg"
        os.makedirs(folder)
        save_static(model, folder, 3)
        serve(PaddleInferenceBackend(folder, int(os.environ["OMP_NUM_THREADS"])), args.work, args.name)
        return

    def forward(image: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            return model(paddle.to_tensor(image))[0].numpy()

    serve(forward, args.work, args.name)


if __name__ == "__main__":
    main()
