"""A search from rung to rung, told as events. What it needs to go on after a kill is on disk at every moment."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

from charlm.corpora import Progress
from charlm.errors import (
    ConfigError,
    CorpusError,
    DivergedError,
    OutputError,
    RunError,
    UnavailableError,
    is_out_of_memory,
)
from charlm.evaluation import remembered_baselines
from charlm.evaluation.score import Score
from charlm.runs import Run, open_run, open_run_data
from charlm.runs.files import shown
from charlm.runs.lock import Held, hold
from charlm.sweeps import folder as files
from charlm.sweeps.events import RungBegan, SweepEnded, SweepEvent, TrialBegan, TrialEnded, TrialEvent
from charlm.sweeps.folder import Outcome, Search, run_name
from charlm.sweeps.trial import MOST_SCORED, open_trial, score_trial
from charlm.timing import counted_time
from charlm.training import Training
from charlm.training.events import Stopped


class Sweep:
    """A search that is ready to run.

    Attributes:
        folder: where it is.
        search: what it searches.
        outcomes: what came out so far, oldest first.
        notices: lines for the user from before the first trial.
    """

    def __init__(
        self,
        folder: Path,
        search: Search,
        outcomes: Sequence[Outcome] = (),
        *,
        notices: Sequence[str] = (),
        progress: Progress | None = None,
        clock: Callable[[], float] = counted_time,
    ) -> None:
        self.folder, self.search = folder, search
        self.outcomes, self.notices = list(outcomes), list(notices)
        self._progress, self._clock = progress, clock
        self._stop_requested = False
        self._training: Training | None = None

    def request_stop(self) -> bool:
        """Finish the step, save and end. Safe to call from a signal handler.

        Returns:
            False where there is no step to finish: between trainings all is on disk, and what is under way may be
            cut short.
        """
        self._stop_requested = True
        return self._training is not None and self._training.request_stop()

    def ranking(self) -> list[Outcome]:
        """How each trial stands, the best first; what diverged or failed last."""
        return sorted({one.trial: one for one in self.outcomes}.values(), key=lambda one: one.rank)

    def best_run(self) -> Run:
        """The run of the best trial; its settings train it in one go.

        Raises:
            DivergedError: all of them diverged.
            ConfigError: none could be trained.
        """
        best = self.ranking()[0]
        if best.status != "trained":
            kind = DivergedError if any(one.status == "diverged" for one in self.outcomes) else ConfigError
            raise kind(f"no trial of sweep {shown(self.folder.name)} could be trained: {best.reason}")
        return open_run(self.folder / best.run)

    def baselines(self) -> dict[str, float]:
        """Nats per character by name, of what the trials are compared on; none where the text cannot be had.

        Raises:
            DivergedError, ConfigError: as `best_run`.
        """
        run = self.best_run()
        try:
            data = open_run_data(run)
        except (ConfigError, CorpusError, OutputError):
            return {}
        known = remembered_baselines(data, "validation", MOST_SCORED)
        return {name: score.nats_per_character for name, score in known.items() if score.nats_per_character is not None}

    def events(self) -> Iterator[SweepEvent]:
        """Search, holding the folder's lock.

        Raises:
            DivergedError, ConfigError: as `best_run`.
            RunInUseError: another process runs this sweep.
            RunError: this machine lacks a device or kernels that the trials are to have.
            CharlmError: what ends a training ends a sweep too, but for a divergence and settings that do not fit.
        """
        done = {(one.trial, one.rung) for one in self.outcomes}
        with hold(self.folder, time.time) as held:
            for rung, end in enumerate(self.search.plan.ends, start=1):
                trials = self._trials_of(rung)
                yield RungBegan(rung=rung, trials=trials, end=end)
                for place, trial in enumerate(trials, start=1):
                    if (trial, rung) in done:
                        continue
                    if self._stop_requested or not (yield from self._train(trial, rung, place, end, held)):
                        yield SweepEnded(interrupted=True)
                        return
        self.best_run()
        yield SweepEnded(interrupted=False)

    def _trials_of(self, rung: int) -> tuple[int, ...]:
        """The trials of a rung: all of them in the first, then the best of the one before."""
        if rung == 1:
            return tuple(range(1, len(self.search.trials) + 1))
        before = sorted((one for one in self.outcomes if one.rung == rung - 1), key=lambda one: one.rank)
        sound = [one.trial for one in before if one.status == "trained"]
        return tuple(sound[: self.search.plan.sizes[rung - 1]])

    def _train(self, trial: int, rung: int, place: int, end: float, held: Held) -> Generator[SweepEvent, None, bool]:
        """A trial as far as the rung's end; returns whether it came there."""
        with files.writing(self.folder, held):
            pass  # nothing is trained in what is another's
        spent = max((one.seconds for one in self.outcomes if one.trial == trial), default=0.0)
        begun = self._clock()
        try:
            training, unfinished = open_trial(
                self.folder, self.search, trial, end, spent, progress=self._progress, clock=self._clock
            )
            self._training = training
            yield TrialBegan(trial=trial, rung=rung, place=place, training=training)
            if self._stop_requested:
                training.request_stop()
            if unfinished and (yield from _let_go_on(training)) == "interrupted":
                return False
            outcome = self._scored(trial, rung, training, score_trial(training))
        except DivergedError as error:
            outcome = self._lost(trial, rung, "diverged", str(error), spent + self._clock() - begun, self._step())
        except UnavailableError as error:
            # no fault of the trial's settings, and all others would fail with it
            raise RunError(f"sweep {shown(self.folder.name)} cannot go on here: {error.what}") from None
        except (ConfigError, MemoryError, RuntimeError) as error:
            if not isinstance(error, ConfigError) and not is_out_of_memory(error):
                raise
            reason = str(error) if isinstance(error, ConfigError) else "out of memory"
            outcome = self._lost(trial, rung, "failed", reason, spent + self._clock() - begun, self._step())
        finally:
            self._training = None
        files.append(self.folder, outcome, held)
        self.outcomes.append(outcome)
        yield TrialEnded(outcome=outcome)
        return True

    def _step(self) -> int:
        """Of the trial that is under way; 0 where it could not be opened."""
        return 0 if self._training is None else self._training.trainer.learner.steps

    def _scored(self, trial: int, rung: int, training: Training, score: Score | None) -> Outcome:
        seconds, step = training.trainer.seconds(), training.trainer.learner.steps
        nats = score.nats_per_character if score else None
        if score is None or nats is None or not math.isfinite(nats):
            return self._lost(trial, rung, "diverged", "its loss is not a number", seconds, step)
        lost = self._lost(trial, rung, "trained", None, seconds, step)
        return dataclasses.replace(lost, nats_per_character=nats, bits_per_character=score.bits_per_character)

    def _lost(self, trial: int, rung: int, status: str, reason: str | None, seconds: float, step: int) -> Outcome:
        """An outcome without a loss."""
        return Outcome(
            trial=trial,
            rung=rung,
            run=run_name(trial),
            values=self.search.trials[trial - 1],
            status=status,
            reason=reason,
            step=step,
            seconds=seconds,
            nats_per_character=None,
            bits_per_character=None,
        )


def _let_go_on(training: Training) -> Generator[SweepEvent, None, str]:
    """The events of a training as far as the rung's end; returns why it ended."""
    reason = ""
    for event in training.events():
        yield TrialEvent(event=event)
        if isinstance(event, Stopped):
            reason = event.reason
            # what comes behind the last step of a run is not worth its time in one that may be given up
            training.request_stop()
    return reason
