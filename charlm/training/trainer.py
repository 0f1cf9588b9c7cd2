"""The training loop: steps, evaluations, checkpoints, rollbacks and the end, told as events.

The trainer prints nothing and opens no file: what it evaluates with, samples with and saves to is handed in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator
from typing import Any

from charlm.config import TrainingConfig
from charlm.errors import DivergedError, RunError
from charlm.models import LanguageModel
from charlm.registry import lookup
from charlm.training.evaluations import Evaluate, Finding, done_by, evaluate_now, is_due
from charlm.training.events import Event, RolledBack, Sampled, Saved, SaveFailed, Stepped, Stopped
from charlm.training.keeper import Keeper, Saves
from charlm.training.learner import Arrays, Capture, Learner, StepResult
from charlm.training.pace import Pace, after_the_last_step
from charlm.training.rails import MOST_ROLLBACKS, Rails, after_rollback
from charlm.training.schedules import SCHEDULES, warmup_factor
from charlm.training.speed import Speed
from charlm.training.standing import Standing


class Trainer:
    """Runs a `Learner` from where it stands to the end that its pace sets.

    Args:
        evaluate: scores a model on so many symbols of the validation split; None where there is none.
        sample: makes a short text of weights; None for no samples.
        time_last_scoring: seconds that the scoring after the last step will take of such a model, to keep time for it.
        clock: seconds, monotonic.
        started: when this sitting began on that clock; time before the first step counts too.
    """

    def __init__(
        self,
        learner: Learner,
        config: TrainingConfig,
        *,
        keeper: Keeper,
        pace: Pace,
        evaluate: Evaluate | None,
        sample: Callable[[Arrays], str] | None,
        time_last_scoring: Callable[[LanguageModel], float],
        clock: Callable[[], float],
        started: float,
    ) -> None:
        self.learner, self.config, self.keeper, self.pace = learner, config, keeper, pace
        self.evaluate, self.sample, self.time_last_scoring = evaluate, sample, time_last_scoring
        self.schedule = lookup(SCHEDULES, config.schedule, "schedule")
        self.clock, self.started = clock, started
        self.rails = Rails()
        self.standing = Standing()
        self.stop_requested = False
        self.saves = Saves(keeper)
        self._validation_nats: float | None = None
        self._last_scoring: float | None = None  # its seconds
        self.speed = Speed(clock, learner.characters)

    def request_stop(self) -> None:
        """Finish the step, save, and end. Safe to call from a signal handler."""
        self.stop_requested = True

    def capture(self) -> Capture:
        """The learner's capture with the trainer's own standing in it: all that resuming needs."""
        capture = self.learner.capture()
        standing = dataclasses.replace(self.standing, seconds=self.seconds())
        progress = capture.progress | {"standing": standing.to_json(), "watch": self.rails.watch.state_dict()}
        return dataclasses.replace(capture, progress=progress)

    def restore(self, capture: Capture) -> None:
        """Go on from what `capture` gave. Raises `RunError` where it is incomplete."""
        self.learner.restore(capture)
        try:
            self.standing = Standing.from_json(capture.progress["standing"])
            self.rails.watch.load_state_dict(capture.progress["watch"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"checkpoint: progress is incomplete: {error!r}") from None
        self._keep_free(self.standing.reserve)
        self.speed.begin(self.learner.characters)
        self.saves.step = self.learner.steps

    def lengthen(self) -> None:
        """After `restore`, when the end is another than before: count evaluations and patience by the new one."""
        self.standing.evaluations = int(self.position() * self.pace.evaluations())
        self.standing.without_improvement = 0

    def forget_rate_scale(self) -> None:
        """After `restore`, when another rate was asked for: what rollbacks and plateaus made of the old one is over."""
        self.standing.rate_scale, self.standing.rollbacks = 1.0, 0

    def seconds(self) -> float:
        """Training time over all sittings."""
        return self.standing.seconds + self.clock() - self.started

    def position(self) -> float:
        """The share of the training that is done, in [0, 1]."""
        return self.pace.position(self.learner.steps, self.seconds())

    def learning_rate(self) -> float:
        """The rate of the next step."""
        # reading the text and compiling take of the time, but not of the schedule
        position = self.pace.position(self.learner.steps, self.seconds(), self.standing.first_step)
        factor = warmup_factor(self.learner.steps, position, self.config.warmup) * self.schedule(position)
        return self.config.learning_rate * factor * self.standing.rate_scale

    def run(self) -> Iterator[Event]:
        """Train to the end, yielding what happens.

        Raises:
            DivergedError: the loss left the rails more often than `MOST_ROLLBACKS`.
            OutputError: the last checkpoint could not be written.
        """
        if self.learner.steps == 0:
            self.standing.first_step = self.seconds()
        self.rails.renew(self.capture)
        reason = None
        while reason is None:
            rate = self.learning_rate()
            begun = self.clock()
            results = self.learner.advance(rate)
            spent = self.clock() - begun
            self.speed.count(spent)
            reason = self._ending()
            # what is due is done even when told to stop: a resumed training must not have missed it
            due = self._due(last=reason not in (None, "interrupted", "paused") or self._is_complete())
            if reason or any(due):
                results += self.learner.settle()
            self.speed.note(spent if result.seconds is None else result.seconds for result in results)
            trouble = self.rails.judge(results)
            if trouble is None:
                if self.rails.last and (reason or self.speed.is_due()):
                    yield self._tell(self._stepped(rate, self.rails.last))
                trouble = yield from self._look_up(*due, last=reason is not None)
            if trouble is None:
                reason = reason or self._ending()
                # a training must not end on steps that nobody has looked at
                trouble = self._unseen() if reason else None
            if trouble is not None:
                yield from self._roll_back(trouble)
                reason = None
        yield from self._finish(reason)

    def _unseen(self) -> str | None:
        """What is wrong with steps whose losses were not known, and with the weights after the last one."""
        return self.rails.judge(self.learner.settle()) or self.rails.look_back(self.learner.last_window())

    def _ending(self) -> str | None:
        if self.stop_requested:
            return "interrupted"
        if self.config.patience is not None and self.standing.without_improvement >= self.config.patience:
            return "patience"
        return self.pace.ended(self.learner.steps, self.seconds())

    def _is_complete(self) -> bool:
        """Whether nothing is left to train, whoever asks to stop: nobody would come back for what is due at the end."""
        return self.pace.ended(self.learner.steps, self.seconds()) not in (None, "paused")

    def _finish(self, reason: str) -> Iterator[Event]:
        self.rails.good = None  # nobody goes back any more
        if self.saves.step != self.learner.steps:
            yield from self._save(self.capture(), best=False)
        yield self._tell(self._stopped(reason))
        if self.saves.trouble is not None:
            raise self.saves.trouble

    def _due(self, *, last: bool) -> tuple[bool, bool, bool]:
        """Whether it is time to evaluate, to save, and to sample."""
        step = self.learner.steps
        evaluate = last or is_due(self.config, self.pace, self.standing, step, self.position)
        save, sample = self.config.checkpoint_every, self.config.sample_every
        return (
            evaluate,
            last or (evaluate if save is None else step % save == 0),
            self.sample is not None and (evaluate if sample is None else step % sample == 0),
        )

    def _look_up(
        self, evaluated: bool, saved: bool, sampled: bool, *, last: bool
    ) -> Generator[Event, None, str | None]:
        """Between two steps: evaluate, save and sample where it is time to. Returns what went wrong, in words."""
        best, best_before = False, self.standing.best_nats
        if (evaluated or saved) and (trouble := self.rails.look_back(self.learner.last_window())):
            return trouble  # these weights are none to save, or to come back to
        if evaluated:
            self.standing.evaluations = done_by(self.pace, self.standing, self.position())
        if evaluated and self.evaluate is not None:
            found = self._evaluate(self.evaluate, last)
            best = found.best
            yield self._tell(found.told(self.where(), self.rails.smoothed))
            if found.broken:
                return "the validation loss is not a finite number"
        if saved or best:
            yield from self._save(self.rails.renew(self.capture), best=best)
            if best and self.saves.trouble is not None:
                # what is not on the disk is no best that later ones have to beat, after going back neither
                self.standing.best_nats = best_before
                self.rails.renew(self.capture)
        if sampled and self.sample is not None:
            yield from self._sample(self.sample)
        if evaluated:
            # time spent here is no training speed
            self.speed.begin(self.learner.characters)
        return None

    def _sample(self, sample: Callable[[Arrays], str]) -> Iterator[Event]:
        with self.learner.averaged() as model:
            arrays = model.to_arrays()
        try:
            text = sample(arrays)
        except RunError:
            return  # a state may explode in a long text and in no window; the losses tell whether a step went wrong
        yield Sampled(**self.where(), text=text)

    def _evaluate(self, evaluate: Evaluate, last: bool) -> Finding:
        found = evaluate_now(
            self.learner, evaluate, self.config, self.pace, self.standing, self.speed.fastest, self.clock
        )
        self._validation_nats = found.nats
        # subtle: an end that was reached stays one, however fast the evaluation at it was
        if self.pace.seconds is not None and not last:
            if self._last_scoring is None:
                self._last_scoring = self.time_last_scoring(self.learner.model)
            self._keep_free(after_the_last_step(self._last_scoring, found.seconds))
        return found

    def _keep_free(self, seconds: float) -> None:
        """So much of a time budget is for what comes after the last step."""
        self.standing.reserve = seconds
        self.pace = self.pace.keeping(seconds)

    def _save(self, capture: Capture, *, best: bool) -> Iterator[Event]:
        checkpoint = self.saves.save(capture, best=best)
        if checkpoint is None:
            yield self._tell(SaveFailed(**self.where(), reason=str(self.saves.trouble)))
        else:
            yield self._tell(Saved(**self.where(), checkpoint=checkpoint, best=best))

    def _roll_back(self, reason: str) -> Iterator[Event]:
        before, seconds = self.standing, self.seconds()
        try:
            self.restore(self.rails.way_back(before, self.learner.steps, reason))
        except DivergedError:
            yield self._tell(self._stopped("diverged"))
            raise
        self.standing, self.started = after_rollback(self.standing, before, seconds), self.clock()
        left = MOST_ROLLBACKS - self.standing.rollbacks
        yield self._tell(
            RolledBack(**self.where(), reason=reason, learning_rate=self.learning_rate(), retries_left=left)
        )

    def where(self) -> dict[str, Any]:
        """The fields that every event has."""
        return {
            "step": self.learner.steps,
            "epoch": self.learner.lanes.epoch,
            "characters": self.learner.characters,
            "seconds": self.seconds(),
        }

    def _stepped(self, rate: float, result: StepResult) -> Stepped:
        characters_per_second = self.speed.told(self.learner.characters)
        standing = (self.learner.steps, self.seconds(), self.speed.per_step)
        return Stepped(
            **self.where(),
            steps_planned=self.pace.planned_steps(*standing),
            seconds_left=self.pace.seconds_left(*standing),
            characters_per_second=characters_per_second,
            learning_rate=rate,
            gradient_norm=result.gradient_norm,
            train_nats=self.rails.smoothed,
        )

    def _stopped(self, reason: str) -> Stopped:
        nats, checkpoint = self._validation_nats, self.saves.checkpoint
        return Stopped(**self.where(), reason=reason, validation_nats=nats, checkpoint=checkpoint)

    def _tell(self, event: Event) -> Event:
        self.keeper.record(event)
        return event
