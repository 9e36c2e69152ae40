"""A whole training: settings and options in, checkpoints and scores out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from paddle_rsseg.config import Settings, load_config, loads_config
from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.training import checkpoint, distributed
from paddle_rsseg.training.build import build_model, build_optimizer, wants_sync_bn
from paddle_rsseg.training.curves import Curves, side_by_side
from paddle_rsseg.training.display import Display
from paddle_rsseg.training.hooks import Checkpointer, Evaluation, Journal, MetricLogger
from paddle_rsseg.training.loop import Trainer
from paddle_rsseg.training.precision import Precision
from paddle_rsseg.training.schedule import build_schedule


@dataclass(frozen=True)
class RunOptions:
    """How a training is run, as opposed to what is trained: nothing here changes a weight.

    Attributes:
        save_dir: where checkpoints, ``metrics.jsonl`` and curves go.
        save_interval: iterations between checkpoints, and between evaluations with ``do_eval``.
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
        checkpoint: directory of the last checkpoint; ``best_checkpoint`` that of the best mIoU, None without evaluation.
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
        return load_config(settings, assignments)
    return loads_config(settings.dump(), settings.source, assignments) if assignments else settings


def _train(settings: Settings, options: RunOptions, device: str) -> TrainResult:
    from paddle_rsseg.config import build_dataset, inference_spec
    from paddle_rsseg.data.loader import TrainSampler, make_train_loader
    from paddle_rsseg.losses import build_loss

    main, world = distributed.is_main(), distributed.world_size()
    save_dir = Path(options.save_dir)
    display = Display(settings.iters, quiet=not main, live=options.progress)

    # --- where to start; rank 0 alone tidies up, all ranks go on from what it found
    folder = distributed.on_main(lambda: _prepare_directory(save_dir, options.resume_model))

    # --- what moves
    dataset = build_dataset(settings, "train")
    model = build_model(settings, load=folder is None)
    loss = build_loss(settings.loss, ignore_index=dataset.ignore_index)
    precision = Precision(settings.precision, settings.amp_level, device)
    optimizer = build_optimizer(settings, model)
    precision.decorate(model, optimizer)
    spec = inference_spec(settings)

    # --- what watches
    journal = Journal(save_dir / "metrics.jsonl") if main else None
    curves = Curves(save_dir / "vdl") if main and options.use_vdl else None
    images = settings.batch_size * settings.accumulate  # of one update and rank
    facts = {"images": images, "ranks": world, "seed": settings.seed, "precision": settings.precision}
    checkpointer = Checkpointer(
        save_dir, options.save_interval, options.keep_checkpoint_max,
        {"model": settings.model.spec(), "inference": spec.to_dict()}, settings.dump(), facts,
    )  # fmt: skip
    logger = MetricLogger(display, journal, curves, options.log_iters, images * world, len(dataset))
    evaluation = None
    if options.do_eval:
        evaluation = Evaluation(
            _evaluator(settings, model, precision), checkpointer.save_best,
            options.save_interval, settings.early_stop_intervals, display, journal, curves,
        )  # fmt: skip
    elif settings.early_stop_intervals:
        raise RssegError("--early_stop_intervals", "there is nothing to stop by", "--do_eval", "add --do_eval")

    trainer = Trainer(
        model=model, loss=loss, optimizer=optimizer, schedule=build_schedule(settings.lr_scheduler, settings.iters),
        precision=precision, batches=iter(()), iters=settings.iters, seed=settings.seed, accumulate=settings.accumulate,
        hooks=[hook for hook in (logger, evaluation, checkpointer) if hook],
    )  # fmt: skip
    if folder:
        state = checkpoint.restore(folder, model, optimizer, loss)
        trainer.load_state_dict(state)
        display.say(f"resumed from {folder} at iteration {trainer.iteration}")
        _compare(state["run"], facts, display.say)
    sampler = TrainSampler(
        len(dataset), images, settings.seed, distributed.rank(), world, start_iter=trainer.iteration
    )
    trainer.batches = iter(make_train_loader(dataset, sampler, options.num_workers))

    display.say(
        f"training {settings.model.type} on {len(dataset)} images for {settings.iters} iterations of {images * world}, "
        f"{precision} on {world} × {device}{', sync BN' if wants_sync_bn(settings) else ''}, into {save_dir}"
    )
    trainer.train()

    present = checkpoint.checkpoints(save_dir)
    result = TrainResult(trainer.iteration, present[-1] if present else None, stopped=trainer.stop_reason)
    if evaluation:
        best = save_dir / "best_model"
        result.best_checkpoint = best if best.exists() else None
        result.metrics, result.best_miou = evaluation.last, evaluation.best["miou"]
    return result


def _prepare_directory(save_dir: Path, resume: str | None) -> Path | None:
    """Clear leftovers of killed runs; the checkpoint to go on from."""
    try:
        save_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RssegError(f"--save_dir {save_dir}", f"cannot be made ({error.strerror})", "a writable directory") from None
    checkpoint.recover(save_dir)
    return checkpoint.choose_resume(resume, save_dir)


def _compare(before: Mapping[str, Any], now: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Say what makes a resumed run differ from an uninterrupted one."""
    for key, value in now.items():
        if before.get(key) != value:
            say(f"note: {key} was {before.get(key)}, is {value}: the run goes on, but not as it would have without a break")
