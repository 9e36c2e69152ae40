"""Shuai-Xie/SegHZ (system H). Its cross entropy is a mean over all pixels, ignored ones counting 0."""

from __future__ import annotations

import re

from paddle_rsseg.alignment.originals import Meta, Original, deeplab, original, own_size, shapes_of
from paddle_rsseg.alignment.originals.hrnet import encoder, ocr_widths


@original("seghz/deeplab_*")
def deeplabv3plus(meta: Meta) -> Original:
    return Original(deeplab.seghz(meta), cross_entropy(meta))


@original("seghz/hrnet_w*")
def hrnet(meta: Meta) -> Original:
    shapes = shapes_of(meta)
    model = {"type": "HRNet", "wiring": "seghz", "num_classes": shapes["cls_head.weight"][0], **encoder(shapes)}
    return Original(model, cross_entropy(meta), {"logits": own_size(0)})


@original("seghz/hrnet_ocr_w*")
def hrnet_ocr(meta: Meta) -> Original:
    shapes = shapes_of(meta)
    widths = ocr_widths(shapes, "cls_head", "ocr_distri_head.object_context_block.f_pixel.0")
    model = {"type": "HRNetOCR", "wiring": "seghz", **widths, **encoder(shapes)}
    return Original(model, cross_entropy(meta), {"logits": own_size(0)})


@original("seghz/hrnet_pam_w*")
def hrnet_pam(meta: Meta) -> Original:
    shapes = shapes_of(meta)
    channels, inside = shapes["cls_head.weight"][1] * 2 // 3, shapes["pam.3.query_conv.weight"][0]
    model = {
        "type": "HRNetPAM",
        "num_classes": shapes["cls_head.weight"][0],
        "reduction": channels // inside,
        **encoder(shapes),
    }
    return Original(model, cross_entropy(meta), {"logits": own_size(0)})


@original("seghz/hrnet_psp_w*", "seghz/hrnet_psp_aux_w*")
def hrnet_psp(meta: Meta) -> Original:
    shapes = shapes_of(meta)
    pools = [shape[0] for name, shape in shapes.items() if re.fullmatch(r"ppm\.features\.\d+\.1\.weight", name)]
    if len(pools) != 4:
        raise ValueError(f"which bins are the {len(pools)} of {meta['constructor']!r}?")
    model = {
        "type": "HRNetPSP",
        "num_classes": shapes["cls_head.weight"][0],
        "bins": (1, 2, 3, 6),
        "pool_channels": pools[0],
        "aux_head": "aux_head.0.weight" in shapes,
        **encoder(shapes),
    }
    return Original(model, cross_entropy(meta), {"logits": own_size(0)})


def cross_entropy(meta: Meta) -> dict:
    """SegHZ's CELoss with the weights that the file states, there auxiliary outputs first."""
    weights = re.search(r"weights of the outputs \[([\d., ]+)\]", meta["loss"])
    if weights is None:
        raise ValueError(f"no weights of the outputs in {meta['loss']!r}")
    coef = [float(weight) for weight in weights[1].split(",")]
    return {"types": [{"type": "CrossEntropyLoss", "avg_non_ignore": False}], "coef": coef[::-1]}
