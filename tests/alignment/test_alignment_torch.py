"""FarSeg against an independent one in PyTorch, beyond the golden files: other encoders, shapes, labels, steps."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import paddle
import pytest
from golden_case import ROOT

from paddle_rsseg.alignment import golden
from paddle_rsseg.alignment.run import default_dtype, load_translated
from paddle_rsseg.losses import build_loss
from paddle_rsseg.models import create_model

torch = pytest.importorskip("torch")

_spec = importlib.util.spec_from_file_location("torch_farseg", ROOT / "benchmarks/peers/torch_farseg.py")
torch_farseg = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(torch_farseg)

T = 10000


def annealed_focal(logits, label, step, annealing):
    """The loss as it is specified, pixel by pixel, in PyTorch."""
    ce = torch.nn.functional.cross_entropy(logits, label, ignore_index=255, reduction="none")
    valid = label != 255
    with torch.no_grad():
        p = logits.softmax(1).gather(1, (label * valid)[:, None])[:, 0]
        m = (1 - p) ** 2
        s = m * ce.sum() / (ce * m).sum()
        x = step / T
        left = {"cosine": 0.5 * (1 + math.cos(math.pi * x)), "linear": 1 - x, "poly": max(1 - x, 0) ** 0.9}[annealing]
        w = s + left * (1 - s) if step <= T else s
    return (ce * w).sum() / (valid.sum() + len(label))


def some_labels(kind: str, shape: tuple[int, int, int], classes: int, seed: int) -> np.ndarray:
    if kind == "ignored rows":
        label = golden.labels(shape, classes, seed, "pixels", ignore_fraction=0)
        label[:, ::3] = 255
        label[1:] = 255  # and a whole image
        return label
    return golden.labels(shape, classes, seed, kind, ignore_fraction=0.3 if kind == "blocks" else 0)


CASES = [  # depth, classes, N, height, width, labels, seed, steps with their annealing
    (18, 16, 2, 64, 160, "blocks", 101, [(1, "cosine"), (9999, "poly")]),
    (34, 7, 2, 96, 96, "ignored rows", 202, [(10000, "poly"), (5000, "linear")]),
    (50, 16, 1, 96, 64, "pixels", 303, [(10001, "cosine"), (10000, "linear")]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"r{case[0]}-{case[3]}x{case[4]}-{case[5].replace(' ', '_')}")
def test_logits_loss_and_every_gradient(case):
    depth, classes, n, height, width, kind, seed, steps = case
    theirs = torch_farseg.FarSeg(depth, classes).double()
    names = [(name, tuple(t.shape), str(t.dtype)) for name, t in theirs.state_dict().items()]
    weights = golden.weights(names, seed, gain=1.0)
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    with default_dtype("float64"):
        ours = create_model({"type": "FarSeg", "backbone": f"ResNet{depth}", "num_classes": classes})
    load_translated(ours, weights, "float64")
    image = golden.inputs((n, 3, height, width), seed).astype("float64")
    label = some_labels(kind, (n, height, width), classes, seed)

    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(image)).numpy()
    ours.eval()
    seen = ours(paddle.to_tensor(image))[0].numpy()
    assert np.abs(seen - expected).max() < 1e-6 * np.abs(expected).max()

    ours.train()
    theirs.train()
    for step, annealing in steps:
        theirs.zero_grad()
        wanted = annealed_focal(theirs(torch.from_numpy(image)), torch.from_numpy(label), step, annealing)
        wanted.backward()
        spec = {"type": "AnnealingSoftmaxFocalLoss", "T_max": T, "annealing": annealing}
        loss = build_loss({"types": [spec], "coef": [1]})
        loss.losses[0].step.set_value(np.array(step - 1))  # train mode counts before it computes
        value = paddle.add_n(list(loss(ours(paddle.to_tensor(image)), paddle.to_tensor(label)).values()))
        value.backward()
        assert value.item() == pytest.approx(wanted.item(), rel=1e-9)
        norms = {name: float(p.grad.norm()) for name, p in theirs.named_parameters()}
        learning = [(name, p) for name, p in ours.named_parameters() if not p.stop_gradient]
        mine = {name: float(np.linalg.norm(p.grad.numpy())) for name, p in learning}
        assert set(mine) == set(norms)
        largest = max(norms.values())
        for name, norm in norms.items():
            # a bias in front of a batch norm has the gradient 0 but for rounding
            assert mine[name] == pytest.approx(norm, rel=1e-6, abs=1e-10 * largest), (step, annealing, name)
        ours.clear_gradients()
