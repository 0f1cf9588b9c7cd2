"""Schedules as functions of the position; clipping by its definition; the pace of a training."""

import itertools
import math

import pytest
import torch

from charlm.config import TrainingConfig
from charlm.training.clipping import clip_by_norm, clip_by_value, global_norm
from charlm.training.pace import (
    DEFAULT_MINUTES,
    EVALUATION_COST,
    EVALUATION_SHARE,
    FEWEST_SYMBOLS,
    MOST_SYMBOLS,
    Pace,
)
from charlm.training.schedules import FLOOR, SCHEDULES, warmup_factor


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_starts_at_one_and_never_rises(name):
    schedule = SCHEDULES[name]
    values = [schedule(position / 20) for position in range(21)]
    assert values[0] == 1.0
    assert all(later <= earlier for earlier, later in itertools.pairwise(values))
    assert all(0 < value <= 1 for value in values)


@pytest.mark.parametrize(
    ("name", "position", "factor"),
    [
        ("cosine", 0.5, (1 + FLOOR) / 2),
        ("cosine", 1.0, FLOOR),
        ("linear", 0.25, 0.75 + 0.25 * FLOOR),
        ("linear", 2.0, FLOOR),
    ],
)
def test_points_worked_by_hand(name, position, factor):
    assert SCHEDULES[name](position) == pytest.approx(factor)


def test_warmup_rises_to_one_and_yields_in_a_short_training():
    assert [warmup_factor(step, 0.0, 4) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert warmup_factor(0, 0.0, 0) == 1.0
    # 10 of 20 steps are done: a warm-up of 1,000 steps must not hold the rate down
    assert warmup_factor(10, 0.5, 1000) == 1.0


def test_clipping_by_norm_is_its_equation():
    gradients = [torch.tensor([3.0, 0.0]), torch.tensor([[0.0], [4.0]])]
    norm = global_norm(gradients).item()
    assert norm == pytest.approx(5.0)
    clip_by_norm(gradients, norm, 10.0)
    assert gradients[0].tolist() == [3.0, 0.0]  # shorter than the threshold: untouched
    clip_by_norm(gradients, norm, 5.0)
    assert gradients[1].flatten().tolist() == [0.0, 4.0]  # equal to it: the same by either branch
    clip_by_norm(gradients, norm, 1.0)
    assert torch.cat([g.flatten() for g in gradients]).tolist() == pytest.approx([0.6, 0.0, 0.0, 0.8])


def test_clipping_by_value_bounds_each_component():
    gradients = [torch.tensor([-7.0, 0.5]), torch.tensor([2.0])]
    clip_by_value(gradients, 1.0)
    assert [g.tolist() for g in gradients] == [[-1.0, 0.5], [1.0]]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_shows_in_the_norm(bad):
    assert not math.isfinite(global_norm([torch.ones(3), torch.tensor([1.0, bad])]).item())


@pytest.mark.parametrize(
    ("settings", "steps", "seconds", "reason"),
    [
        ({}, None, 60 * DEFAULT_MINUTES, None),
        ({"minutes": 0.5}, None, 30.0, None),
        ({"steps": 70}, 70, None, "steps"),
        ({"epochs": 2.0}, 20, None, "epochs"),  # 2 passes of 100 tokens, 10 a step
        ({"epochs": 2.0, "steps": 70}, 20, None, "epochs"),
        ({"epochs": 9.0, "steps": 70, "minutes": 1}, 70, 60.0, "steps"),
    ],
)
def test_the_end_of_a_training(settings, steps, seconds, reason):
    pace = Pace.of(TrainingConfig(batch_size=2, window_length=5, **settings), tokens_per_epoch=100)
    assert (pace.steps, pace.seconds) == (steps, seconds)
    if steps is not None:
        assert pace.ended(steps - 1, 0.0) is None
        assert pace.ended(steps, 0.0) == reason
        assert pace.position(steps, 0.0) == 1.0
    if seconds is not None:
        assert pace.ended(0, seconds) == "minutes"
        assert pace.position(0, seconds / 4) == pytest.approx(0.25)


def test_time_kept_for_the_end_brings_it_forward():
    pace = Pace(steps=None, seconds=60.0, reserve=10.0)
    assert pace.ended(1, 49.9) is None
    assert pace.ended(1, 50.0) == "minutes"
    assert pace.planned_steps(step=100, seconds=25.0, seconds_per_step=0.25) == 200
    assert pace.seconds_left(step=100, seconds=25.0, seconds_per_step=0.25) == 25.0


def test_a_long_last_evaluation_does_not_eat_the_budget():
    pace = Pace(steps=None, seconds=60.0).keeping(500.0)
    assert pace.reserve == 12.0
    assert pace.ended(1, 47.9) is None


def test_evaluations_take_a_small_share_of_the_time():
    # 5 minutes at 20 steps of 2,048 symbols a second: 10 evaluations of this many cost 12 seconds
    assert Pace(steps=None, seconds=300.0).evaluation_symbols(2048, 0.05) == MOST_SYMBOLS
    for seconds, seconds_per_step in [(60.0, 0.05), (90.0, 0.05), (180.0, 0.2)]:
        pace = Pace(steps=None, seconds=seconds)
        symbols = pace.evaluation_symbols(2048, seconds_per_step)
        assert FEWEST_SYMBOLS < symbols < MOST_SYMBOLS
        spent = pace.evaluations() * symbols * EVALUATION_COST * seconds_per_step / 2048
        assert spent == pytest.approx(EVALUATION_SHARE * seconds, rel=0.01)
    assert Pace(steps=20, seconds=None).evaluation_symbols(2048, 0.05) == FEWEST_SYMBOLS
    # asked for twice as often, half each
    pace = Pace(steps=2000, seconds=None)
    assert pace.evaluation_symbols(2048, 1.0, every=200) == pytest.approx(2048 * 200 / 15, abs=1)
    assert pace.evaluation_symbols(2048, 1.0, every=100) == pytest.approx(2048 * 100 / 15, abs=1)
