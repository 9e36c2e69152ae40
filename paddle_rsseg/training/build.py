"""From settings to the moving parts of a run: model with its weights, loss, optimiser."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import paddle
from paddle import nn

from paddle_rsseg.config import pretrained_weights, schema
from paddle_rsseg.config.schema import Settings
from paddle_rsseg.training import distributed
from paddle_rsseg.training.clip import limited, parameters_named


def seed_all(*numbers: int) -> None:
    """Set every global random generator to a state that is a function of ``numbers``.

    The loop calls it with (seed, iteration, rank) before each step, so that dropout and the like need no generator
    state in a checkpoint; saving that state would not even work in Paddle 2.6.
    """
    word = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(word)
    np.random.seed(word)  # noqa: NPY002 - the global generator is the point: third-party code may draw from it
    paddle.seed(word)


def build_model(settings: Settings, load: bool = True, say: Callable[[str], None] = print) -> nn.Layer:
    """The model with its starting weights, in train mode; the same on every rank.

    Args:
        load: read the weights that ``pretrained`` names; False where others follow at once (a resumed run).
        say: told what was loaded.
    """
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import load_pretrained
    from paddle_rsseg.weights.store import locate

    seed_all(settings.seed)
    model = create_model(settings)
    pretrained = pretrained_weights(settings)
    if pretrained and load:
        # one rank downloads what is known by name; the others then find it
        path, known = distributed.on_main(lambda: locate(pretrained.weights))
        say(f"{known.name}: {known.licence}; {known.page}" if known else f"starting from {path}")
        say("\n".join(load_pretrained(model, path, pretrained.stem, pretrained.partial).lines()))
    if wants_sync_bn(settings):
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model.train()
    distributed.broadcast_state(model)
    return model


def wants_sync_bn(settings: Settings) -> bool:
    """Whether batch norm sees the batches of all ranks. Paddle has no CPU kernel for it: there the answer is no."""
    several_gpus = distributed.world_size() > 1 and paddle.get_device() != "cpu"
    return several_gpus and settings.sync_bn is not False


def build_clip(settings: schema.GradClip) -> nn.ClipGradBase | None:
    if settings.type == "none":
        return None
    kinds = {"global_norm": nn.ClipGradByGlobalNorm, "per_tensor": nn.ClipGradByNorm}
    return kinds[settings.type](settings.value)


def build_optimizer(settings: Settings, model: nn.Layer) -> paddle.optimizer.Optimizer:
    """The optimiser over all parameters that learn; the loop sets its rate.

    Weight decay is an L2 term on every parameter, batch norm and biases included (FarSeg), decoupled in AdamW.
    """
    chosen = settings.optimizer
    arguments = chosen.model_dump(exclude={"type", "no_weight_decay"})
    if isinstance(chosen, schema.AdamW):
        decaying = _decaying(model, chosen.no_weight_decay)
        arguments["apply_decay_param_fun"] = decaying.__contains__
    elif arguments["weight_decay"] == 0:
        arguments["weight_decay"] = None  # spares an addition per parameter and step
    return getattr(paddle.optimizer, chosen.type)(
        learning_rate=settings.lr_scheduler.learning_rate,
        parameters=[p for p in model.parameters() if not p.stop_gradient],
        grad_clip=limited(build_clip(settings.grad_clip), settings.grad_clip.limits, model),
        **arguments,
    )


def _decaying(model: nn.Layer, spared: list[str]) -> set[str]:
    """Paddle's own names of the parameters whose names in the model contain none of ``spared``.

    Raises:
        RssegError: a part that no parameter has.
    """
    names = {parameter.name for parameter in model.parameters()}
    for part in spared:
        names.difference_update(parameters_named(model, part, "optimizer.no_weight_decay"))
    return names
