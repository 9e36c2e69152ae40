"""JasmineRain/NAIC_AI-RS (system N). Its losses are means over all pixels; its data ignore none."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

from paddle_rsseg.alignment.originals import (
    Meta,
    Original,
    Outputs,
    context,
    deeplab,
    original,
    output,
    refine,
    rend,
    shapes_of,
    unets,
)
from paddle_rsseg.alignment.originals.hrnet import encoder, ocr_widths


@original("naic/*deeplabv3p_*")
def deeplabv3plus(meta: Meta) -> Original:
    return Original(deeplab.naic(meta), cross_entropy())


@original("naic/hrnet_ocr")
def hrnet_ocr(meta: Meta) -> Original:
    shapes = shapes_of(meta)
    widths = ocr_widths(shapes, "cls_head", "ocr_distri_head.object_context_block.f_pixel.0")
    model = {"type": "HRNetOCR", "wiring": "official", **widths, **encoder(shapes)}
    # the original gives the auxiliary output first, in evaluation too
    return Original(model, cross_entropy(2), {"0": output(1), "1": output(0)})


@original("naic/danet_*")
def danet(meta: Meta) -> Original:
    # Rounding grows too fast: 1e-4 is allowed after three updates. On ResNeXt the network of PyTorch's own modules is
    # 8e-4 to 1.0e-3 away from the file, as its processor's instructions sum, and with 1e-15 in all weights 2.4e-4 to
    # 2.9e-3. On ResNeSt the same in ours moves the loss by 8e-5: from 1.03e-4 away to 3e-5.
    followed = 2 if "resnest" in meta["model"] or "resnext" in meta["model"] else None
    return Original(context.naic_danet(meta), cross_entropy(), followed=followed)


@original("naic/pspnet_*")
def pspnet(meta: Meta) -> Original:
    return Original(context.naic_pspnet(meta), cross_entropy(2))


@original("naic/denseaspp*")
def denseaspp(meta: Meta) -> Original:
    return Original(context.naic_denseaspp(meta), cross_entropy(), prepare=context.functional_dropout, followed=2)


@original("naic/refinenet*")
def refinenet(meta: Meta) -> Original:
    return Original(refine.naic_refinenet(meta), cross_entropy())


@original("naic/basnet*")
def basnet(meta: Meta) -> Original:
    return Original(refine.naic_basnet(meta), cross_entropy(8), {str(i): output(i) for i in range(8)})


@original("naic/unet")
def unet(meta: Meta) -> Original:
    return Original(unets.naic_unet(meta), cross_entropy())


@original("naic/unetpp*")
def unetpp(meta: Meta) -> Original:
    model = unets.naic_unetpp(meta)
    if model["heads"] == "one":
        return Original(model, cross_entropy())
    # the original gives the shallowest node's output first
    return Original(model, cross_entropy(4), {str(i): output(3 - i) for i in range(4)})


@original("naic/scseunet*")
def scseunet(meta: Meta) -> Original:
    return Original(unets.naic_scseunet(meta), cross_entropy())


@original("naic/cenet*")
def cenet(meta: Meta) -> Original:
    """The file's "logits" are probabilities."""
    terms = [{"type": "BCELoss"}, {"type": "DiceLoss", "definition": "naic", "activation": "sigmoid"}]
    mix = {"type": "MixedLoss", "losses": terms, "coef": [1.0, 1.0]}
    loss = {"types": [mix], "coef": [1.0]}
    return Original(unets.naic_cenet(meta), loss, {"logits": lambda outputs, maps: F.sigmoid(outputs[0])})


@original("naic/renddanet*")
def renddanet(meta: Meta) -> Original:
    return rend.renddanet(meta)


@original("naic/rendunet*")
def rendunet(meta: Meta) -> Original:
    return rend.rendunet(meta)


def cross_entropy(outputs: int = 1) -> dict:
    """Equal weights for all outputs."""
    return {"types": [{"type": "CrossEntropyLoss"}], "coef": [1.0] * outputs}


@original("naic/backbone_xception")
def xception(meta: Meta) -> Original:
    """The encoder alone, since the original's network around it cannot run."""
    (output_stride,) = deeplab.words(r"output_stride (\d+)", meta)
    spec = {
        "type": "Xception",
        "in_channels": shapes_of(meta)["conv1.weight"][1],
        "output_stride": int(output_stride),
    }
    return Original(spec, mean_squares, {"0": output(0), "1": output(-1)}, encoder=True)


def mean_squares(maps: Outputs, label: paddle.Tensor) -> dict[str, paddle.Tensor]:
    """Of the finest and of the coarsest map: the files' own invention, the original has no loss for its encoder."""
    return {"low": (maps[0] ** 2).mean(), "high": (maps[-1] ** 2).mean()}
