"""Run our network and loss through a golden file and measure every deviation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import paddle
import paddle.nn as nn

from paddle_rsseg.alignment.case import STEPS, Case, Deviation
from paddle_rsseg.evaluation.confusion import confusion_matrix
from paddle_rsseg.evaluation.metrics import scores
from paddle_rsseg.losses import build_loss
from paddle_rsseg.models import create_model
from paddle_rsseg.models.backbones import build_backbone
from paddle_rsseg.weights.layout import Translation, translate

#: how a buffer is called that counts training steps
STEP = "buffer_step"


@contextmanager
def default_dtype(dtype: str) -> Iterator[None]:
    """New layers have parameters of ``dtype`` inside."""
    before = paddle.get_default_dtype()
    paddle.set_default_dtype(dtype)
    try:
        yield
    finally:
        paddle.set_default_dtype(before)


def align(path: Path, dtype: str = "float64", steps: int | None = None) -> list[Deviation]:
    """Repeat the run of a golden file and list all deviations, with the tolerances of the golden files' README.

    Args:
        dtype: ``float64``, which shows errors of 1e-9, or ``float32``, the type of training.
        steps: optimiser steps to take; None: all of the file's, after which the running statistics are compared too.
    """
    return measure(path, dtype, steps).deviations


class Mismatch(AssertionError):
    """The two networks differ in kind: other tensors, other outputs, other gradients."""


class Pair(NamedTuple):
    """The same numbers of both sides, and the largest difference that is allowed between two of them."""

    theirs: np.ndarray
    ours: np.ndarray
    allowed: float


@dataclass(frozen=True)
class Measured:
    """All numbers of one run.

    Attributes:
        case: the golden file.
        network: our network's component.
        dtype: that it was computed in.
        deviations: each with its tolerance, in the order of :data:`STEPS`.
        pairs: step → name → what the deviations were taken from.
    """

    case: Case
    network: dict[str, Any]
    dtype: str
    deviations: list[Deviation]
    pairs: dict[str, dict[str, Pair]]

    def step(self, name: str) -> list[Deviation]:
        return [deviation for deviation in self.deviations if deviation.step == name]

    @property
    def ok(self) -> bool:
        return all(deviation.ok for deviation in self.deviations)


def measure(path: Path, dtype: str = "float64", steps: int | None = None) -> Measured:
    """As :func:`align`, with the numbers themselves."""
    with default_dtype(dtype):
        run = _Run(Case(path), dtype, steps)
        deviations = sorted(run.deviations(), key=lambda deviation: STEPS.index(deviation.step))
        return Measured(run.case, dict(run.original.model), dtype, deviations, run.pairs)


def load_translated(model: nn.Layer, weights: dict[str, np.ndarray], dtype: str) -> Translation:
    """Fill ``model`` with PyTorch's ``weights`` by our own converter; every tensor must find its place.

    Raises:
        Mismatch: a name that one side has and the other lacks, or another shape.
    """
    translation = translate(weights, framework="torch")
    state = model.state_dict()
    if set(translation.state) != set(state):
        alone = (sorted(set(translation.state) - set(state))[:8], sorted(set(state) - set(translation.state))[:8])
        raise Mismatch(f"{translation.layout.name}: only in the file {alone[0]}, only in the model {alone[1]}")
    for name, array in translation.state.items():
        if list(array.shape) != state[name].shape:
            raise Mismatch(f"{name}: {array.shape} for {state[name].shape}")
        state[name].set_value(array.astype(dtype))
    return translation


class SGD:
    """Momentum SGD with weight decay on every parameter, in float64.

    Paddle's optimizer keeps the learning rate in float32: 3e-8 off, which five steps of this chaotic training
    multiply by a million.
    """

    def __init__(self, lr: float, momentum: float, parameters: list[paddle.Tensor], weight_decay: float):
        self.parameters = [p for p in parameters if not p.stop_gradient]
        self.lr, self.momentum, self.decay = lr, momentum, weight_decay
        self.velocity = [paddle.zeros_like(p) for p in self.parameters]

    @paddle.no_grad()
    def step(self) -> None:
        for p, velocity in zip(self.parameters, self.velocity, strict=True):
            if p.grad is None:  # as PyTorch: no decay either
                continue
            velocity.set_value(self.momentum * velocity + p.grad + self.decay * p)
            p.set_value(p - self.lr * velocity)

    def clear_grad(self) -> None:
        for p in self.parameters:
            p.clear_gradient()


class _Run:
    def __init__(self, case: Case, dtype: str, steps: int | None):
        self.case, self.expected, self.meta = case, case.expected, case.meta
        self.pairs: dict[str, dict[str, Pair]] = {step: {} for step in STEPS}
        self.double = dtype == "float64"
        self.original = case.original()
        all_steps = self.meta["train"]["steps"]
        if self.double and self.original.followed is not None:
            all_steps = self.original.followed
        self.optimizer_steps = all_steps if steps is None else steps
        self.model = (build_backbone if self.original.encoder else create_model)(self.original.model)
        if self.original.prepare:
            self.original.prepare(self.model)
        for layer in self.model.sublayers():
            if isinstance(layer, (nn.Dropout, nn.Dropout2D)):  # as the files were made
                layer.p = 0.0
        weights = case.weights()
        self.translation = load_translated(self.model, weights, dtype)
        #: original name → ours; one tensor of several names goes by all of them
        self.ours = {name: ours for ours, name in self.translation.origin.items()}
        for group in self.meta["same_tensor"]:
            known = next((self.ours[name] for name in group if name in self.ours), None)
            if known is not None:
                self.ours.update(dict.fromkeys(group, known))
        self.start = {name: tensor.numpy() for name, tensor in self.model.state_dict().items()}
        loss, ignored = self.original.loss, self.meta["train"]["label"]["ignore"]
        self.loss = loss if callable(loss) else build_loss(loss, 255 if ignored is None else ignored)
        self.steps = []
        if isinstance(self.loss, nn.Layer):
            self.steps = [tensor for name, tensor in self.loss.named_buffers() if name.endswith("step")]
            for step in self.steps:
                step.set_value(np.array(int(weights.get(STEP, 0))))
        self.image = paddle.to_tensor(case.image().astype(dtype))
        self.label = paddle.to_tensor(case.label())

    def deviations(self) -> list[Deviation]:
        return [*self.outputs(), *self.training()]

    def outputs(self) -> Iterator[Deviation]:
        self.model.eval()
        # its layers stay in evaluation mode, but the network itself may give its auxiliary outputs
        self.model.training = self.original.auxiliary
        with paddle.no_grad():
            outputs = self.model(self.image)
            maps = self.model.maps(self.image) if hasattr(self.model, "maps") else outputs
        main = next(iter(self.meta["outputs"]))
        for entry in self.meta["outputs"]:
            name, stride = entry["name"], entry["stride"]
            allowed = 3e-7 * entry["max_abs"] if self.double else 10 * entry["noise_max_abs"]
            tensor = self.original.outputs[name](outputs, maps)
            if tensor is outputs[0] or tensor is maps[0]:
                main = entry
            array = tensor.numpy()
            if list(array.shape) != entry["shape"]:
                raise Mismatch(f"{name} is {array.shape}, expected {entry['shape']}")
            theirs, ours = self.expected[f"eval/{name}"], array[..., ::stride, ::stride]
            self.pairs["forward"][name] = Pair(theirs, ours, allowed)
            yield Deviation(f"eval {name}", np.abs(ours - theirs).max(), allowed, "forward")
            for moment in ("mean", "std"):
                value = getattr(array.astype("float64"), moment)(axis=(0, 2, 3))
                off = np.abs(value - self.expected[f"eval_{moment}/{name}"]).max()
                yield Deviation(f"eval {name}, {moment} by channel", off, allowed, "forward")
        if not self.original.encoder:  # its maps are no scores of classes
            yield from self.metrics(main)

    def metrics(self, entry: dict[str, Any]) -> Iterator[Deviation]:
        """Our evaluation of both sides' label maps: of the pixels that the file stores, against its labels."""
        pair = self.pairs["forward"][entry["name"]]
        truth = self.label.numpy()
        rows, columns = (
            ((np.arange(0, size, entry["stride"]) + 0.5) * length / size).astype(int)
            for size, length in zip(entry["shape"][2:], truth.shape[1:], strict=True)
        )
        truth = truth[:, rows[:, None], columns]
        classes = pair.theirs.shape[1]
        # whatever is no class is ignored
        truth = np.where((truth >= 0) & (truth < classes), truth, 255).astype(np.uint8)
        theirs, ours = (
            scores(confusion_matrix(logits.argmax(1).astype(np.uint8), truth, classes)) for logits in pair[:2]
        )
        best = np.sort(pair.theirs, axis=1)[:, -2:]
        ties = int(((best[:, 1] - best[:, 0])[truth != 255] <= 2 * pair.allowed).sum())
        rarest = min(count for count in theirs["truth"] if count) if theirs["pixels"] else 1
        # a pixel that a near tie decides another way moves the IoU of two classes
        for name, moved in (("mIoU", 2 * ties / rarest / classes), ("Acc", ties / max(theirs["pixels"], 1))):
            allowed = max(1e-6, moved)
            self.pairs["metric"][name] = Pair(np.array(theirs[name]), np.array(ours[name]), allowed)
            yield Deviation(name, abs(ours[name] - theirs[name]), allowed, "metric")

    def training(self) -> Iterator[Deviation]:
        train = self.meta["train"]
        optimizer = (SGD if self.double else paddle.optimizer.Momentum)(
            train["lr"], train["momentum"], self.model.parameters(), weight_decay=train["weight_decay"]
        )
        sizes: dict[str, int] = {}
        hooks = [
            norm.register_forward_post_hook(
                lambda norm, inputs, out: sizes.__setitem__(norm._variance.name, out.size // out.shape[1])
            )
            for norm in self.batch_norms().values()
        ]
        self.model.train()
        losses = []
        for step in range(self.optimizer_steps + 1):
            values = self.loss(self.model(self.image), self.label)
            total = paddle.add_n(list(values.values()))
            losses.append(total.item())
            if step == self.optimizer_steps > 0:
                break
            total.backward()
            if step == 0:
                yield from self.gradients()
            optimizer.step()
            optimizer.clear_grad()
        for hook in hooks:
            hook.remove()
        yield from self.losses(np.array(losses))
        if self.optimizer_steps == train["steps"]:
            yield from self.buffers(sizes)

    def batch_norms(self) -> dict[str, nn.Layer]:
        layers = self.model.named_sublayers()
        return {name: layer for name, layer in layers if isinstance(layer, nn.layer.norm._BatchNormBase)}

    def gradients(self) -> Iterator[Deviation]:
        parameters = dict(self.model.named_parameters())
        ours = np.array([_norm(parameters.get(self.ours.get(name, ""))) for name in self.meta["parameters"]])
        theirs = self.expected["grad_norms"]
        differing = np.isnan(ours) != np.isnan(theirs)
        if differing.any():
            names = [name for name, wrong in zip(self.meta["parameters"], differing, strict=True) if wrong]
            raise Mismatch(f"a gradient on one side only: {names[:8]}")
        ours, theirs = ours[~np.isnan(theirs)], theirs[~np.isnan(theirs)]
        noise = self.meta["grad_noise"]
        largest = theirs.max()
        # small norms are compared absolutely: a bias in front of a BatchNorm has the gradient 0 but for rounding
        floor, relative, absolute = (
            (1e-6, 1e-4 if self.original.single_loss else 1e-6, 1e-12)
            if self.double
            else (1e-4, 5 * noise["max_rel_where_above_1e_4_of_max"], 5 * noise["max_abs_over_max_norm"])
        )
        large = theirs > floor * largest
        off = np.abs(ours - theirs)
        self.pairs["backward"]["gradient norms over the largest"] = Pair(theirs / largest, ours / largest, relative)
        off_large = (off[large] / theirs[large]).max()
        yield Deviation(f"{large.sum()} gradient norms, relative", off_large, relative, "backward")
        if not large.all():
            off_small = off[~large].max() / largest
            yield Deviation(f"{(~large).sum()} small gradient norms", off_small, absolute, "backward")

    def losses(self, ours: np.ndarray) -> Iterator[Deviation]:
        theirs, single = self.expected["losses"], self.expected["losses_f32run"]
        noise = np.abs(theirs - single) / np.abs(theirs)
        if self.double:
            least = 1e-6 if self.original.single_loss else 0.0
            # Some networks have grown any rounding to its limit after four steps: 1e-15 in the weights of NAIC's
            # HRNet-OCR moves its last loss by 4e-3, as far as float32 does. There the README's 1e-3 proves nothing.
            late = max(1e-3, 10 * noise.max())
            allowed = [max(least, bound) for bound in [1e-9, 1e-8, 1e-6, 1e-4] + [late] * len(theirs)]
        else:
            allowed = [max(1e-5, 10 * noise[0])] + [10 * noise.max()] * (len(theirs) - 1)
        for step, (a, b) in enumerate(zip(ours, theirs, strict=False)):
            # the community's guide takes the losses of the first two updates for the proof of the backward pass
            kind = "loss" if step == 0 else "backward" if step <= 2 else "training"
            self.pairs[kind][f"loss after {step} steps"] = Pair(np.array(b), np.array(a), allowed[step] * abs(b))
            yield Deviation(f"loss after {step} steps, relative", abs(a - b) / abs(b), allowed[step], kind)

    def buffers(self, sizes: dict[str, int]) -> Iterator[Deviation]:
        state = self.model.state_dict()
        momenta = {f"{name}._variance": norm._momentum for name, norm in self.batch_norms().items()}
        forwards = self.meta["train"]["steps"] + 1
        off: dict[str, list[float]] = {"_mean": [], "_variance": []}
        for name, expected in zip(self.meta["buffers"], self.expected["buffer_norms_after"], strict=True):
            if name == STEP:
                for step in self.steps:
                    yield Deviation("annealing step", abs(step.item() - expected), 0.0, "training")
                continue
            ours = self.ours.get(name, "")
            kind = ours.rpartition(".")[2]
            if kind not in off:  # a layer that we rightly lack
                continue
            tensor = state[ours]
            value = tensor.numpy().astype("float64")
            if kind == "_variance" and tensor.name in sizes:
                # the original adds unbiased batch variances, Paddle on CPU biased ones
                n = sizes[tensor.name]
                kept = momenta[ours] ** forwards * self.start[ours].astype("float64")
                value = kept + (value - kept) * n / (n - 1)
            off[kind].append(abs(np.linalg.norm(value) - expected) / expected)
        # The README's 1e-4 holds for the typical layer of most files. The worst one, behind a map of 4×4 pixels, is
        # chaotic by the sixth forward pass: Paddle's BatchNorm has its 1e-5 in float32, 2.6e-13 off, and with that
        # alone put right (all losses then agree to what a change of 1e-15 in the weights does) 5e-4 of 4e-3 are left.
        noise = self.meta["buffer_noise_max_rel"]
        for kind, values in off.items():
            if values:
                typical = max(1e-4, noise / 20) if self.double else 10 * noise
                yield Deviation(f"{kind}, median", float(np.median(values)), typical, "training")
                yield Deviation(f"{kind}, worst", max(values), noise if self.double else 10 * noise, "training")


def _norm(parameter: paddle.Tensor | None) -> float:
    """L2 norm of the gradient; nan where there is none."""
    if parameter is None or parameter.grad is None:
        return float("nan")
    return float(np.linalg.norm(parameter.grad.numpy().astype("float64")))
