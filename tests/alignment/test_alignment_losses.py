"""The losses against the original programs of NAIC_AI-RS and SegHZ: values and gradients.

Where an original is wrong, its number is either reproduced by a definition that carries its name (Dice's doubled
smoothing, IoU without the intersection taken off, ignored pixels as background), or the test compares with the formula
that was meant and says so.
"""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest
from golden_case import golden_files

from paddle_rsseg.data.class_weights import enet, entropy
from paddle_rsseg.data.soft import edge_smooth_targets
from paddle_rsseg.losses import build_loss
from paddle_rsseg.losses.label_smoothing import soft_cross_entropy
from paddle_rsseg.losses.noise import NoiseThresholdLoss
from paddle_rsseg.losses.ssim import ssim
from paddle_rsseg.models.layers import resize


def load(system: str):
    tables = np.load(golden_files(f"{system}/functions.npz")[0])
    return tables, json.loads(str(tables["meta"]))


NAIC, NAIC_META = load("naic")
SEGHZ, SEGHZ_META = load("seghz")


def loss_of(type_: str, ignore_index: int = 255, **arguments):
    return build_loss({"types": [{"type": type_, **arguments}], "coef": [1.0]}, ignore_index).losses[0].eval()


def logit(p: paddle.Tensor) -> paddle.Tensor:
    return paddle.log(p) - paddle.log1p(-p)


def compare(test: dict, tables, value: paddle.Tensor, inputs: dict[str, paddle.Tensor], dtype: str) -> None:
    value.backward()
    # the original of SSIM rounds its Gaussian to float32 whatever the run
    exact = dtype == "float64" and test["function"].lower() != "ssim"
    assert value.item() == pytest.approx(test["value"], rel=1e-12 if exact else 1e-6)
    for suffix, x in inputs.items():
        expected = tables[test["key"] + suffix]
        # the gradients are stored as float32
        np.testing.assert_allclose(
            x.grad.numpy(), expected, rtol=1e-6 if dtype == "float64" else 5e-4, atol=2e-6 * abs(expected).max()
        )


def naic(test: dict, x: paddle.Tensor, dtype: str) -> paddle.Tensor:
    """Our value of a call of NAIC_AI-RS."""
    function, arguments = test["function"], dict(test["arguments"])
    target = test["target"].removeprefix("onehot(").removesuffix(")")
    label = paddle.to_tensor(NAIC[target])
    if test["input"] == "sigmoid":
        x = logit(x)
    activation = "none" if test["input"] == "softmax" else "sigmoid"
    if function == "DiceLoss":
        return loss_of("DiceLoss", definition="naic", activation=activation)(x, label)
    if function == "MixLoss":
        terms = [{"type": "BCELoss"}, {"type": "DiceLoss", "definition": "naic", "activation": activation}]
        return loss_of("MixedLoss", losses=terms, coef=[arguments["alpha"], arguments["beta"]])(x, label)
    if function == "FocalLoss":
        arguments.pop("logits")
        return loss_of("SigmoidFocalLoss", **arguments)(x, label)
    if function == "LabelSmoothSoftmaxCE":
        value = loss_of("LabelSmoothingLoss", definition="naic", smoothing=arguments["lb_smooth"])(x, label)
        return value * (NAIC[target] != 255).sum().item() if arguments["reduction"] == "sum" else value
    if function == "LabelSmoothCE":
        if target == "soft_label":
            return soft_cross_entropy(x, paddle.to_tensor(NAIC["soft_label"]))
        return loss_of("CrossEntropyLoss", mean="all")(x, label)
    if function == "lovasz_softmax":
        arguments.pop("ignore")
        return loss_of("LovaszSoftmaxLoss", activation="none", **arguments)(x, label)
    if function == "lovasz_hinge":
        return loss_of("BinaryLovaszLoss", per_image=arguments["per_image"])(x.unsqueeze(1), label)
    if function == "binary_xloss":
        return loss_of("BCELoss")(x.unsqueeze(1), label)
    if function == "lovasz_xloss":
        return loss_of("CrossEntropyLoss")(x, label)
    if function == "ce_ssim_loss":
        # the original's SSIM and IoU parts are commented out; ours has them (test_the_three_parts_of_basnet)
        return loss_of("BASNetLoss").terms(x, label)[0][1]
    if function == "IOU":
        return loss_of("SoftIoULoss", definition="image", activation="sigmoid")(x, label)
    similarity = ssim(x, paddle.to_tensor(NAIC[target].astype(dtype))).mean([1, 2, 3])
    return similarity.mean() if arguments["size_average"] else similarity.sum()


NAIC_TESTS = [test for test in NAIC_META["tests"] if test["function"] != "iou_binary"]  # a score


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("test", NAIC_TESTS, ids=lambda test: test["key"])
def test_naic(test, dtype):
    x = paddle.to_tensor(NAIC[test["input"]].astype(dtype), stop_gradient=False)
    compare(test, NAIC, naic(test, x, dtype), {"/grad": x}, dtype)


def test_the_three_parts_of_basnet():
    logits, label = paddle.to_tensor(NAIC["logits"].astype("float64")), paddle.to_tensor(NAIC["label"])
    loss = loss_of("BASNetLoss")
    parts = dict(loss.terms(logits, label))
    assert list(parts) == ["CrossEntropyLoss", "SSIMLoss", "SoftIoULoss"]
    p = paddle.nn.functional.softmax(logits, axis=1)
    t = paddle.nn.functional.one_hot(label.astype("int64"), 15).transpose([0, 3, 1, 2]).astype("float64")
    assert parts["SSIMLoss"].item() == pytest.approx(1 - ssim(p, t).mean().item(), rel=1e-12)
    assert loss(logits, label).item() == pytest.approx(sum(part.item() for part in parts.values()), rel=1e-12)


def seghz(test: dict, inputs: list[paddle.Tensor]) -> paddle.Tensor:
    """Our value of a call of SegHZ on maps."""
    function, arguments = test["function"], test["arguments"]
    label = paddle.to_tensor(SEGHZ[test["target"]])
    weight = SEGHZ["class_weights"].astype("float64").tolist() if arguments.get("class_weights") else None
    # the originals count an ignored pixel as one of no class
    background = {"ignored_as_background": True}
    ce = {"type": "CrossEntropyLoss", "mean": "all", "weight": weight}
    main = {
        "CELoss": lambda: ce,
        "Thre_CELoss": lambda: {
            "type": "NoiseThresholdLoss",
            "p_min": float(np.exp(-arguments["threshold"])),
            "weight": weight,
        },
        "OHEM_CELoss": lambda: {
            "type": "OHEMLoss",
            "thresh": arguments["thresh"],
            "min_kept": arguments["min_kept"],
            "weight": weight,
        },
        "LabelSmoothing_CELoss": lambda: {
            "type": "LabelSmoothingLoss",
            "definition": "seghz",
            "smoothing": arguments["lbl_smooth"],
            "weight": weight,
        },
        "SegmentationLosses_ce": lambda: {"type": "CrossEntropyLoss", "weight": weight},
        "SegmentationLosses_bce": lambda: {"type": "BCELoss", "weight": weight, **background},
        "SegmentationLosses_dice": lambda: {"type": "DiceLoss", "definition": "seghz", **background},
        "SegmentationLosses_gdice": lambda: {
            "type": "GeneralizedDiceLoss",
            "activation": "sigmoid",
            "classes": "all",
            **background,
        },
        "SegmentationLosses_iou": lambda: {"type": "SoftIoULoss", "definition": "seghz", **background},
        "GeneralizedDiceLoss": lambda: {
            "type": "GeneralizedDiceLoss",
            "activation": "sigmoid" if arguments["sigmoid_normalization"] else "softmax",
            "classes": "all",
            **background,
        },
        "OHEM_CrossEntroy_Loss": lambda: {
            "type": "HardestPixelsLoss",
            "thresh": arguments["threshold"],
            "keep": arguments["keep_num"],
        },
    }[function]()
    # the main output is the last of theirs and the first of ours
    types = [main] + [main if function == "Thre_CELoss" else ce] * (len(inputs) - 1)
    outputs = [resize(x, SEGHZ["label"].shape[1:], align_corners=True) for x in reversed(inputs)]
    values = build_loss({"types": types, "coef": arguments.get("multi_weights", [1.0])[::-1]})(outputs, label)
    value = paddle.add_n(list(values.values()))
    valid = (SEGHZ[test["target"]] != 255).sum().item()
    return value * valid if arguments.get("reduction") == "sum" else value


# the first is described at test_dice_with_cross_entropy; the others have binary targets and come below
ELSEWHERE = ("SegmentationLosses_dice_ce", "binary_")
SEGHZ_TESTS = [test for test in SEGHZ_META["tests"] if not test["function"].startswith(ELSEWHERE)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("test", SEGHZ_TESTS, ids=lambda test: test["key"])
def test_seghz(test, dtype):
    inputs = {
        f"/grad/{name}": paddle.to_tensor(SEGHZ[name].astype(dtype), stop_gradient=False) for name in test["inputs"]
    }
    compare(test, SEGHZ, seghz(test, list(inputs.values())), inputs, dtype)


def test_dice_with_cross_entropy():
    """The original's cross entropy takes an ignored pixel for class 0 (argmax of zeros); ours is the sum of both."""
    parts = {test["function"]: test for test in SEGHZ_META["tests"]}
    weight = SEGHZ["class_weights"].astype("float64").tolist()
    terms = [
        {"type": "DiceLoss", "definition": "seghz", "ignored_as_background": True},
        {"type": "CrossEntropyLoss", "weight": weight},
    ]
    loss = loss_of("MixedLoss", losses=terms, coef=[1.0, 1.0])
    logits = paddle.to_tensor(SEGHZ["logits"].astype("float64"))
    label = SEGHZ["label"]
    meant = parts["SegmentationLosses_dice"]["value"] + parts["SegmentationLosses_ce"]["value"]
    assert loss(logits, paddle.to_tensor(label)).item() == pytest.approx(meant, rel=1e-12)
    # and with the original's labels for each term, its number
    of_dice = loss.losses[0](logits, paddle.to_tensor(label))
    of_pixels = loss.losses[1](logits, paddle.to_tensor(np.where(label == 255, 0, label)))
    theirs = parts["SegmentationLosses_dice_ce"]["value"]
    assert (of_dice + of_pixels).item() == pytest.approx(theirs, rel=1e-12)


SENSITIVITY = {
    "type": "TverskyLoss",
    "alpha": 0.0,
    "beta": 1.0,
    "smooth": 0.0,
    "eps": 1e-5,
    "activation": "sigmoid",
}
BINARY = {
    "binary_bce": {"type": "BCELoss"},
    "binary_weighted_bce": {"type": "BCELoss", "pos_weight": [0.25 / 0.75]},
    "binary_focal_loss": {"type": "SigmoidFocalLoss", "alpha": 0.25, "signs": "separate"},
    "binary_focal_loss2": {"type": "SigmoidFocalLoss", "alpha": 0.25, "signs": "separate"},
    "binary_iou_loss": {"type": "SoftIoULoss", "definition": "seghz_binary"},
    "binary_dice_loss": {"type": "DiceLoss", "definition": "seghz_binary"},
    "binary_tversky_loss": {
        "type": "TverskyLoss",
        "alpha": 0.75,
        "beta": 0.25,
        "smooth": 0.0,
        "eps": 1e-5,
        "activation": "sigmoid",
    },
    # sensitivity is a score: 1 - the Tversky loss that punishes only what is missed
    "binary_sensitivity": SENSITIVITY,
    # and specificity is the sensitivity to the other class
    "binary_specificity": SENSITIVITY,
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "test", [test for test in SEGHZ_META["tests"] if test["function"] in BINARY], ids=lambda test: test["key"]
)
def test_seghz_binary(test, dtype):
    # three maps an image that have nothing to do with each other: six images of one channel
    prob = paddle.to_tensor(SEGHZ["prob"].astype(dtype), stop_gradient=False)
    label = paddle.to_tensor(SEGHZ["binary_target"].astype("int64").reshape(6, 16, 16))
    logits, spec = logit(prob).reshape([6, 1, 16, 16]), BINARY[test["function"]]
    if test["function"] == "binary_specificity":
        logits, label = -logits, 1 - label
    value = build_loss({"types": [spec], "coef": [1.0]}).losses[0](logits, label)
    if spec is SENSITIVITY:
        value = 1 - value
    compare(test, SEGHZ, value, {"/grad/prob": prob}, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_seghz_binary_generalized_dice(dtype):
    # here the three maps are three classes that may overlap, which no label says: the formula itself
    test = next(test for test in SEGHZ_META["tests"] if test["function"] == "binary_general_dice_loss")
    prob = paddle.to_tensor(SEGHZ["prob"].astype(dtype), stop_gradient=False)
    target = paddle.to_tensor(SEGHZ["binary_target"].astype(dtype))
    maps = [x.transpose([1, 0, 2, 3]).flatten(1).unsqueeze(0) for x in (prob, target)]
    value = loss_of("GeneralizedDiceLoss", eps=1e-5).of_samples(*maps).sum()
    compare(test, SEGHZ, value, {"/grad/prob": prob}, dtype)


@pytest.mark.parametrize(
    ("table", "epochs", "p_min", "p_max"),
    [("epochs100", 100, 0.01, 0.1), ("epochs50_min0.02_max0.2", 50, 0.02, 0.2)],
)
def test_threshold_schedule(table, epochs, p_min, p_max):
    expected = SEGHZ[f"loss_threshold/{table}"]
    loss = NoiseThresholdLoss(p_min, p_max, T_max=7 * epochs, epoch_iters=7)
    for epoch in range(1, epochs + 1):
        for iteration in (7 * epoch - 6, 7 * epoch):
            loss.step.set_value(np.array(iteration))
            assert loss.threshold(paddle.float64).item() == pytest.approx(expected[epoch], rel=1e-12)


@pytest.mark.parametrize(("radius", "alpha"), [(8, 0.2), (5, 0.2), (2, 0.1)])
def test_edge_smoothing(radius, alpha):
    expected = NAIC[f"mask_to_semantic/edge_alpha{alpha}_radius{radius}"]
    labels, mask = NAIC_META["labels"], NAIC["mask"]
    ours = edge_smooth_targets(mask, labels, radius, alpha)
    # the original convolves with random integers; where that happens to give 0 it overlooks an edge
    kernel = NAIC[f"filter/radius{radius}"].astype("int64")
    kernel[radius, radius] -= kernel.sum()
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(mask.astype("int64"), radius, "edge"), kernel.shape)
    seen = (windows * kernel).sum((2, 3)) != 0
    edge = windows.max((2, 3)) != windows.min((2, 3))
    assert not (seen & ~edge).any()
    agree = seen == edge
    assert agree.mean() > 0.99
    np.testing.assert_array_equal(ours[:, agree].astype("float32"), expected[:, agree])
    plain = NAIC["mask_to_semantic/plain"]
    np.testing.assert_array_equal(edge_smooth_targets(mask, labels, radius, 0.0).astype("float32"), plain)


@pytest.mark.parametrize(("radius", "alpha"), [(3, 0.2), (1, 0.1)])
def test_edges_of_the_older_loop(radius, alpha):
    """Its window is a pixel longer below and to the right: it finds our edges, and some of a pixel further."""
    theirs = NAIC[f"label_smooth/alpha{alpha}_radius{radius}"].max(0) < 1
    labels = NAIC_META["labels"]
    ours, wider = (
        edge_smooth_targets(NAIC["mask"], labels, r, alpha).astype("float32").max(0) < 1 for r in (radius, radius + 1)
    )
    assert theirs[ours].all()
    assert wider[theirs].all()


def test_class_weights():
    label = SEGHZ["label"]
    counts = np.bincount(label[label != 255], minlength=7)
    np.testing.assert_allclose(enet(counts), SEGHZ["class_weights_from_counts"], rtol=1e-12)


def test_entropy():
    """Of the mean frequencies of the images chosen so far, for each image that the original chose."""
    chosen = SEGHZ["entropy/freqs"][SEGHZ["entropy/order"]]
    ours = [entropy(chosen[: i + 1].mean(0)) for i in range(len(chosen))]
    np.testing.assert_allclose(ours, SEGHZ["entropy/values"], rtol=1e-12)


def test_no_loss_of_the_original_is_left_out():
    compared = {test["function"] for test in SEGHZ_TESTS} | set(BINARY)
    apart = {"SegmentationLosses_dice_ce", "binary_general_dice_loss"}
    assert {test["function"] for test in SEGHZ_META["tests"]} == compared | apart
