"""The learning rate as a pure function of the iteration: nothing to step, nothing to save."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable

from paddle_rsseg.config import schema

#: learning rate at iteration k, counted from 1
Schedule = Callable[[int], float]


def build_schedule(settings: schema.LrScheduler, iters: int) -> Schedule:
    """The schedule that ``settings`` describe for a run of ``iters`` iterations.

    Iteration k = 1 … iters gets the value after ``t = k - 1`` finished iterations: with FarSeg's recipe that is
    ``0.007 · (1 - (k-1)/60000)^0.9``. During the first ``warmup_iters`` iterations the rate rises from
    ``warmup_start_lr`` towards the base rate; then the schedule itself starts at its own t = 0. With
    ``warmup_within`` it starts at once, and is multiplied by what the warm-up is of the base rate.
    """
    warmup, base = settings.warmup_iters, settings.learning_rate
    start = settings.warmup_start_lr / base
    skipped = 0 if settings.warmup_within else warmup
    decay = _decay(settings, max(iters - skipped, 1))

    def risen(done: int) -> float:
        """Share of the base rate after ``done`` iterations of the warm-up."""
        if settings.warmup_policy == "exponential":
            return start ** (1 - done / warmup)
        return start + (1 - start) * done / warmup

    def rate(iteration: int) -> float:
        done = iteration - 1
        if done >= warmup:
            return decay(done - skipped)
        return risen(done) * (decay(done) if settings.warmup_within else base)

    return rate


def evaluation_due(settings: schema.Settings, interval: int) -> Callable[[int], bool]:
    """Whether the model is scored after iteration k: at the multiples of ``eval_intervals``, and after the last.

    Args:
        interval: of the part of the training that ``eval_intervals`` leaves out.
    """
    starts = [(share * settings.iters, every) for share, every in settings.eval_intervals or ()]

    def due(iteration: int) -> bool:
        begun = [(start, every) for start, every in starts if iteration > start]
        every = max(begun)[1] if begun else interval
        return iteration % every == 0 or iteration == settings.iters

    return due


def _decay(settings: schema.LrScheduler, span: int) -> Callable[[int], float]:
    """Rate after t iterations of a decay over ``span`` iterations, without the warm-up."""
    base = settings.learning_rate
    if isinstance(settings, schema.Constant):
        return lambda t: base
    if isinstance(settings, schema.PolynomialDecay):
        return lambda t: _polynomial(t, settings, settings.decay_steps or span)
    if isinstance(settings, schema.CosineAnnealingDecay):
        period, floor = settings.T_max or span, settings.eta_min
        return lambda t: floor + (base - floor) * (1 + math.cos(math.pi * t / period)) / 2
    if isinstance(settings, schema.CosineAnnealingWarmRestarts):
        return lambda t: _warm_restarts(t - t % settings.interval, settings)
    if isinstance(settings, schema.StepDecay):
        return lambda t: base * settings.gamma ** (t // settings.step_size)
    if isinstance(settings, schema.MultiStepDecay):
        milestones = sorted(settings.milestones)
        return lambda t: base * settings.gamma ** bisect_right(milestones, t)
    if isinstance(settings, schema.ExponentialDecay):
        return lambda t: base * settings.gamma**t
    if isinstance(settings, schema.NoamDecay):
        return lambda t: _noam(max(1.0, t / settings.epoch_iters), settings)
    raise TypeError(f"no schedule for {settings!r}")


def _noam(epoch: float, settings: schema.NoamDecay) -> float:
    peak = settings.peak_epoch
    return settings.learning_rate * math.sqrt(peak) * min(epoch**-0.5, epoch * peak**-1.5)


def _polynomial(t: int, settings: schema.PolynomialDecay, span: int) -> float:
    if settings.cycle:
        span *= max(math.ceil(t / span), 1)
    left = 1 - min(t, span) / span
    return (settings.learning_rate - settings.end_lr) * left**settings.power + settings.end_lr


def _warm_restarts(t: int, settings: schema.CosineAnnealingWarmRestarts) -> float:
    """SGDR (Loshchilov & Hutter 2017), formula 5."""
    period = settings.T_0
    if settings.T_mult == 1:
        t %= period
    while t >= period:
        t -= period
        period *= settings.T_mult
    rate, floor = settings.learning_rate, settings.eta_min
    return floor + (rate - floor) * (1 + math.cos(math.pi * t / period)) / 2
