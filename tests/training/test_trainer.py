"""The loop: what is told, when it is saved, how it ends, and what it does when training goes wrong."""

import itertools
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from charlm.errors import DivergedError, OutputError, RunError, UnknownNameError
from charlm.evaluation.score import Score
from charlm.training.pace import Pace, after_the_last_step
from charlm.training.rails import MOST_ROLLBACKS
from charlm.training.trainer import Trainer


@dataclass
class Notebook:
    """Keeps captures and events in memory; can be told to fail."""

    captures: list = field(default_factory=list)
    events: list = field(default_factory=list)
    fail: bool = False
    trouble: str | None = None

    def save_capture(self, capture, *, best):
        if self.fail:
            raise OutputError("checkpoint not saved: disk full")
        self.captures.append((capture, best))
        return Path(f"step-{capture.progress['steps']}")

    def record(self, event):
        self.events.append(event)


class Clock:
    """A clock that moves on by `tick` each time it is read."""

    def __init__(self, tick=0.0):
        self.now, self.tick = 0.0, tick

    def __call__(self):
        self.now += self.tick
        return self.now


@pytest.fixture
def make_trainer():
    def make(learner, *, keeper=None, evaluate=None, sample=None, clock=None, last_scoring=0.0):
        clock = clock or Clock()
        return Trainer(
            learner,
            learner.config,
            keeper=keeper or Notebook(),
            pace=Pace.of(learner.config, 399),
            evaluate=evaluate,
            sample=sample,
            time_last_scoring=lambda model: last_scoring,
            clock=clock,
            started=clock(),
        )

    return make


def scores(*nats):
    """An evaluation that gives these losses, one after the other, then the last for ever."""
    left = list(nats)

    def evaluate(model, symbols):
        value = left.pop(0) if len(left) > 1 else left[0]
        return Score(total_nats=10 * value, tokens=10, characters=10, bytes=10)

    return evaluate


def unpredicted(model, symbols):
    """The evaluation of a text of one symbol."""
    return Score(total_nats=0.0, tokens=0, characters=0, bytes=0)


def kinds(events):
    return [event.kind for event in events]


def of_kind(events, kind):
    return [event for event in events if event.kind == kind]


def weights_of(trainer):
    capture = trainer.learner.capture()
    return capture.weights | capture.training


def stop_after(steps, learner, trainer):
    """Ask the trainer to stop while it takes the step after so many."""
    step = learner.step

    def stopping(rate):
        if learner.steps == steps:
            trainer.request_stop()
        return step(rate)

    learner.step = stopping


def test_a_training_by_steps_ends_there_evaluated_and_saved(make_learner, make_trainer):
    keeper = Notebook()
    trainer = make_trainer(make_learner(steps=20), keeper=keeper, evaluate=scores(2.0, 1.5, 1.0))
    events = list(trainer.run())
    assert trainer.learner.steps == 20
    assert (events[-1].kind, events[-1].reason) == ("stop", "steps")
    assert len(of_kind(events, "evaluate")) == 10  # a tenth of the way each
    assert [event.step for event in of_kind(events, "save")] == list(range(2, 21, 2))
    assert [best for _, best in keeper.captures] == [True, True, True] + [False] * 7
    assert events == keeper.events


def test_every_record_is_strict_json_with_the_documented_keys(make_learner, make_trainer):
    keeper = Notebook()
    list(make_trainer(make_learner(steps=4), keeper=keeper, evaluate=unpredicted).run())
    documented = {"step", "epoch", "characters", "seconds", "characters_per_second", "learning_rate", "gradient_norm"}
    documented |= {"train_nats", "validation_nats", "perplexity", "bits_per_character", "checkpoint", "kind"}
    for event in keeper.events:
        record = json.loads(json.dumps(event.to_record(), allow_nan=False))
        assert set(record) - documented <= {"best", "reason", "steps_planned", "seconds_left", "retries_left"}
        assert {"kind", "step", "epoch", "characters", "seconds"} <= set(record)
    assert keeper.events[-1].to_record()["validation_nats"] is None


@pytest.mark.parametrize(
    ("settings", "evaluated", "saved"),
    [
        ({"evaluate_every": 6}, [6, 12, 18, 20], [6, 12, 18, 20]),
        ({"evaluate_every": 10, "checkpoint_every": 7}, [10, 20], [7, 14, 20]),
    ],
)
def test_intervals_are_kept(make_learner, make_trainer, settings, evaluated, saved):
    events = list(make_trainer(make_learner(**settings), evaluate=unpredicted).run())
    assert [event.step for event in of_kind(events, "evaluate")] == evaluated
    assert [event.step for event in of_kind(events, "save")] == saved


def test_no_two_captures_are_held_at_once(make_learner, make_trainer, monkeypatch):
    """Each is as large as weights and optimiser together; what is done after the last step needs room too."""
    trainer = make_trainer(make_learner(steps=20, evaluate_every=4))
    capture, held = trainer.capture, []
    monkeypatch.setattr(trainer, "capture", lambda: held.append(trainer.rails.good) or capture())
    for event in trainer.run():
        assert (event.kind == "stop") == (trainer.rails.good is None)
    assert len(held) == 6
    assert held == [None] * 6


def test_samples_come_when_asked_for_and_are_of_the_weights(make_learner, make_trainer):
    keeper = Notebook()
    seen = []
    trainer = make_trainer(
        make_learner(sample_every=8), keeper=keeper, sample=lambda arrays: seen.append(arrays) or "text"
    )
    events = list(trainer.run())
    assert [(event.step, event.text) for event in of_kind(events, "sample")] == [(8, "text"), (16, "text")]
    assert set(seen[0]) == set(trainer.learner.model.to_arrays())


def test_a_sample_that_explodes_is_left_out(make_learner, make_trainer):
    """A state may grow without bound in a text of many symbols, and in no window."""

    def exploding(arrays):
        raise RunError("the model's state has exploded")

    events = list(make_trainer(make_learner(sample_every=8), sample=exploding).run())
    assert of_kind(events, "sample") == []
    assert events[-1].reason == "steps"


def test_patience_ends_a_training_that_no_longer_improves(make_learner, make_trainer):
    learner = make_learner(steps=100, evaluate_every=5, patience=3)
    events = list(make_trainer(learner, evaluate=scores(2.0, 1.0, 1.5)).run())
    assert events[-1].reason == "patience"
    assert learner.steps == 25  # best at 10, then three in vain


def test_plateau_divides_the_rate_by_four(make_learner, make_trainer):
    learner = make_learner(steps=20, evaluate_every=5, schedule="plateau", learning_rate=0.1)
    trainer = make_trainer(learner, evaluate=scores(2.0, 3.0, 1.0))
    rates = {}
    for event in trainer.run():
        if event.kind == "evaluate":
            rates[event.step] = trainer.learning_rate()
    assert rates == pytest.approx({5: 0.1, 10: 0.025, 15: 0.025, 20: 0.00625})


def test_all_evaluations_of_a_training_read_the_same_symbols_resumed_or_not(make_learner, make_trainer, monkeypatch):
    monkeypatch.setattr("charlm.training.pace.FEWEST_SYMBOLS", 1)
    seen = []

    def evaluate(model, symbols):
        seen.append(symbols)
        return scores(1.0)(model, symbols)

    trainer = make_trainer(make_learner(steps=400, batch_size=8, evaluate_every=2), evaluate=evaluate)
    for event in trainer.run():
        if event.step == 6 and event.kind == "evaluate":
            break
    again = make_trainer(make_learner(steps=8, batch_size=8, evaluate_every=1), evaluate=evaluate)
    again.restore(trainer.capture())
    list(again.run())
    assert seen == [8] * 5  # 1/15 x 2 steps x 64 symbols


def test_an_unknown_schedule_is_named(make_learner, make_trainer):
    with pytest.raises(UnknownNameError, match=r"no schedule 'cosin': .*did you mean cosine"):
        make_trainer(make_learner(schedule="cosin"))


def test_time_ends_a_training_and_its_schedule(make_learner, make_trainer):
    learner = make_learner(steps=None, minutes=1.0, schedule="linear")
    trainer = make_trainer(learner, clock=Clock(tick=0.05), evaluate=scores(1.0))
    events = list(trainer.run())
    assert events[-1].reason == "minutes"
    assert 55 <= events[-1].seconds <= 62
    assert of_kind(events, "train")[-1].learning_rate < 0.1 * learner.config.learning_rate


def test_time_for_the_last_scoring_is_kept_free(make_learner, make_trainer):
    def seconds(last_scoring):
        trainer = make_trainer(
            make_learner(steps=None, minutes=1.0),
            clock=Clock(tick=0.1),
            evaluate=scores(1.0),
            last_scoring=last_scoring,
        )
        return list(trainer.run())[-1].seconds

    # one and a half times as long; but at most 12 seconds
    assert seconds(0.0) - 7 < seconds(4.0) < seconds(0.0) - 5
    assert seconds(16.0) < seconds(0.0) - 11
    assert after_the_last_step(20.0, 2.0) == 34


def test_the_last_scoring_is_timed_once_and_only_where_time_ends_a_training(make_learner, make_trainer):
    timed = []
    for settings in ({"steps": 40}, {"steps": None, "minutes": 1.0}):
        trainer = make_trainer(make_learner(**settings), clock=Clock(tick=0.1), evaluate=scores(1.0))
        trainer.time_last_scoring = lambda model, settings=settings: timed.append((settings["steps"], model)) or 1.0
        events = of_kind(list(trainer.run()), "evaluate")
        assert len(events) > 2
    assert timed == [(None, trainer.learner.model)]


def test_time_that_is_up_stays_up(make_learner, make_trainer):
    """A fast evaluation at the end asks for less time than those before: there must not be steps left by that."""
    clock = Clock(tick=0.1)

    def evaluate(model, tokens):
        clock.now += 0.0 if trainer.seconds() > 45 else 2.0
        return scores(1.0)(model, tokens)

    trainer = make_trainer(make_learner(steps=None, minutes=1.0), clock=clock, evaluate=evaluate, last_scoring=10.0)
    last = list(trainer.run())[-1]
    assert last.reason == "minutes"
    again = make_trainer(make_learner(steps=None, minutes=1.0), clock=Clock(tick=0.1), last_scoring=10.0)
    again.restore(trainer.capture())
    assert again.pace.ended(last.step, again.standing.seconds) == "minutes"


def test_a_stop_request_finishes_the_step_and_saves(make_learner, make_trainer):
    keeper = Notebook()
    trainer = make_trainer(make_learner(steps=1000), keeper=keeper, clock=Clock(tick=1.0))
    events = []
    for event in trainer.run():
        events.append(event)
        if event.step == 3:
            trainer.request_stop()
    assert (events[-1].kind, events[-1].reason) == ("stop", "interrupted")
    assert keeper.captures[-1][0].progress["steps"] == trainer.learner.steps == 3


@pytest.mark.parametrize("stop_at", [1, 7, 13])
@pytest.mark.parametrize("settings", [{}, {"ema": 0.9, "schedule": "plateau", "window_jitter": 0.3, "accumulate": 2}])
def test_a_resumed_training_ends_in_the_same_numbers(make_learner, make_trainer, stop_at, settings):
    """N steps equal k steps, a stop, a resume and N - k steps, down to the last bit."""

    def evaluate(model, symbols):
        # a figure of the weights, so that plateau's decisions depend on them as in real training
        total = sum(float(p.detach().abs().sum()) for p in model.parameters())
        return scores(1.0 + math.sin(total))(model, symbols)

    through = make_trainer(make_learner(**settings), evaluate=evaluate)
    list(through.run())

    keeper = Notebook()
    first = make_trainer(make_learner(**settings), keeper=keeper, evaluate=evaluate, clock=Clock(tick=1.0))
    for event in first.run():
        if event.step >= stop_at:
            first.request_stop()
    assert first.learner.steps < 20
    again = make_trainer(make_learner(**settings), evaluate=evaluate)
    again.restore(keeper.captures[-1][0])
    list(again.run())

    whole, resumed = weights_of(through), weights_of(again)
    for name in whole:
        assert np.array_equal(whole[name], resumed[name]), name
    assert through.standing.best_nats == again.standing.best_nats
    assert through.standing.rate_scale == again.standing.rate_scale


def poison(learner, at_step):
    """Make the loss nan at one step, once or every time it is reached."""
    window = learner._window

    def poisoned(*arguments):
        loss, *others = window(*arguments)
        return (math.nan if learner.steps == at_step else loss), *others

    learner._window = poisoned


def test_a_loss_that_is_not_finite_rolls_back_and_halves_the_rate(make_learner, make_trainer):
    learner = make_learner(steps=20, schedule="constant")
    keeper = Notebook()
    trainer = make_trainer(learner, keeper=keeper, evaluate=scores(1.0))
    calls = []
    window = learner._window

    def once(*arguments):
        loss, *others = window(*arguments)
        calls.append(learner.steps)
        return (math.nan if calls.count(11) == 1 and learner.steps == 11 else loss), *others

    learner._window = once
    events = list(trainer.run())
    (rollback,) = of_kind(events, "rollback")
    assert rollback.step == 10  # the last evaluation
    assert "loss became nan" in rollback.reason
    assert rollback.learning_rate == pytest.approx(learner.config.learning_rate / 2)
    assert events[-1].reason == "steps"
    for capture, _ in keeper.captures:
        assert all(np.isfinite(array).all() for array in (capture.weights | capture.training).values())


@pytest.mark.parametrize("saved", [0, 3, 4, 5])
def test_a_training_that_went_back_is_resumed_to_the_same_numbers(make_learner, make_trainer, saved):
    """Killed behind any checkpoint, before it went back or after, it goes back as the one that was not killed."""

    def trainer(keeper):
        learner = make_learner(steps=16, schedule="constant", optimizer="sgd", ema=0.9)
        window = learner._window

        def poisoned(*arguments):
            loss, *others = window(*arguments)
            full_rate = learner.optimizers[0].param_groups[0]["lr"] > 0.75 * learner.config.learning_rate
            return (math.nan if learner.steps == 9 and full_rate else loss), *others

        learner._window = poisoned
        return make_trainer(learner, keeper=keeper, evaluate=scores(1.0))

    keeper = Notebook()
    through, again = trainer(keeper), trainer(Notebook())
    list(through.run())
    again.restore(keeper.captures[saved][0])
    list(again.run())
    assert (through.standing.rollbacks, through.standing.rate_scale) == (1, 0.5)
    assert (again.standing.rollbacks, again.standing.rate_scale) == (1, 0.5)
    whole, resumed = weights_of(through), weights_of(again)
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)


DAY = 86_400.0


class Leaping:
    """A clock that now and then leaps a day forth, or back."""

    def __init__(self, *leaps):
        self.now, self.looks, self.leaps = 0.0, 0, leaps

    def __call__(self):
        self.looks += 1
        self.now += self.leaps[self.looks // 7 % len(self.leaps)] if self.looks % 7 == 0 else 0.2
        return self.now


@pytest.mark.parametrize("leaps", [(DAY,), (-DAY,), (DAY, -DAY)])
def test_a_clock_that_leaps_changes_no_number_and_tells_no_nonsense(make_learner, make_trainer, leaps):
    through = make_trainer(make_learner(schedule="plateau", warmup=5), evaluate=scores(3.0, 4.0, 2.0))
    list(through.run())
    trainer = make_trainer(
        make_learner(schedule="plateau", warmup=5), evaluate=scores(3.0, 4.0, 2.0), clock=Leaping(*leaps)
    )
    told = list(trainer.run())
    whole, mine = weights_of(through), weights_of(trainer)
    assert all(np.array_equal(whole[name], mine[name]) for name in whole)
    steps = of_kind(told, "train")
    assert steps
    for event in steps:
        assert event.steps_planned == 20
        assert 0 <= event.seconds_left < math.inf
        assert 0 <= event.characters_per_second < math.inf
    for event in told:
        json.dumps(event.to_record(), allow_nan=False)


def test_a_clock_that_leaps_ends_a_training_by_time_and_saves_it(make_learner, make_trainer):
    keeper = Notebook()
    trainer = make_trainer(
        make_learner(steps=None, minutes=1.0), keeper=keeper, evaluate=scores(1.0), clock=Leaping(DAY)
    )
    assert list(trainer.run())[-1].reason == "minutes"
    assert keeper.captures[-1][0].progress["steps"] == trainer.learner.steps > 0


def test_a_training_that_keeps_diverging_is_given_up(make_learner, make_trainer):
    learner = make_learner()
    poison(learner, at_step=5)
    keeper = Notebook()
    events = []
    with pytest.raises(DivergedError, match=r"training diverged at step .*lower --learning-rate"):
        events.extend(make_trainer(learner, keeper=keeper, evaluate=scores(1.0)).run())
    assert len(of_kind(keeper.events, "rollback")) == MOST_ROLLBACKS
    assert keeper.events[-1].reason == "diverged"
    rates = [event.learning_rate for event in of_kind(keeper.events, "rollback")]
    assert all(later == pytest.approx(earlier / 2) for earlier, later in itertools.pairwise(rates))


def explode(learner, step):
    """The update of one step, the first time that it is done, leaves weights that know less than nothing."""
    update, done = learner._update, []

    def exploding(gradients, norm):
        update(gradients, norm)
        if learner.steps == step - 1 and not done:
            done.append(True)
            with torch.no_grad():
                learner.model.output_weight.mul_(1e4)

    learner._update = exploding


@pytest.mark.parametrize("every", [{"evaluate_every": 4}, {"checkpoint_every": 4, "evaluate_every": 1000}])
def test_weights_that_exploded_are_not_what_it_goes_back_to(make_learner, make_trainer, every):
    """The loss of a step is of the weights before it: an evaluation right after a bad one was taken for good, and came
    back to until all tries were spent."""
    learner = make_learner(steps=12, schedule="constant", **every)
    explode(learner, step=8)
    keeper = Notebook()
    events = list(make_trainer(learner, keeper=keeper, evaluate=scores(1.0)).run())
    (rollback,) = of_kind(events, "rollback")
    assert rollback.step == 4
    assert "a step raised the loss of its own window from" in rollback.reason
    assert events[-1].reason == "steps"
    assert all(np.abs(capture.weights["output_weight"]).max() < 100 for capture, _ in keeper.captures)


def test_a_training_that_is_stopped_behind_a_bad_step_does_not_save_it(make_learner, make_trainer):
    learner = make_learner(steps=12, schedule="constant", evaluate_every=1000)
    explode(learner, step=6)
    keeper = Notebook()
    trainer = make_trainer(learner, keeper=keeper, evaluate=scores(1.0))
    update = learner._update

    def stopped(gradients, norm):
        update(gradients, norm)
        if learner.steps == 5:
            trainer.request_stop()

    learner._update = stopped
    events = list(trainer.run())
    assert of_kind(events, "rollback")
    assert all(np.abs(capture.weights["output_weight"]).max() < 100 for capture, _ in keeper.captures)


def test_looking_back_changes_nothing(make_learner):
    """Neither what is drawn nor what is carried: a training that was looked at ends with the numbers of one that was
    not."""
    settings = {"model": {"dropout": 0.2, "dropout_recurrent": 0.1}, "ema": 0.9}
    alone, looked_at = make_learner(**settings), make_learner(**settings)
    for _ in range(3):
        alone.step(0.01)
        result = looked_at.step(0.01)
        before, after = looked_at.last_window()
        assert before == result.loss
        assert abs(after - before) < 1.0
    for name, array in alone.capture().training.items():
        assert np.array_equal(array, looked_at.capture().training[name]), name


def test_a_rate_far_too_high_is_noticed_and_survived(make_learner, make_trainer):
    """A real divergence: plain descent at a rate of 500 without clipping, halved until it holds."""
    learner = make_learner(
        {"dropout": 0.0}, steps=40, optimizer="sgd", learning_rate=500.0, clip_norm=0, schedule="constant"
    )
    try:
        events = list(make_trainer(learner, evaluate=scores(1.0)).run())
    except DivergedError:
        return
    assert of_kind(events, "rollback")


def test_a_failed_save_is_told_tried_again_and_ends_in_an_error(make_learner, make_trainer):
    keeper = Notebook(fail=True)
    trainer = make_trainer(make_learner(), keeper=keeper, evaluate=scores(1.0))
    with pytest.raises(OutputError, match="disk full"):
        list(trainer.run())
    failures = of_kind(keeper.events, "save")
    assert len(failures) >= 10
    assert all("disk full" in event.reason for event in failures)
    assert keeper.events[-1].reason == "steps"  # training itself went to its end


def test_a_save_that_works_again_makes_good(make_learner, make_trainer):
    keeper = Notebook(fail=True)
    trainer = make_trainer(make_learner(), keeper=keeper, evaluate=scores(1.0))
    for event in trainer.run():
        keeper.fail = event.step < 10
    assert keeper.captures[-1][0].progress["steps"] == 20


def test_a_best_that_could_not_be_saved_is_none_for_those_that_follow(make_learner, make_trainer):
    """Else eval and generate would take an older, worse checkpoint than what is there."""
    keeper = Notebook()
    learner = make_learner(steps=20, evaluate_every=5)
    trainer = make_trainer(learner, keeper=keeper, evaluate=scores(3.0, 1.0, 2.0, 2.5))
    for event in trainer.run():
        keeper.fail = 5 <= event.step < 10
        if event.kind == "evaluate" and event.step == 10:
            keeper.fail = True
        if event.kind == "save_failed":
            keeper.fail = False
    saved = {capture.progress["steps"]: best for capture, best in keeper.captures}
    assert [event.best for event in of_kind(keeper.events, "evaluate")] == [True, True, True, False]
    assert saved == {15: True, 20: False}


def test_a_best_that_could_not_be_saved_is_none_after_going_back_either(make_learner, make_trainer):
    keeper = Notebook(fail=True)
    learner = make_learner(steps=15, evaluate_every=5)
    trainer = make_trainer(learner, keeper=keeper, evaluate=scores(1.0, math.nan, 2.0, 3.0))
    for event in trainer.run():
        keeper.fail = event.step < 5 or (event.kind == "evaluate" and event.step == 5)
    assert [event.step for event in of_kind(keeper.events, "rollback")] == [5]
    assert {capture.progress["steps"]: best for capture, best in keeper.captures} == {10: True, 15: False}


def test_weights_whose_validation_loss_is_no_number_are_not_saved_and_not_gone_back_to(make_learner, make_trainer):
    """The loss of the step before was of the weights before; what a way back leads to has to be sound."""
    keeper = Notebook()
    trainer = make_trainer(make_learner(steps=20, evaluate_every=5), keeper=keeper, evaluate=scores(2.0, math.nan, 1.0))
    events = list(trainer.run())
    told = [(event.kind, event.step) for event in events if event.kind in ("evaluate", "save", "rollback")]
    assert told == [
        ("evaluate", 5), ("save", 5),
        ("evaluate", 10), ("rollback", 5),
        ("evaluate", 10), ("save", 10),
        ("evaluate", 15), ("save", 15),
        ("evaluate", 20), ("save", 20),
    ]  # fmt: skip
    assert "validation loss is not a finite number" in of_kind(events, "rollback")[0].reason
    with pytest.raises(DivergedError, match="validation loss is not a finite number"):
        list(make_trainer(make_learner(steps=20, evaluate_every=5), evaluate=scores(math.nan)).run())


def test_without_a_validation_split_training_still_saves(make_learner, make_trainer):
    keeper = Notebook()
    events = list(make_trainer(make_learner(steps=40), keeper=keeper).run())
    assert "evaluate" not in kinds(events)
    assert [capture.progress["steps"] for capture, _ in keeper.captures] == list(range(4, 41, 4))


def test_time_before_the_first_step_is_no_warmup(make_learner, make_trainer):
    clock = Clock(tick=0.0)
    trainer = make_trainer(make_learner(steps=None, minutes=1.0, warmup=50, learning_rate=1.0), clock=clock)
    clock.now = 20.0  # a third of the budget went into reading the text
    events = trainer.run()
    clock.tick = 0.2
    first = next(event for event in events if event.kind == "train")
    assert first.learning_rate < 0.15


def test_time_before_the_first_step_takes_nothing_of_the_schedule(make_learner, make_trainer):
    """Compiling takes long: the rate falls from its height all the same, also in a run that is taken up again."""
    settings = {"steps": None, "minutes": 1.0, "warmup": 0, "learning_rate": 1.0, "schedule": "linear"}
    clock, keeper = Clock(tick=0.0), Notebook()
    trainer = make_trainer(make_learner(**settings), keeper=keeper, clock=clock)
    clock.now, trainer.stop_requested = 20.0, True
    list(trainer.run())
    assert trainer.learning_rate() == pytest.approx(1.0)
    clock.now += 20.0
    assert trainer.learning_rate() == pytest.approx(0.5, abs=0.01)
    again = make_trainer(make_learner(**settings), clock=(later := Clock(tick=0.0)))
    again.restore(keeper.captures[-1][0])
    later.now += 20.0
    assert again.learning_rate() == pytest.approx(0.5, abs=0.01)


def test_steps_are_not_moved_by_the_time_before_the_first(make_learner, make_trainer):
    clock = Clock(tick=0.0)
    settings = {"steps": 100, "minutes": 1.0, "warmup": 0, "learning_rate": 1.0, "schedule": "linear"}
    trainer = make_trainer(make_learner(**settings), clock=clock)
    clock.now = 20.0
    for event in trainer.run():
        trainer.stop_requested = trainer.stop_requested or event.step >= 50
    assert trainer.learner.steps == 50
    assert trainer.learning_rate() == pytest.approx(0.5, abs=0.01)


def test_a_longer_end_is_evaluated_and_saved_on_the_way(make_learner, make_trainer):
    keeper = Notebook()
    list(make_trainer(make_learner(steps=20), keeper=keeper, evaluate=scores(1.0)).run())
    again = make_trainer(make_learner(steps=200), evaluate=scores(1.0))
    again.restore(keeper.captures[-1][0])
    again.lengthen()
    steps = [event.step for event in again.run() if event.kind == "evaluate"]
    assert steps == list(range(40, 201, 20))


@pytest.mark.parametrize("settings", [{"schedule": "plateau", "evaluate_every": 5}, {}])
def test_a_stop_in_a_step_that_is_due_for_evaluation_loses_nothing(make_learner, make_trainer, settings):
    through = make_trainer(make_learner(**settings), evaluate=scores(3.0, 4.0, 5.0))
    list(through.run())

    keeper = Notebook()
    learner = make_learner(**settings)
    first = make_trainer(learner, keeper=keeper, evaluate=scores(3.0, 4.0, 5.0))
    stop_after(9, learner, first)
    list(first.run())
    again = make_trainer(make_learner(**settings), evaluate=scores(5.0))
    again.restore(keeper.captures[-1][0])
    list(again.run())
    whole, resumed = weights_of(through), weights_of(again)
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    assert through.standing.rate_scale == again.standing.rate_scale


def test_a_stop_in_the_last_step_leaves_out_nothing_that_is_due_then(make_learner, make_trainer):
    """Nobody would come back for it: the training is complete."""
    learner = make_learner(steps=23, evaluate_every=10)
    trainer = make_trainer(learner, evaluate=scores(3.0, 2.0, 1.0))
    stop_after(22, learner, trainer)
    events = list(trainer.run())
    assert [event.step for event in events if event.kind == "evaluate"] == [10, 20, 23]
    assert trainer.standing.best_nats == 1.0


@pytest.mark.parametrize(("nats", "told"), [(0.0, (0.0, 1.0, 0.0)), (None, (None, None, None))])
def test_a_loss_of_nothing_is_a_figure_and_no_loss_is_none(make_learner, make_trainer, nats, told):
    score = Score(total_nats=0.0, tokens=0 if nats is None else 10, characters=0 if nats is None else 10, bytes=10)
    trainer = make_trainer(make_learner(steps=1), evaluate=lambda model, symbols: score)
    record = next(event for event in trainer.run() if event.kind == "evaluate").to_record()
    assert (record["validation_nats"], record["perplexity"], record["bits_per_character"]) == told
