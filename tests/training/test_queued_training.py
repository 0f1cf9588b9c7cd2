"""A training whose steps are queued tells and saves what one tells and saves that waits for each step."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from charlm.evaluation.score import Score
from charlm.training.pace import Pace
from charlm.training.trainer import Trainer

SCORE = Score(total_nats=10.0, tokens=10, characters=10, bytes=10)


class Forgetful:
    """Keeps nothing but the captures."""

    trouble = None

    def __init__(self):
        self.captures = []

    def save_capture(self, capture, *, best):
        self.captures.append(capture)
        return Path("step")

    def record(self, event):
        pass


def poison(learner, at):
    """From now on, let the state not be finite when step `at` begins for the first time."""
    advance, done = learner.advance, []

    def poisoned(rate):
        if learner.steps == at and not done:
            done.append(at)
            learner.state[0].hidden[0, 0] = float("nan")
        return advance(rate)

    learner.advance = poisoned


def make_trainer(learner, clock=lambda: 0.0):
    return Trainer(
        learner,
        learner.config,
        keeper=Forgetful(),
        pace=Pace.of(learner.config, 399),
        evaluate=lambda model, symbols: SCORE,
        sample=None,
        time_last_scoring=lambda model: 0.0,
        clock=clock,
        started=0.0,
    )


def test_a_training_that_is_queued_ends_as_one_that_is_not(make_learner):
    settings = {"steps": 30, "evaluate_every": 7, "checkpoint_every": 5, "ema": 0.9}
    told = []
    for queued in (False, True):
        trainer = make_trainer(make_learner(queued=queued, **settings))
        events = [(event.kind, event.step) for event in trainer.run() if event.kind != "train"]
        told.append((events, trainer.capture().progress))
    (events, progress), (queued_events, queued_progress) = told
    assert queued_events == events
    watch, queued_watch = progress.pop("watch"), queued_progress.pop("watch")
    assert queued_watch == pytest.approx(watch, abs=1e-5)
    for both in (progress, queued_progress):
        both["standing"].pop("seconds"), both["standing"].pop("reserve")
        both["standing"].pop("evaluated_symbols", None)
    assert queued_progress == progress


@pytest.mark.parametrize("at", [10, 17, 28])
def test_a_queued_training_goes_back_before_it_saves_what_went_wrong(make_learner, at):
    """The fault is known steps after it was queued; in the end, or before a checkpoint, it is waited for."""
    learner = make_learner(queued=True, steps=30, evaluate_every=10)
    poison(learner, at)
    trainer = make_trainer(learner)
    events = list(trainer.run())
    back = [event for event in events if event.kind == "rollback"]
    assert [event.step for event in back] == [at // 10 * 10]
    assert events[-1].reason == "steps"
    for capture in trainer.keeper.captures:
        assert all(np.isfinite(array).all() for array in (capture.weights | capture.training).values())


def test_a_queued_training_that_is_stopped_saves_no_step_that_nobody_looked_at(make_learner):
    learner = make_learner(queued=True, steps=30, evaluate_every=10)
    poison(learner, 14)
    seconds = itertools.count()
    trainer = make_trainer(learner, clock=lambda: float(next(seconds)))
    events = []
    for event in trainer.run():
        events.append(event)
        if event.kind == "train" and event.step == 16:
            trainer.request_stop()
    assert [event.step for event in events if event.kind == "rollback"] == [10]
    assert events[-1].reason == "interrupted"
    assert len(trainer.keeper.captures) == 2
    for capture in trainer.keeper.captures:
        assert all(np.isfinite(array).all() for array in (capture.weights | capture.training).values())
