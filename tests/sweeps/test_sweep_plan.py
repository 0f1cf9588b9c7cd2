"""How a budget is spent on rungs."""

import pytest

from charlm.config import TrainingConfig
from charlm.config.ranges import SweepConfig
from charlm.errors import ConfigError
from charlm.sweeps.plan import USUAL_FIRST_SECONDS, RungPace, make_plan
from charlm.training.pace import Pace


@pytest.mark.parametrize("trials", [1, 2, 3, 5, 9, 10, 27, 60])
@pytest.mark.parametrize("halving", [2, 3, 4])
@pytest.mark.parametrize("spent", [0.0, 6.0])
def test_minutes_are_those_of_all_trials_together(trials, halving, spent):
    plan = make_plan(TrainingConfig(minutes=60), SweepConfig(trials=trials, halving=halving), spent)
    assert plan.total == pytest.approx(60 - spent / 60, rel=1e-3)
    assert (plan.sizes[0], plan.sizes[-1]) == (trials, 1)
    for now, then in zip(plan.sizes, plan.sizes[1:], strict=False):
        assert then == max(1, now // halving)
    for now, then in zip(plan.ends, plan.ends[1:], strict=False):
        assert then == pytest.approx(halving * now, rel=1e-3)


def test_the_plan_of_the_page():
    plan = make_plan(TrainingConfig(minutes=10), SweepConfig())
    assert (plan.unit, plan.sizes, plan.ends) == ("minutes", (9, 3, 1), (0.4762, 1.429, 4.286))


@pytest.mark.parametrize("minutes", [2, 10, 30, 60, 200, 1000])
def test_as_many_trials_as_leave_each_its_usual_seconds(minutes):
    ruled = make_plan(TrainingConfig(minutes=minutes), SweepConfig())
    more = make_plan(TrainingConfig(minutes=minutes), SweepConfig(trials=3 * ruled.sizes[0]))
    assert 60 * ruled.ends[0] >= USUAL_FIRST_SECONDS > 60 * more.ends[0]


@pytest.mark.parametrize(
    ("settings", "trials", "expected"),
    [
        ({"steps": 900}, 5, ("steps", (5, 1), (300, 900))),
        ({"steps": 100}, None, ("steps", (9, 3, 1), (12, 34, 100))),
        ({"steps": 2}, None, ("steps", (9, 3, 1), (1, 1, 2))),
        ({"epochs": 9.0}, 3, ("epochs", (3, 1), (3.0, 9.0))),
        ({}, 3, ("minutes", (3, 1), (1.0, 3.0))),
        ({}, None, ("minutes", (9, 3, 1), (0.3333, 1.0, 3.0))),
    ],
)
def test_other_ends_are_those_of_the_longest_trial(settings, trials, expected):
    plan = make_plan(TrainingConfig(**settings), SweepConfig(trials=trials))
    assert (plan.unit, plan.sizes, plan.ends) == expected


@pytest.mark.parametrize(
    ("settings", "spent", "message"),
    [
        ({"minutes": 1, "steps": 3}, 0, r"not --minutes and --steps"),
        ({"minutes": 1}, 0, r"leave each of 81 trials 0.2 seconds at first, 5 are the least: give .*--minutes 24.8"),
        ({"minutes": 1}, 61, "0.0 seconds at first.*or more --minutes"),
    ],
)
def test_what_cannot_be_planned_is_refused(settings, spent, message):
    with pytest.raises(ConfigError, match=message):
        make_plan(TrainingConfig(**settings), SweepConfig(trials=81), spent)


def test_a_rung_pauses_a_training_and_leaves_its_schedule_alone():
    whole = Pace.of(TrainingConfig(minutes=10), 1000)
    pace = RungPace.until(whole, Pace.of(TrainingConfig(minutes=1), 1000))
    for seconds in (0.0, 59.0, 60.0, 599.0):
        assert pace.position(5, seconds) == whole.position(5, seconds)
    assert [pace.ended(5, seconds) for seconds in (59.9, 60.0, 600.0)] == [None, "paused", "minutes"]
    # a fifth of the rung at most is kept for scoring, whatever the trainer keeps
    assert [pace.keeping(3.0).ended(5, seconds) for seconds in (56.9, 57.0)] == [None, "paused"]
    assert [pace.keeping(500.0).ended(5, seconds) for seconds in (47.9, 48.0)] == [None, "paused"]
    by_steps = RungPace.until(Pace.of(TrainingConfig(steps=9), 1000), Pace.of(TrainingConfig(steps=3), 1000))
    assert [by_steps.ended(step, 1e9) for step in (2, 3, 8, 9)] == [None, "paused", "paused", "steps"]
