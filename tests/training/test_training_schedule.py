"""The closed forms against Paddle's schedulers, iteration by iteration."""

from types import SimpleNamespace

import pytest
from paddle.optimizer import lr
from pydantic import ValidationError

from paddle_rsseg.config import schema
from paddle_rsseg.training.schedule import build_schedule, evaluation_due

ITERS = 20


def paddles(scheduler):
    """What a PaddleSeg loop uses at iterations 1, 2, …"""
    rates = []
    for _ in range(ITERS):
        rates.append(scheduler())
        scheduler.step()
    return rates


def ours(settings):
    schedule = build_schedule(settings, ITERS)
    return [schedule(k) for k in range(1, ITERS + 1)]


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        (schema.Constant(type="Constant", learning_rate=0.1), lambda: lr.LambdaDecay(0.1, lambda t: 1)),
        (
            schema.PolynomialDecay(type="PolynomialDecay", learning_rate=0.007, end_lr=0, power=0.9),
            lambda: lr.PolynomialDecay(0.007, ITERS, 0, 0.9),
        ),
        (
            schema.PolynomialDecay(type="PolynomialDecay", learning_rate=0.1, end_lr=0.01, decay_steps=6),
            lambda: lr.PolynomialDecay(0.1, 6, 0.01),
        ),
        (
            schema.PolynomialDecay(type="PolynomialDecay", learning_rate=0.1, end_lr=0.01, decay_steps=6, cycle=True),
            lambda: lr.PolynomialDecay(0.1, 6, 0.01, cycle=True),
        ),
        (
            schema.CosineAnnealingDecay(type="CosineAnnealingDecay", learning_rate=0.1, eta_min=0.02),
            lambda: lr.CosineAnnealingDecay(0.1, ITERS, 0.02),
        ),
        (
            schema.CosineAnnealingWarmRestarts(
                type="CosineAnnealingWarmRestarts", learning_rate=0.1, T_0=3, T_mult=2, eta_min=0.01
            ),
            lambda: lr.CosineAnnealingWarmRestarts(0.1, 3, 2, 0.01),
        ),
        (
            schema.StepDecay(type="StepDecay", learning_rate=0.1, step_size=7, gamma=0.5),
            lambda: lr.StepDecay(0.1, 7, 0.5),
        ),
        (
            schema.MultiStepDecay(type="MultiStepDecay", learning_rate=0.1, milestones=[4, 11], gamma=0.5),
            lambda: lr.MultiStepDecay(0.1, [4, 11], 0.5),
        ),
        (
            schema.ExponentialDecay(type="ExponentialDecay", learning_rate=0.1, gamma=0.9),
            lambda: lr.ExponentialDecay(0.1, 0.9),
        ),
        (
            schema.PolynomialDecay(
                type="PolynomialDecay", learning_rate=0.1, end_lr=0, power=0.9, warmup_iters=5, warmup_start_lr=0.01
            ),
            lambda: lr.LinearWarmup(lr.PolynomialDecay(0.1, ITERS - 5, 0, 0.9), 5, 0.01, 0.1),
        ),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
def test_equals_paddles_scheduler(settings, reference):
    assert ours(settings) == pytest.approx(paddles(reference()), rel=1e-12, abs=1e-15)


def test_farsegs_recipe_number_by_number():
    schedule = build_schedule(
        schema.PolynomialDecay(type="PolynomialDecay", learning_rate=0.007, end_lr=0, power=0.9), 60_000
    )
    for k in (1, 2, 30_001, 60_000):
        assert schedule(k) == pytest.approx(0.007 * (1 - (k - 1) / 60_000) ** 0.9, rel=1e-15)


def test_restarts_that_step_once_an_epoch_hold_the_rate_within_it():
    settings = schema.CosineAnnealingWarmRestarts(
        type="CosineAnnealingWarmRestarts", learning_rate=0.1, T_0=8, eta_min=0.02, interval=4
    )
    middle = 0.02 + 0.08 / 2
    assert ours(settings) == pytest.approx([0.1] * 4 + [middle] * 4 + [0.1] * 4 + [middle] * 4 + [0.1] * 4)


def test_system_cs_recipe_warms_up_within_the_decay():
    """OpenMMLab: the decay over all iterations, times 1 - (1 - t/w)(1 - r) while t < w."""
    settings = schema.PolynomialDecay(
        type="PolynomialDecay", learning_rate=6e-5, end_lr=0, power=1, warmup_iters=8, warmup_start_lr=6e-11,
        warmup_within=True,
    )  # fmt: skip
    expected = []
    for t in range(ITERS):
        regular = 6e-5 * (1 - t / ITERS)
        expected.append(regular * (1 - (1 - t / 8) * (1 - 1e-6)) if t < 8 else regular)
    assert ours(settings) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("within", [False, True])
def test_an_exponential_warm_up_multiplies_by_the_same_factor(within):
    settings = schema.Constant(
        type="Constant", learning_rate=0.1, warmup_iters=4, warmup_start_lr=0.001, warmup_policy="exponential",
        warmup_within=within,
    )  # fmt: skip
    rates = ours(settings)
    assert rates[0] == pytest.approx(0.001)
    assert [rates[k + 1] / rates[k] for k in range(4)] == pytest.approx([100**0.25] * 4)
    assert rates[4:] == pytest.approx([0.1] * (ITERS - 4))
    with pytest.raises(ValidationError, match="warmup_policy: exponential"):
        schema.Constant(type="Constant", learning_rate=0.1, warmup_iters=4, warmup_policy="exponential")


def test_noam_peaks_in_the_second_epoch():
    """System E: base · sqrt(w) · min(t^-1/2, t · w^-1.5), t = max(1, epochs), w = 2."""
    settings = schema.NoamDecay(type="NoamDecay", learning_rate=0.01, epoch_iters=5)
    rates = ours(settings)
    assert rates[:6] == pytest.approx([0.005] * 6)
    assert rates[8] == pytest.approx(0.01 * 1.6 / 2)
    assert rates[10] == max(rates) == pytest.approx(0.01)
    assert rates[15] == pytest.approx(0.01 * (2 / 3) ** 0.5)


def test_system_es_restarts_end_with_epochs_3_9_and_21():
    settings = schema.CosineAnnealingWarmRestarts(
        type="CosineAnnealingWarmRestarts", learning_rate=3e-4, T_0=6, T_mult=2, eta_min=1e-5
    )  # two updates an epoch
    schedule = build_schedule(settings, 100)
    assert [k for k in range(2, 60) if schedule(k) > schedule(k - 1)] == [7, 19, 43]
    assert schedule(19) == 3e-4


def test_changes_of_hangzhous_other_schedules():
    step = schema.StepDecay(type="StepDecay", learning_rate=0.1, step_size=5, gamma=0.5, warmup_iters=2)
    assert ours(step)[:9] == pytest.approx([0, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])


@pytest.mark.parametrize("order", [1, -1])
def test_evaluations_become_more_frequent(order):
    """System H, 40 epochs of 3 iterations: every 5 epochs, every 2 from the middle on, at last every one."""
    intervals = [[0, 15], [0.5, 6], [0.75, 3]][::order]
    settings = SimpleNamespace(iters=120, eval_intervals=intervals)
    due = [k for k in range(1, 121) if evaluation_due(settings, 1)(k)]
    assert due == [15, 30, 45, 60, 66, 72, 78, 84, 90, *range(93, 121, 3)]
    settings = SimpleNamespace(iters=10, eval_intervals=[[0.5, 2]])
    assert [k for k in range(1, 11) if evaluation_due(settings, 3)(k)] == [3, 6, 8, 10]
    settings = SimpleNamespace(iters=10, eval_intervals=None)
    assert [k for k in range(1, 11) if evaluation_due(settings, 3)(k)] == [3, 6, 9, 10]
