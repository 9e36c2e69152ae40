"""A whole training: settings and options in, checkpoints and scores out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import paddle
import yaml
from paddle import nn

from paddle_rsseg.config import Settings, build_dataset, check_paths, inference_spec, load_config, override
from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.models import model_spec
from paddle_rsseg.training import checkpoint, distributed
from paddle_rsseg.training.build import build_model, build_optimizer, wants_sync_bn
from paddle_rsseg.training.curves import Curves, sample_pictures
from paddle_rsseg.training.display import Display
from paddle_rsseg.training.hooks import Checkpointer, Evaluation, Journal, MetricLogger
from paddle_rsseg.training.loop import Hook, Trainer
from paddle_rsseg.training.precision import Precision
from paddle_rsseg.training.schedule import build_schedule, evaluation_due

#: settings that resuming does not compare one by one
_TOLD_ELSEWHERE = {
    "batch_size", "accumulate", "seed", "precision", "amp_level", "early_stop_intervals", "eval_intervals",
}  # fmt: skip


@dataclass(frozen=True)
class RunOptions:
    """How a training is run, as opposed to what is trained: nothing here changes a weight.

    Attributes:
        save_dir: where checkpoints, ``metrics.jsonl`` and curves go.
        save_interval: iterations between checkpoints, and between evaluations with ``do_eval`` where the settings'
            ``eval_intervals`` do not say otherwise.
        resume_model: an ``iter_N`` directory to go on from, or ``auto``: the latest of ``save_dir``, if any.
        do_eval: score the validation set at every checkpoint and keep the best in ``best_model/``.
        use_vdl: curves and sample predictions for VisualDL in ``save_dir/vdl``.
        keep_checkpoint_max: number of ``iter_N`` directories to keep.
        log_iters: iterations between log lines.
        num_workers: processes that read data; 0: the training process itself. The result is the same.
        device: ``cpu``, ``gpu``; None: a GPU if there is one.
        progress: live display; None: on a terminal.
    """

    save_dir: str | os.PathLike = "output"
    save_interval: int = 1000
    resume_model: str | None = None
    do_eval: bool = False
    use_vdl: bool = False
    keep_checkpoint_max: int = 5
    log_iters: int = 10
    num_workers: int = 0
    device: str | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        for name, least in {"save_interval": 1, "keep_checkpoint_max": 1, "log_iters": 1, "num_workers": 0}.items():
            if getattr(self, name) < least:
                raise RssegError(f"--{name}", str(getattr(self, name)), f"{least} or more")


@dataclass
class TrainResult:
    """Where a training ended.

    Attributes:
        iteration: last finished iteration.
        checkpoint: directory of the last checkpoint.
        best_checkpoint: that of the best mIoU, None without evaluation.
        metrics: scores of the last evaluation with its ``iter``; {} without.
        best_miou: None without evaluation.
        stopped: why it ended before the last iteration, "" if it did not.
    """

    iteration: int
    checkpoint: Path | None
    best_checkpoint: Path | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    best_miou: float | None = None
    stopped: str = ""


def train(settings: Settings | str | os.PathLike, **overrides: Any) -> TrainResult:
    """Train a network.

    On a CPU the same settings and number of threads give the same weights, bit for bit, also when the run was killed
    and resumed. On a GPU that takes ``FLAGS_cudnn_deterministic=1`` in the environment.

    Args:
        settings: from :func:`paddle_rsseg.config.load_config`, or the path of a YAML file.
        overrides: fields of :class:`RunOptions`; top-level keys of the settings (``iters=100``); ``learning_rate``;
            and ``opts``, a list like ``["loss.types.0.gamma=3"]``.

    Example:
        >>> train("configs/farseg/demo.yml", iters=200, save_dir="runs/demo", do_eval=True)  # doctest: +SKIP

    Raises:
        RssegError: anything in the settings, data or checkpoint that the user can put right; a non-finite loss.
    """
    names = [f.name for f in fields(RunOptions)]
    options = RunOptions(**{name: overrides.pop(name) for name in names if name in overrides})
    settings = resolve(settings, **overrides)
    check_paths(settings, "train+val" if options.do_eval else "train")
    device = distributed.setup(options.device)
    return _train(settings, options, device)


def resolve(settings: Settings | str | os.PathLike, opts: list[str] | tuple[str, ...] = (), **values: Any) -> Settings:
    """Settings with ``opts`` (``key.sub=value``) and top-level ``values`` put over them; None leaves a key as it is."""
    rate = values.pop("learning_rate", None)
    changes = {key: value for key, value in values.items() if value is not None}
    for key in changes:
        if key not in Settings.model_fields:
            known = [*Settings.model_fields, *(f.name for f in fields(RunOptions)), "learning_rate", "opts"]
            raise RssegError(f"train(…, {key}=…)", "unknown option", fix=did_you_mean(key, known))
    if rate is not None:
        changes["lr_scheduler.learning_rate"] = rate
    assignments = [f"{key}={json.dumps(value)}" for key, value in changes.items()] + list(opts)  # JSON is YAML
    if not isinstance(settings, Settings):
        return load_config(Path(settings), assignments)
    return override(settings, assignments) if assignments else settings


@dataclass
class Parts:
    """What a training moves."""

    dataset: Any
    model: nn.Layer
    loss: nn.Layer
    optimizer: paddle.optimizer.Optimizer
    precision: Precision

    @classmethod
    def build(cls, settings: Settings, device: str, load: bool, say: Callable[[str], None]) -> Parts:
        """``load``: read pretrained weights."""
        from paddle_rsseg.losses import build_loss

        dataset = build_dataset(settings, "train")
        model = build_model(settings, load, say)
        if dataset.in_channels != model.in_channels:
            raise RssegError(
                settings.place("train_dataset"),
                f"images of {dataset.in_channels} bands for a model of {model.in_channels}",
                "the same number",
                "choose bands: [...] in both data sets, or set model.in_channels",
            )
        loss = build_loss(settings.loss, ignore_index=dataset.ignore_index)
        for name, who in ((name, who) for name, who in loss.fields.items() if name not in dataset.fields):
            raise RssegError(
                settings.place("loss.types"), f"{who} asks for {name!r} of every sample", "a data set that has it",
                "for soft labels: train_dataset.soft_dir, a folder that 'rsseg soften CONFIG' can fill",
            )  # fmt: skip
        precision = Precision(settings.precision, settings.amp_level, device)
        if precision.note:
            say(f"note: {precision.note}")
        if settings.sync_bn is True and not wants_sync_bn(settings):
            say("note: sync_bn has no effect here: it is for several GPUs (PaddlePaddle has no CPU kernel for it)")
        optimizer = build_optimizer(settings, model)
        precision.decorate(model, optimizer)
        return cls(dataset, model, loss, optimizer, precision)

    def trainer(
        self, settings: Settings, num_workers: int, folder: Path | None = None, hooks: Sequence[Hook] = ()
    ) -> Trainer:
        """The loop around them, its data at the right place; ``folder``: go on from this checkpoint."""
        from paddle_rsseg.data.loader import TrainSampler, make_train_loader

        trainer = Trainer(
            model=self.model, loss=self.loss, optimizer=self.optimizer, precision=self.precision, batches=None,
            schedule=build_schedule(settings.lr_scheduler, settings.iters), iters=settings.iters, seed=settings.seed,
            accumulate=settings.accumulate, hooks=hooks,
        )  # fmt: skip
        if folder:
            trainer.load_state_dict(checkpoint.restore(folder, self.model, self.optimizer, self.loss))
        sampler = TrainSampler(
            len(self.dataset), settings.batch_size * settings.accumulate, settings.seed,
            distributed.rank(), distributed.world_size(), start_iter=trainer.iteration,
        )  # fmt: skip
        trainer.batches = iter(make_train_loader(self.dataset, sampler, num_workers))
        return trainer


def _train(settings: Settings, options: RunOptions, device: str) -> TrainResult:
    main, world = distributed.is_main(), distributed.world_size()
    save_dir = Path(options.save_dir)
    display = Display(settings.iters, quiet=not main, live=options.progress)
    if settings.early_stop_intervals and not options.do_eval:
        raise RssegError("--early_stop_intervals", "there is nothing to stop by", "--do_eval", "add --do_eval")

    # where to start: rank 0 alone tidies up, all ranks go on from what it found
    folder = distributed.on_main(lambda: _prepare_directory(save_dir, options.resume_model))
    parts = Parts.build(settings, device, load=folder is None, say=display.say)

    # what watches
    journal = Journal(save_dir / "metrics.jsonl") if main else None
    curves = Curves(save_dir / "vdl") if main and options.use_vdl else None
    images = settings.batch_size * settings.accumulate * world
    facts = {"images": images, "ranks": world, "seed": settings.seed, "precision": str(parts.precision)}
    metadata = {"model": model_spec(settings), "inference": inference_spec(settings).to_dict()}
    checkpointer = Checkpointer(
        save_dir, options.save_interval, options.keep_checkpoint_max, metadata, settings.dump(), facts
    )
    hooks: list[Hook] = [MetricLogger(display, journal, curves, options.log_iters, images, len(parts.dataset))]
    evaluation = None
    if options.do_eval:
        evaluation = Evaluation(
            Evaluator(settings, parts, device), checkpointer.save_best,
            evaluation_due(settings, options.save_interval), settings.early_stop_intervals, display, journal, curves,
        )  # fmt: skip
        hooks.append(evaluation)
    hooks.append(checkpointer)  # last: it saves the others' states

    trainer = parts.trainer(settings, options.num_workers, folder, hooks)
    if folder:
        display.say(f"resumed from {folder} at iteration {trainer.iteration}")
        _compare(checkpoint.read_state(folder)["run"], facts, display.say)
        _compare(
            _flat(yaml.safe_load((folder / "config.yml").read_text(encoding="utf-8"))),
            _flat(yaml.safe_load(settings.dump())),
            display.say,
        )
    sync = ", sync BN" if wants_sync_bn(settings) else ""
    display.say(
        f"training {settings.model.type} on {len(parts.dataset)} images, {images} an iteration, for {settings.iters} "
        f"iterations, {parts.precision} on {world} × {device}{sync}, into {save_dir}"
    )
    with closing(trainer.batches):  # its worker processes must not outlive the training
        trainer.train()

    present = checkpoint.checkpoints(save_dir)
    result = TrainResult(trainer.iteration, present[-1] if present else None, stopped=trainer.stop_reason)
    if evaluation:
        best = save_dir / "best_model"
        result.best_checkpoint = best if best.exists() else None
        result.metrics, result.best_miou = evaluation.last, evaluation.best["mIoU"]
    return result


class Evaluator:
    """Scores the present weights on ``val_dataset``, by the protocol of ``test_config``."""

    def __init__(self, settings: Settings, parts: Parts, device: str):
        self.parts, self.device = parts, device
        self.dataset, self.spec = build_dataset(settings, "val"), inference_spec(settings)
        self.protocol: Literal["slide", "patch"] = "slide" if settings.test_config.is_slide else "patch"
        self.batch_size = settings.test_config.window_batch

    def forward(self, batch: np.ndarray) -> np.ndarray:
        """N×C×H×W → logits of the main output, in the precision of the training."""
        with paddle.no_grad(), self.parts.precision.autocast():
            return self.parts.model(paddle.to_tensor(batch))[0].astype("float32").numpy()

    def __call__(self) -> dict[str, Any]:
        from paddle_rsseg.evaluation import evaluate

        # on a CPU a graph is compiled for each evaluation, which is soon regained
        network = self.parts.model if self.device == "cpu" else self.forward
        return evaluate(network, self.dataset, self.spec, self.protocol, self.batch_size, device=self.device).scores

    def pictures(self) -> list[np.ndarray]:
        return sample_pictures(self.forward, self.dataset, self.spec)


def _prepare_directory(save_dir: Path, resume: str | None) -> Path | None:
    """Clear leftovers of killed runs; the checkpoint to go on from."""
    checkpoint.recover(save_dir)
    folder = checkpoint.choose_resume(resume, save_dir)
    try:
        save_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RssegError(
            f"--save_dir {save_dir}", f"cannot be made ({error.strerror})", "a writable directory"
        ) from None
    return folder


def _compare(before: Mapping[str, Any], now: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Say what makes a resumed run differ from an uninterrupted one."""
    for key in dict.fromkeys([*now, *before]):
        if before.get(key) != now.get(key):
            seen, value = (str(side.get(key, "not set")) for side in (before, now))
            say(f"note: {key} was {seen}, is {value}: not what an uninterrupted run would have become")


def _flat(settings: Any, place: str = "") -> dict[str, Any]:
    """``{"lr_scheduler.power": 0.9, …}`` of the settings that change what a run becomes.

    Without those that the facts of a run say better, and those that only decide when it ends.
    """
    if isinstance(settings, Mapping):
        parts = {str(key): value for key, value in settings.items() if place or key not in _TOLD_ELSEWHERE}
    elif isinstance(settings, list):
        parts = {str(i): value for i, value in enumerate(settings)}
    else:
        return {place: settings}
    found: dict[str, Any] = {}
    for key, value in parts.items():
        found |= _flat(value, f"{place}.{key}" if place else key)
    return found
