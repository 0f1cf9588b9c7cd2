"""The training loop: steps, evaluations, checkpoints, rollbacks and the end, told as events.

The trainer prints nothing and opens no file: what it evaluates with, samples with and saves to is
handed in.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from charlm.config import TrainingConfig
from charlm.errors import DivergedError, OutputError, RunError
from charlm.evaluation.score import Score
from charlm.models import LanguageModel
from charlm.registry import lookup
from charlm.training.events import (
    Evaluated,
    Event,
    RolledBack,
    Sampled,
    Saved,
    SaveFailed,
    Stepped,
    Stopped,
)
from charlm.training.learner import Arrays, Capture, Learner, StepResult
from charlm.training.pace import Pace, last_scoring
from charlm.training.schedules import PLATEAU_DIVISOR, SCHEDULES, warmup_factor
from charlm.training.standing import Standing
from charlm.training.watch import LossWatch

# How often the outside hears of steps, in seconds.
REPORT_INTERVAL = 0.5
# How many times a training may be rolled back before it is given up.
MOST_ROLLBACKS = 5


class Keeper(Protocol):
    """Where checkpoints and the log of events go; a run folder.

    Attributes:
        trouble: why an event could not be logged, the first time that happened.
    """

    trouble: str | None

    def save_capture(self, capture: Capture, *, best: bool) -> Path:
        """Write a checkpoint, or raise `OutputError`."""

    def record(self, event: Event) -> None:
        """Append to the log."""


class Trainer:
    """Runs a `Learner` from where it stands to the end that its pace sets.

    Args:
        evaluate: scores a model on so many symbols of the validation split; None where there is none.
        sample: makes a short text of weights; None for no samples.
        final_tokens: tokens scored after the last step, to keep time for them.
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
        evaluate: Callable[[LanguageModel, int], Score] | None,
        sample: Callable[[Arrays], str] | None,
        final_tokens: int,
        clock: Callable[[], float],
        started: float,
    ) -> None:
        self.learner, self.config, self.keeper, self.pace = learner, config, keeper, pace
        self.evaluate, self.sample, self.final_tokens = evaluate, sample, final_tokens
        self.schedule = lookup(SCHEDULES, config.schedule, "schedule")
        self.clock, self.started = clock, started
        self.watch = LossWatch()
        self.standing = Standing()
        self.stop_requested = False
        self._unsaved: OutputError | None = None
        self._checkpoint: Path | None = None
        self._validation_nats: float | None = None
        self._good: Capture | None = None
        self._reported = (self.clock(), learner.characters)
        self._saved_step: int | None = None
        # how far the time before the first step, for reading the text, had brought the position
        self._first_position = 0.0
        self._stepping = (0, 0.0)  # steps of this sitting, and the seconds they took
        self._fastest = math.inf  # seconds of one step
        self._result: StepResult | None = None  # of the last step that is known

    def request_stop(self) -> None:
        """Finish the step, save, and end. Safe to call from a signal handler."""
        self.stop_requested = True

    def capture(self) -> Capture:
        """The learner's capture with the trainer's own standing in it: all that resuming needs."""
        capture = self.learner.capture()
        standing = dataclasses.replace(self.standing, seconds=self.seconds())
        progress = capture.progress | {"standing": standing.to_json(), "watch": self.watch.state_dict()}
        return dataclasses.replace(capture, progress=progress)

    def restore(self, capture: Capture) -> None:
        """Go on from what `capture` gave. Raises `RunError` where it is incomplete."""
        self.learner.restore(capture)
        try:
            self.standing = Standing.from_json(capture.progress["standing"])
            self.watch.load_state_dict(capture.progress["watch"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"checkpoint: progress is incomplete: {error!r}") from None
        self._keep_free(self.standing.reserve)
        self._reported = (self.clock(), self.learner.characters)
        self._saved_step = self.learner.steps

    def lengthen(self) -> None:
        """After `restore`, when the end is another than before: count evaluations and patience by the new one."""
        position = self.pace.position(self.learner.steps, self.seconds())
        self.standing.evaluations = int(position * self.pace.evaluations())
        self.standing.without_improvement = 0

    def seconds(self) -> float:
        """Training time over all sittings."""
        return self.standing.seconds + self.clock() - self.started

    def learning_rate(self) -> float:
        """The rate of the next step."""
        position = self.pace.position(self.learner.steps, self.seconds())
        since_first_step = position - self._first_position
        factor = warmup_factor(self.learner.steps, since_first_step, self.config.warmup) * self.schedule(position)
        return self.config.learning_rate * factor * self.standing.rate_scale

    def run(self) -> Iterator[Event]:
        """Train to the end, yielding what happens.

        Raises:
            DivergedError: the loss left the rails more often than `MOST_ROLLBACKS`.
            OutputError: the last checkpoint could not be written.
        """
        self._good = self.capture()
        if self.learner.steps == 0:
            self._first_position = self.pace.position(0, self.seconds())
        reason = None
        while reason is None:
            rate = self.learning_rate()
            begun = self.clock()
            results = self.learner.advance(rate)
            spent = self.clock() - begun
            self._stepping = (self._stepping[0] + 1, self._stepping[1] + spent)
            reason = self._ending()
            # what is due is done even when told to stop: a resumed training must not have missed it
            due = self._due(last=reason not in (None, "interrupted"))
            if reason or any(due):
                results += self.learner.settle()
            self._fastest = min([self._fastest, *(spent if r.seconds is None else r.seconds for r in results)])
            trouble = self._judge(results)
            if trouble is None:
                if self._result and (reason or self.clock() - self._reported[0] >= REPORT_INTERVAL):
                    yield self._tell(self._stepped(rate, self._result))
                yield from self._look_up(*due)
                reason = reason or self._ending()
                # a training must not end on steps that nobody has looked at
                trouble = self._judge(self.learner.settle()) if reason else None
            if trouble is not None:
                yield from self._roll_back(trouble)
                reason = None
        yield from self._finish(reason)

    def _judge(self, results: list[StepResult]) -> str | None:
        """What is wrong with the first of these steps that went wrong, in words."""
        for self._result in results:
            trouble = self.watch.trouble(self._result.loss, self._result.gradient_norm)
            if trouble is not None:
                return trouble
        return None

    def _ending(self) -> str | None:
        if self.stop_requested:
            return "interrupted"
        if self.config.patience is not None and self.standing.without_improvement >= self.config.patience:
            return "patience"
        return self.pace.ended(self.learner.steps, self.seconds())

    def _finish(self, reason: str) -> Iterator[Event]:
        if self._saved_step != self.learner.steps:
            yield from self._save(self.capture(), best=False)
        yield self._tell(
            Stopped(**self.where(), reason=reason, validation_nats=self._validation_nats, checkpoint=self._checkpoint)
        )
        if self._unsaved is not None:
            raise self._unsaved

    def _due(self, *, last: bool) -> tuple[bool, bool, bool]:
        """Whether it is time to evaluate, to save, and to sample."""
        step = self.learner.steps
        evaluate = last or self._evaluation_is_due()
        save, sample = self.config.checkpoint_every, self.config.sample_every
        return (
            evaluate,
            last or (evaluate if save is None else step % save == 0),
            self.sample is not None and (evaluate if sample is None else step % sample == 0),
        )

    def _look_up(self, evaluated: bool, saved: bool, sampled: bool) -> Iterator[Event]:
        """Between two steps: evaluate, save and sample where it is time to."""
        best = False
        if evaluated:
            self.standing.evaluations = self._evaluations_until_now()
        if evaluated and self.evaluate is not None:
            event = self._evaluate(self.evaluate)
            best = event.best
            yield self._tell(event)
        if saved or best:
            self._good = self.capture()
            yield from self._save(self._good, best=best)
        if sampled and self.sample is not None:
            with self.learner.averaged() as model:
                text = self.sample(model.to_arrays())
            yield Sampled(**self.where(), text=text)
        if evaluated:
            # time spent here is no training speed
            self._reported = (self.clock(), self.learner.characters)

    def _evaluation_is_due(self) -> bool:
        if self.config.evaluate_every is not None:
            return self.learner.steps % self.config.evaluate_every == 0
        position = self.pace.position(self.learner.steps, self.seconds())
        return position * self.pace.evaluations() >= self.standing.evaluations + 1

    def _evaluate(self, evaluate: Callable[[LanguageModel, int], Score]) -> Evaluated:
        if not self.standing.evaluated_symbols:
            # settled once, so that all losses are of the same text; the first steps are slow, the fastest is not
            self.standing.evaluated_symbols = self.pace.evaluation_symbols(
                self.pace.tokens_per_step(self.config), self._fastest, self.config.evaluate_every
            )
        begun = self.clock()
        with self.learner.averaged() as model:
            score = evaluate(model, self.standing.evaluated_symbols)
        nats = score.nats_per_token
        nats = math.nan if nats is None else nats
        best = nats < self.standing.best_nats  # never true for nan
        self.standing.without_improvement = 0 if best else self.standing.without_improvement + 1
        if best:
            self.standing.best_nats = nats
        elif self.config.schedule == "plateau":
            self.standing.rate_scale /= PLATEAU_DIVISOR
        self._validation_nats = nats
        self._keep_free(last_scoring(self.clock() - begun, score.tokens, self.final_tokens))
        return Evaluated(
            **self.where(),
            train_nats=math.nan if self.watch.smoothed is None else self.watch.smoothed,
            validation_nats=nats,
            perplexity=score.perplexity or math.nan,
            bits_per_character=score.bits_per_character or math.nan,
            best=best,
        )

    def _keep_free(self, seconds: float) -> None:
        """So much of a time budget is for what comes after the last step."""
        self.standing.reserve = seconds
        self.pace = self.pace.keeping(seconds)

    def _evaluations_until_now(self) -> int:
        position = self.pace.position(self.learner.steps, self.seconds())
        return max(self.standing.evaluations + 1, int(position * self.pace.evaluations()))

    def _save(self, capture: Capture, *, best: bool) -> Iterator[Event]:
        try:
            self._checkpoint = self.keeper.save_capture(capture, best=best)
        except OutputError as error:
            self._unsaved = error
            yield self._tell(SaveFailed(**self.where(), reason=str(error)))
            return
        self._unsaved, self._saved_step = None, self.learner.steps
        yield self._tell(Saved(**self.where(), checkpoint=self._checkpoint, best=best))

    def _roll_back(self, reason: str) -> Iterator[Event]:
        rollbacks, scale, seconds = self.standing.rollbacks + 1, self.standing.rate_scale / 2, self.seconds()
        if rollbacks > MOST_ROLLBACKS or self._good is None:
            yield self._tell(
                Stopped(
                    **self.where(),
                    reason="diverged",
                    validation_nats=self._validation_nats,
                    checkpoint=self._checkpoint,
                )
            )
            raise DivergedError(
                f"training diverged at step {self.learner.steps}: {reason}, after {MOST_ROLLBACKS} rollbacks; "
                "try a lower --learning-rate or --clip-norm 1"
            )
        self.restore(self._good)
        self.standing.rollbacks, self.standing.rate_scale = rollbacks, scale
        self.standing.seconds, self.started = seconds, self.clock()
        yield self._tell(
            RolledBack(
                **self.where(),
                reason=reason,
                learning_rate=self.learning_rate(),
                retries_left=MOST_ROLLBACKS - rollbacks,
            )
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
        now, (then, characters) = self.clock(), self._reported
        self._reported = (now, self.learner.characters)
        steps, spent = self._stepping
        standing = (self.learner.steps, self.seconds(), spent / steps)
        return Stepped(
            **self.where(),
            steps_planned=self.pace.planned_steps(*standing),
            seconds_left=self.pace.seconds_left(*standing),
            characters_per_second=(self.learner.characters - characters) / max(now - then, 1e-9),
            learning_rate=rate,
            gradient_norm=result.gradient_norm,
            train_nats=result.loss if self.watch.smoothed is None else self.watch.smoothed,
        )

    def _tell(self, event: Event) -> Event:
        self.keeper.record(event)
        return event
