"""The settings: frozen, typed, every key known. PaddleSeg's names where PaddleSeg has one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from paddle_rsseg.errors import did_you_mean
from paddle_rsseg.tree import at

Positive = Annotated[int, Field(ge=1)]
Size = tuple[Positive, Positive]


def complaint(seen: str, wanted: str = "", fix: str = "", key: str = "") -> PydanticCustomError:
    """An error of the settings; `config.load` gives it its place. ``key``: the key below the current place."""
    return PydanticCustomError("rsseg", "{seen}", {"seen": seen, "wanted": wanted, "fix": fix, "key": key})


class Strict(BaseModel):
    """Frozen; an unknown key answers with the nearest known one; yes and no are not numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key, value in values.items():
                field = cls.model_fields.get(key)
                if field is None:
                    raise complaint(f"unknown key {key!r}", fix=did_you_mean(str(key), cls.model_fields), key=str(key))
                # pydantic would read `iters: yes` as 1
                if isinstance(value, bool) and bool not in (field.annotation, *get_args(field.annotation)):
                    raise complaint("yes" if value else "no", "another value than yes or no", key=key)
        return values


class Component(BaseModel):
    """``{type: Name, argument: value, …}``: something that a registry builds.

    Attributes:
        type: the registered name.
        args: its arguments; those that are components themselves stay plain ``{"type": …}`` dicts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    type: str
    args: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _split(cls, values: Any) -> Any:
        if isinstance(values, Component):
            return values
        if not isinstance(values, Mapping):
            raise complaint(repr(values), "a mapping with the key 'type'", "write {type: Name, argument: value}")
        if not isinstance(values.get("type"), str):
            seen = f"type is {values['type']!r}" if "type" in values else "no key 'type'"
            raise complaint(seen, "the name of a class", "write {type: Name, argument: value}", key="type")
        return {"type": values["type"], "args": {key: value for key, value in values.items() if key != "type"}}

    @model_serializer
    def spec(self) -> dict[str, Any]:
        """``{"type": …, **args}``, a copy that may be changed."""
        return {"type": self.type, **copy.deepcopy(self.args)}


# --- optimiser -------------------------------------------------------------------------------------------------


class SGD(Strict):
    """Plain stochastic gradient descent. ``weight_decay`` is an L2 term on every parameter, as in all but AdamW."""

    type: Literal["SGD"]
    weight_decay: float = Field(0.0, ge=0)


class Momentum(Strict):
    """SGD with momentum, what ``type: sgd`` with a momentum means."""

    type: Literal["Momentum"]
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    use_nesterov: bool = False


class Adam(Strict):
    type: Literal["Adam"]
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)


class AdamW(Strict):
    """Adam with decoupled weight decay.

    ``no_weight_decay``: parts of parameter names; such parameters do not decay (transformers spare their norms).
    """

    type: Literal["AdamW"]
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    no_weight_decay: list[str] = []


# --- learning rate ---------------------------------------------------------------------------------------------


class Schedule(Strict):
    """What every schedule has: the base rate and a warm-up to it from ``warmup_start_lr``.

    ``warmup_policy``: the rate rises in a straight line, or by the same factor in each iteration (``exponential``).
    ``warmup_within``: the schedule runs from the first iteration, and the warm-up multiplies it (OpenMMLab); else it
    starts after the warm-up (Paddle).
    """

    learning_rate: float = Field(gt=0)
    warmup_iters: int = Field(0, ge=0)
    warmup_start_lr: float = Field(0.0, ge=0)
    warmup_policy: Literal["linear", "exponential"] = "linear"
    warmup_within: bool = False

    @model_validator(mode="after")
    def _exponential_from_something(self) -> Schedule:
        if self.warmup_policy == "exponential" and self.warmup_iters and not self.warmup_start_lr:
            raise complaint("0 with warmup_policy: exponential", "a rate above 0, to multiply", key="warmup_start_lr")
        return self


class PolynomialDecay(Schedule):
    """``(rate - end_lr) · (1 - k/decay_steps)^power + end_lr``.

    The defaults are Paddle's, so that PaddleSeg's files mean the same.
    """

    type: Literal["PolynomialDecay"]
    decay_steps: Positive | None = Field(None, description="None: to the end")
    end_lr: float = Field(1e-4, ge=0)
    power: float = Field(1.0, gt=0)
    cycle: bool = False


class CosineAnnealingDecay(Schedule):
    type: Literal["CosineAnnealingDecay"]
    T_max: Positive | None = Field(None, description="None: to the end")
    eta_min: float = Field(0.0, ge=0)


class CosineAnnealingWarmRestarts(Schedule):
    """Cosine from the rate to ``eta_min`` within ``T_0`` iterations, then again within ``T_0·T_mult``, and so on.

    ``interval``: the rate changes only every so many iterations (an epoch's, for recipes that step once an epoch).
    """

    type: Literal["CosineAnnealingWarmRestarts"]
    T_0: Positive
    T_mult: Positive = 1
    eta_min: float = Field(0.0, ge=0)
    interval: Positive = 1


class StepDecay(Schedule):
    type: Literal["StepDecay"]
    step_size: Positive
    gamma: float = Field(0.1, gt=0)


class MultiStepDecay(Schedule):
    type: Literal["MultiStepDecay"]
    milestones: list[Positive] = Field(min_length=1)
    gamma: float = Field(0.1, gt=0)


class ExponentialDecay(Schedule):
    type: Literal["ExponentialDecay"]
    gamma: float = Field(gt=0)


class NoamDecay(Schedule):
    """``rate · √w · min(e^-½, e · w^-1.5)``, e = max(1, k/epoch_iters): the base rate is reached in epoch w.

    The schedule of "Attention is all you need", with its peak as the rate; w is ``peak_epoch``.
    """

    type: Literal["NoamDecay"]
    epoch_iters: Positive
    peak_epoch: float = Field(2.0, ge=1)


class Constant(Schedule):
    """The base rate throughout, after the warm-up."""

    type: Literal["Constant"]


def _named(*classes: type[Strict], **aliases: str) -> BeforeValidator:
    """Accept the type name in any case and under ``aliases``; say which ones there are."""
    names = [cls.__name__ for cls in classes]
    spellings = {name.lower(): name for name in names} | aliases

    def canonical(values: Any) -> Any:
        if isinstance(values, Strict):
            return values
        if not isinstance(values, Mapping) or "type" not in values:
            raise complaint(f"no 'type' in {values!r}", f"one of {', '.join(names)}", key="type")
        name = str(values["type"])
        if name.lower() not in spellings:
            raise complaint(
                f"unknown type {name!r}", f"one of {', '.join(names)}", did_you_mean(name, names), key="type"
            )
        values = {**values, "type": spellings[name.lower()]}
        if values["type"] == "SGD" and "momentum" in values:  # as PaddleSeg reads it
            values["type"] = "Momentum"
        return values

    return BeforeValidator(canonical)


Optimizer = Annotated[SGD | Momentum | Adam | AdamW, Field(discriminator="type"), _named(SGD, Momentum, Adam, AdamW)]
LrScheduler = Annotated[
    PolynomialDecay
    | CosineAnnealingDecay
    | CosineAnnealingWarmRestarts
    | StepDecay
    | MultiStepDecay
    | ExponentialDecay
    | NoamDecay
    | Constant,
    Field(discriminator="type"),
    _named(
        PolynomialDecay,
        CosineAnnealingDecay,
        CosineAnnealingWarmRestarts,
        StepDecay,
        MultiStepDecay,
        ExponentialDecay,
        NoamDecay,
        Constant,
        poly="PolynomialDecay",
        cosine="CosineAnnealingDecay",
    ),
]


# --- the rest --------------------------------------------------------------------------------------------------


class GradClip(Strict):
    """FarSeg clips the norm of all gradients together; ``per_tensor`` clips each by itself; ``none`` not at all.

    ``limits``: part of a parameter's name → what no element of its gradient goes beyond, before any of these; SegHZ has
    ``{gamma: 1}`` for the γ of its attention.
    """

    type: Literal["global_norm", "per_tensor", "none"] = "global_norm"
    value: float = Field(default=35.0, gt=0)
    limits: dict[str, Annotated[float, Field(gt=0)]] = {}


class Loss(Strict):
    """One loss and one weight for each output of the model, the main one first.

    A single entry in ``types`` serves all outputs (PaddleSeg).
    """

    types: list[Component] = Field(min_length=1)
    coef: list[float] = Field(min_length=1)

    @model_validator(mode="after")
    def _same_length(self) -> Loss:
        if len(self.types) != len(self.coef):
            if len(self.types) > 1:
                raise complaint(
                    f"{len(self.coef)} weights for {len(self.types)} losses", "one coef for each of types", key="coef"
                )
            object.__setattr__(self, "types", self.types * len(self.coef))
        return self


def _pair(value: Any) -> Any:
    return [value, value] if isinstance(value, int) and not isinstance(value, bool) else value


WidthHeight = Annotated[Size, BeforeValidator(_pair)]


class TestConfig(Strict):
    """How images are evaluated and predicted.

    Attributes:
        is_slide: cut images into windows; else evaluation sees each whole.
        crop_size: (width, height) of a window, PaddleSeg's order; one number: a square.
        stride: (horizontal, vertical) step; None: 4/7 of the window, the 512 of FarSeg's 896.
        average: overlapping windows average softmax probabilities (FarSeg) or logits (PaddleSeg).
        pad: small windows are padded to a ``multiple`` of 32 (FarSeg) or the whole ``window`` (PaddleSeg).
        blend: weights of a window's pixels (:func:`paddle_rsseg.windows.blend_weights`); ``cosine`` hides seams.
        policy, margin: how windows lie, and what is seen around them
            (:class:`paddle_rsseg.inference.spec.InferenceSpec`).
        views, scales: test-time augmentation, the mean over all pairs of them: names of
            :data:`paddle_rsseg.inference.spec.VIEW_NAMES`, and factors of the window's size.
        window_batch: windows computed together; None: 1 on a CPU, 4 on a GPU.
    """

    __test__ = False  # no pytest class

    is_slide: bool = False
    crop_size: WidthHeight | None = None
    stride: WidthHeight | None = None
    average: Literal["probs", "logits"] = "probs"
    pad: Literal["multiple", "window"] = "multiple"
    blend: Literal["uniform", "linear", "cosine", "gaussian", "centre"] = "uniform"
    policy: Literal["sliding", "expanded", "adaptive"] = "sliding"
    margin: Annotated[int, Field(ge=0)] = 128
    views: list[str] = Field(default=["identity"], min_length=1)
    scales: list[Annotated[float, Field(gt=0)]] = Field(default=[1.0], min_length=1)
    window_batch: Positive | None = None

    @model_validator(mode="after")
    def _windows_touch(self) -> TestConfig:
        if self.is_slide and self.crop_size is None:
            raise complaint("is_slide without crop_size", "the (width, height) of a window", key="crop_size")
        if self.stride is not None:
            if self.crop_size is None:
                raise complaint("stride without crop_size", "the (width, height) of a window", key="crop_size")
            if any(s > c for s, c in zip(self.stride, self.crop_size, strict=True)):
                raise complaint(
                    f"{list(self.stride)} is larger than crop_size {list(self.crop_size)}",
                    "stride ≤ crop_size",
                    "a larger stride leaves gaps between the windows",
                    key="stride",
                )
        return self


class Settings(Strict):
    """Everything a run depends on. Made by :func:`paddle_rsseg.config.load_config`.

    Attributes:
        batch_size: images a step and process (with ``accumulate`` k: k such batches make one update).
        iters: updates of the weights.
        train_dataset, val_dataset, test_dataset: data sets with their transforms.
        model, loss, optimizer, lr_scheduler, test_config: see there.
        seed: of initialisation, order and augmentation.
        precision, amp_level: mixed precision; it has an effect on a GPU only.
        grad_clip: also for a PaddleSeg file that says nothing; ``{type: none}`` switches it off.
        sync_bn: statistics over all processes; ``auto``: if there are several GPUs.
        eval_intervals: [[share of the training, iterations], …]: from that share on, so many iterations lie between
            two evaluations; None: ``--save_interval``.
        early_stop_intervals: stop after so many evaluations without a better mIoU; None: never.
    """

    batch_size: Positive = 8
    iters: Positive
    train_dataset: Component
    val_dataset: Component
    test_dataset: Component | None = None
    model: Component
    loss: Loss
    optimizer: Optimizer
    lr_scheduler: LrScheduler
    grad_clip: GradClip = GradClip()
    test_config: TestConfig = TestConfig()
    seed: int = Field(0, ge=0)
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    amp_level: Literal["O1", "O2"] = "O1"
    accumulate: Positive = 1
    sync_bn: bool | Literal["auto"] = "auto"
    eval_intervals: list[tuple[Annotated[float, Field(ge=0, lt=1)], Positive]] | None = Field(None, min_length=1)
    early_stop_intervals: Positive | None = None

    _source: str = PrivateAttr("")
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def source(self) -> str:
        """The file that the settings were read from, "" if none."""
        return self._source

    def origin(self, key: str) -> str:
        """Where ``key`` (``loss.types.0.gamma``) was set: ``file:line``, ``--opts …`` or ``default``."""
        return self._origins.get(key, "default")

    def place(self, key: str) -> str:
        """``file:line: key`` for a message about ``key``; the nearest key around it where it was never written."""
        around = key
        while around and around not in self._origins:
            around = around.rpartition(".")[0]
        return at(self._origins.get(around, ""), key)

    def plain(self) -> dict[str, Any]:
        """Dicts, lists, numbers and strings; what is None is left out."""
        return self.model_dump(exclude_none=True)

    def dump(self) -> str:
        """YAML that loads again to equal settings, without ``_base_``."""
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True)

    def __eq__(self, other: object) -> bool:
        # where the values were written is no part of what they are
        return isinstance(other, Settings) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]
