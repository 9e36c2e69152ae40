"""The losses once more, as their formulas read: NumPy float64, pixels that do not count taken out, nothing shared.

``NAIVE`` has for each case: its name, our loss as the registry builds it, and the function of (N×K×H×W logits, N×H×W
labels) that it should be.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

Function = Callable[[np.ndarray, np.ndarray], float]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -x))


ACTIVATION = {"softmax": softmax, "sigmoid": sigmoid}


def rows(x: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that count: n×K, n."""
    return x.transpose(0, 2, 3, 1)[label != 255], label[label != 255]


def targets(classes: int, y: np.ndarray) -> np.ndarray:
    return (y[:, None] == (np.arange(classes) if classes > 1 else np.array([1]))).astype(float)


def zero_if_empty(function: Function) -> Function:
    return lambda x, label: function(x, label) if (label != 255).any() else 0.0


def images(function: Function) -> Function:
    """Mean over the images with a pixel that counts."""

    def mean(x: np.ndarray, label: np.ndarray) -> float:
        kept = [i for i in range(len(x)) if (label[i] != 255).any()]
        return float(np.mean([function(x[i : i + 1], label[i : i + 1]) for i in kept]))

    return mean


W = [0.5, 2.0, 1.25, 0.75]


def nll(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -log_softmax(x)[np.arange(len(y)), y]


def cross_entropy(x, label, mean, weighted=True):
    z, y = rows(x, label)
    w = np.array(W)[y] if weighted else np.ones(len(y))
    count = {"weighted": w.sum(), "valid": len(y), "all": label.size}[mean]
    return (w * nll(z, y)).sum() / count


def smoothing(x, label, definition, weighted, s=0.2):
    z, y = rows(x, label)
    classes = z.shape[1]
    w = np.array(W) if weighted else np.ones(classes)
    q = {"torch": s / classes, "naic": s / classes, "seghz": s / (classes - 1)}[definition] * np.ones_like(z)
    q[np.arange(len(y)), y] = 1 - s + (s / classes if definition == "torch" else 0)
    if definition == "torch":
        return -(w * q * log_softmax(z)).sum() / w[y].sum()
    return -(w[y] * (q * log_softmax(z)).sum(1)).sum() / len(y)


def edge_smoothing(x, label, radius=1, alpha=0.2):
    total, count = 0.0, 0
    classes, logp = x.shape[1], log_softmax(x)
    for n, i, j in np.argwhere(label != 255):
        window = label[n, max(i - radius, 0) : i + radius + 1, max(j - radius, 0) : j + radius + 1]
        a = alpha if len(set(window[window != 255].tolist())) > 1 else 0.0
        q = np.full(classes, a / classes)
        q[label[n, i, j]] += 1 - a
        total -= (q * logp[n, :, i, j]).sum()
        count += 1
    return total / count


def bce_rows(x, label, background):
    """Logits and targets of the pixels that count; as background, ignored ones count with all targets 0."""
    if background:
        z = x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
        return z, targets(x.shape[1], label.reshape(-1))
    z, y = rows(x, label)
    return z, targets(x.shape[1], y)


def bce(x, label, pos_weight=None, weighted=False, background=False):
    z, t = bce_rows(x, label, background)
    factor = np.ones(z.shape[1])
    if pos_weight == "balanced":
        factor = (len(t) - t.sum(0)) / (t.sum(0) + 1e-5)
    elif pos_weight:
        factor = np.array(pos_weight)
    b = factor * t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z)
    return (b.mean(0) * (np.array(W) if weighted else 1)).mean()


def focal(x, label, signs, alpha=0.75, gamma=2.0, weighted=False, background=False):
    z, t = bce_rows(x, label, background)
    b = t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z)
    f = (-np.expm1(-b)) ** gamma * b
    if signs == "separate":
        values = [
            alpha * (f[t[:, c] == 1, c].mean() if t[:, c].any() else 0)
            + (1 - alpha) * (f[t[:, c] == 0, c].mean() if (t[:, c] == 0).any() else 0)
            for c in range(z.shape[1])
        ]
        return np.mean(values)
    f = f * np.where(t == 1, alpha, alpha if signs == "alike" else 1 - alpha)
    return (f.mean(0) * (np.array(W) if weighted else 1)).mean()


def maps(x, label, activation, background=False):
    if background:
        _, t = bce_rows(x, label, True)
        return ACTIVATION[activation](x).transpose(0, 2, 3, 1).reshape(-1, x.shape[1]), t
    p, y = rows(ACTIVATION[activation](x), label)
    return p, targets(x.shape[1], y)


def dice(x, label, definition, activation="softmax", background=False):
    p, t = maps(x, label, activation, background)
    i, a, b = (p * t).sum(0), p.sum(0), t.sum(0)
    if definition == "paddleseg":
        return (1 - (2 * i + 1) / (a + b + 1)).mean()
    if definition == "image":
        return 1 - (2 * i.sum() + 1) / (a.sum() + b.sum() + 1)
    if definition == "naic":
        return 1 - 2 * (i.sum() + 1) / (a.sum() + b.sum() + 1)
    if definition == "seghz":
        return (1 - 2 * i / np.maximum((p**2 + t**2).sum(0), 1e-5)).mean()
    if definition == "seghz_binary":
        return 1 - 2 * i.sum() / (a.sum() + b.sum() + 1e-5)
    if definition == "smp":
        return np.where(b > 0, 1 - 2 * i / np.maximum(a + b, 1e-7), 0).mean()
    return (1 - (2 * i + 1) / ((p**2).sum(0) + (t**2).sum(0) + 1)).mean()


def generalized_dice(x, label, classes, activation, background=False):
    p, t = maps(x, label, activation, background)
    w = 1 / np.maximum(t.sum(0) ** 2, 1e-5)
    if classes == "present":
        w, p, t = w[t.any(0)], p[:, t.any(0)], t[:, t.any(0)]
    return 1 - 2 * (w * (p * t).sum(0)).sum() / (w * (p + t).sum(0)).sum()


def soft_iou(x, label, definition, activation, background=False):
    p, t = maps(x, label, activation, background)
    i, s = (p * t).sum(0), (p + t).sum(0)
    if definition == "class":
        there = t.any(0)
        return (1 - i[there] / (s - i)[there]).mean()
    if definition == "image":
        return 1 - i.sum() / (s.sum() - i.sum())
    if definition == "seghz":
        return (1 - i / np.maximum(s, 1e-5)).mean()
    return 1 - i.sum() / (s.sum() - i.sum() + 1e-5)


def tversky(x, label, alpha, beta):
    p, t = maps(x, label, "softmax")
    i, fp, fn = (p * t).sum(0), (p * (1 - t)).sum(0), ((1 - p) * t).sum(0)
    return (1 - (i + 1) / (i + alpha * fp + beta * fn + 1)).mean()


def jaccard_chain(errors, inside):
    """Σ of the errors, largest first, each times the difference of the Jaccard losses after and before its pixel."""
    lost, value, before = np.zeros(len(errors), bool), 0.0, 0.0
    for k in np.argsort(-errors, kind="stable"):
        lost[k] = True
        wrong_in, wrong_out = (lost & inside).sum(), (lost & ~inside).sum()
        after = 1 - (inside.sum() - wrong_in) / (inside.sum() + wrong_out)
        value += max(errors[k], 0) * (after - before)
        before = after
    return value


def lovasz(x, label, classes):
    p, t = maps(x, label, "softmax")
    chosen = {"all": range(x.shape[1]), "present": np.flatnonzero(t.any(0))}[classes]
    return np.mean([jaccard_chain(np.abs(t[:, c] - p[:, c]), t[:, c] == 1) for c in chosen])


def hinge(x, label):
    z, t = bce_rows(x, label, False)
    return np.mean([jaccard_chain(1 - z[:, c] * (2 * t[:, c] - 1), t[:, c] == 1) for c in range(z.shape[1])])


def similarity(a, b, window=11, sigma=1.5):
    g = np.exp(-((np.arange(window) - window // 2) ** 2) / (2 * sigma**2))
    g = np.outer(g, g) / g.sum() ** 2
    edge = window // 2

    def blur(x):
        x = np.pad(x, [(0, 0), (0, 0), (edge, edge), (edge, edge)])
        return (np.lib.stride_tricks.sliding_window_view(x, (window, window), (2, 3)) * g).sum((4, 5))

    ma, mb = blur(a), blur(b)
    va, vb, c = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    return (2 * ma * mb + 1e-4) * (2 * c + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))


def ssim(x, label):
    valid = (label != 255)[:, None]
    t = (label[:, None] == np.arange(x.shape[1])[None, :, None, None]) * valid
    return (1 - similarity(softmax(x) * valid, t.astype(float)).transpose(0, 2, 3, 1)[label != 255]).mean()


def basnet(x, label):
    iou = images(partial(soft_iou, definition="image", activation="softmax"))
    return cross_entropy(x, label, "valid", False) + ssim(x, label) + iou(x, label)


def threshold(x, label, limit, weighted=False):
    z, y = rows(x, label)
    loss = nll(z, y) * (np.array(W)[y] if weighted else 1)
    return loss[loss <= limit].sum() / label.size


def ohem(x, label, thresh, min_kept, mean, weighted=False):
    z, y = rows(x, label)
    loss = nll(z, y)
    p = np.exp(-loss)
    kept = p < max(thresh, sorted(p)[min(min_kept, len(p) - 1)])
    loss = loss * (np.array(W)[y] if weighted else 1)
    if mean == "all":
        return loss[kept].sum() / label.size
    return loss[kept].mean() if kept.any() else 0.0


def hardest(x, label, thresh, keep):
    loss = np.sort(nll(*rows(x, label)))[::-1]
    many = len(loss) > keep and loss[keep] > thresh
    return loss[loss > thresh].mean() if many else loss[:keep].mean()


def case(spec: dict[str, Any], function: Function, **arguments: Any) -> tuple[str, dict[str, Any], Function]:
    name = spec["type"] + "".join(f" {value}" for key, value in spec.items() if key not in ("type", "weight"))
    return name + (" weighted" if spec.get("weight") else ""), spec, zero_if_empty(partial(function, **arguments))


def per_image(spec: dict[str, Any], function: Function, **arguments: Any) -> tuple[str, dict[str, Any], Function]:
    name, spec, _ = case(spec, function)
    return name, spec, zero_if_empty(images(partial(function, **arguments)))


def of(type_: str, **arguments: Any) -> dict[str, Any]:
    return {"type": type_, **arguments}


NAIVE = [
    case(of("CrossEntropyLoss", mean="weighted", weight=W), cross_entropy, mean="weighted"),
    case(of("CrossEntropyLoss", mean="valid", weight=W), cross_entropy, mean="valid"),
    case(of("CrossEntropyLoss", mean="all", weight=W), cross_entropy, mean="all"),
    *(
        case(of("LabelSmoothingLoss", definition=d, smoothing=0.2, weight=w), smoothing, definition=d, weighted=bool(w))
        for d in ("torch", "naic", "seghz")
        for w in (None, W)
    ),
    case(of("EdgeLabelSmoothingLoss", radius=1), edge_smoothing),
    case(of("BCELoss"), bce),
    case(of("BCELoss", pos_weight=[2.0, 0.5, 1.0, 3.0]), bce, pos_weight=[2.0, 0.5, 1.0, 3.0]),
    case(of("BCELoss", pos_weight="balanced", weight=W), bce, pos_weight="balanced", weighted=True),
    case(of("BCELoss", ignored_as_background=True), bce, background=True),
    case(of("SigmoidFocalLoss"), focal, signs="alike"),
    case(of("SigmoidFocalLoss", gamma=0.5, weight=W), focal, signs="alike", gamma=0.5, weighted=True),
    case(of("SigmoidFocalLoss", gamma=0.0), focal, signs="alike", gamma=0.0),
    case(of("SigmoidFocalLoss", signs="weighted"), focal, signs="weighted"),
    case(of("SigmoidFocalLoss", signs="separate"), focal, signs="separate"),
    case(of("SigmoidFocalLoss", ignored_as_background=True), focal, signs="alike", background=True),
    *(per_image(of("DiceLoss", definition=d), dice, definition=d) for d in ("paddleseg", "image", "naic", "mmseg")),
    case(of("DiceLoss", definition="smp"), dice, definition="smp"),
    case(of("DiceLoss", definition="seghz"), dice, definition="seghz", activation="sigmoid"),
    case(of("DiceLoss", definition="seghz_binary"), dice, definition="seghz_binary", activation="sigmoid"),
    case(
        of("DiceLoss", definition="seghz", ignored_as_background=True),
        dice,
        definition="seghz",
        activation="sigmoid",
        background=True,
    ),
    case(of("GeneralizedDiceLoss"), generalized_dice, classes="present", activation="softmax"),
    case(
        of("GeneralizedDiceLoss", classes="all", activation="sigmoid"),
        generalized_dice,
        classes="all",
        activation="sigmoid",
    ),
    case(of("SoftIoULoss"), soft_iou, definition="class", activation="softmax"),
    per_image(of("SoftIoULoss", definition="image"), soft_iou, definition="image", activation="softmax"),
    case(of("SoftIoULoss", definition="seghz"), soft_iou, definition="seghz", activation="sigmoid"),
    case(of("SoftIoULoss", definition="seghz_binary"), soft_iou, definition="seghz_binary", activation="sigmoid"),
    case(of("TverskyLoss"), tversky, alpha=0.3, beta=0.7),
    per_image(of("TverskyLoss", alpha=1.0, beta=0.2, per_image=True), tversky, alpha=1.0, beta=0.2),
    case(of("LovaszSoftmaxLoss"), lovasz, classes="present"),
    case(of("LovaszSoftmaxLoss", classes="all"), lovasz, classes="all"),
    per_image(of("LovaszSoftmaxLoss", per_image=True), lovasz, classes="present"),
    case(of("BinaryLovaszLoss"), hinge),
    per_image(of("BinaryLovaszLoss", per_image=True), hinge),
    case(of("SSIMLoss"), ssim),
    case(of("BASNetLoss"), basnet),
    case(of("NoiseThresholdLoss", p_min=0.1), threshold, limit=-np.log(0.1)),
    case(of("NoiseThresholdLoss", p_min=0.1, weight=W), threshold, limit=-np.log(0.1), weighted=True),
    case(of("OHEMLoss", min_kept=5), ohem, thresh=0.7, min_kept=5, mean="kept"),
    case(
        of("OHEMLoss", thresh=0.2, min_kept=8, weight=W),
        ohem,
        thresh=0.2,
        min_kept=8,
        mean="kept",
        weighted=True,
    ),
    case(
        of("OHEMLoss", thresh=0.1, min_kept=2, per_image=True, mean="all"),
        ohem,
        thresh=0.1,
        min_kept=4,
        mean="all",
    ),
    case(of("HardestPixelsLoss", thresh=1.0, keep=4), hardest, thresh=1.0, keep=4),
    case(of("HardestPixelsLoss", thresh=1.0, keep=1000), hardest, thresh=1.0, keep=1000),
]
