"""How far a training has come: its end may be given in steps, epochs or minutes, whichever is first."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from charlm.config import TrainingConfig

DEFAULT_MINUTES = 3.0

# Unless told otherwise a training is evaluated this many times: often enough to see the curve,
# seldom enough to cost little.
FEWEST_EVALUATIONS = 10
MOST_EVALUATIONS = 100
STEPS_PER_EVALUATION = 1000
MINUTES_PER_EVALUATION = 1.5
# What all those evaluations together may take of a training's time, and what a symbol costs there beside one that is
# learnt from: there is no way back, but all symbols are in the output, and torch's layers compute it. On two cores with
# AVX2 it was 0.85 of the fastest step with 64 units, 0.94 with 128, 0.6 with 256 and 384; elsewhere it is not measured.
EVALUATION_SHARE = 0.05
EVALUATION_COST = 0.75
# In one evaluation, whatever its share: enough to tell better from worse, and no more than brings anything.
FEWEST_SYMBOLS, MOST_SYMBOLS = 2**13, 2**16
# The scoring after the last step may take so many times as long as it seems to, for a machine has other things to do;
# and what comes with it, the last evaluation, save and comparison of number formats, about as long as two evaluations.
# But no more than this share of a time budget is kept for all that, however long it may take.
LAST_SCORING_MARGIN, LAST_EVALUATIONS = 1.5, 2.0
LARGEST_RESERVE = 0.2


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The end of a training, and where it stands between start and end.

    Attributes:
        steps: planned steps, from `steps` and `epochs`; None where only time ends the training.
        seconds: budget of time, None for none.
        reserve: seconds of the budget kept for the last evaluation and save.
        steps_reason: which setting `steps` comes from, steps or epochs.
    """

    steps: int | None
    seconds: float | None
    reserve: float = 0.0
    steps_reason: str = "steps"

    @staticmethod
    def tokens_per_step(config: TrainingConfig) -> int:
        """Predictions that a step learns from."""
        return config.batch_size * config.window_length * config.accumulate

    @classmethod
    def of(cls, config: TrainingConfig, tokens_per_epoch: int) -> Pace:
        """The pace that `config` asks for; with no end given, `DEFAULT_MINUTES`."""
        tokens_per_step = cls.tokens_per_step(config)
        candidates = {}
        if config.steps is not None:
            candidates["steps"] = config.steps
        if config.epochs is not None:
            candidates["epochs"] = max(1, math.ceil(config.epochs * tokens_per_epoch / tokens_per_step))
        minutes = config.minutes
        if minutes is None and not candidates:
            minutes = DEFAULT_MINUTES
        reason = min(candidates, key=candidates.__getitem__, default="steps")
        return cls(steps=candidates.get(reason), seconds=None if minutes is None else 60 * minutes, steps_reason=reason)

    def keeping(self, seconds: float) -> Pace:
        """The same with `seconds` kept for the last evaluation, or the most that may be."""
        most = math.inf if self.seconds is None else LARGEST_RESERVE * self.seconds
        return dataclasses.replace(self, reserve=min(seconds, most))

    def position(self, step: int, seconds: float, first_step: float = 0.0) -> float:
        """The share of the training that is done, in [0, 1].

        Args:
            first_step: seconds that are not counted, from the beginning on.
        """
        shares = []
        if self.steps is not None:
            shares.append(step / self.steps)
        if self.seconds is not None:
            shares.append((seconds - first_step) / max(self.seconds - self.reserve - first_step, 1e-9))
        return max(0.0, min(1.0, max(shares)))

    def ended(self, step: int, seconds: float) -> str | None:
        """``steps``, ``epochs`` or ``minutes`` when that end is reached."""
        if self.steps is not None and step >= self.steps:
            return self.steps_reason
        if self.seconds is not None and seconds >= self.seconds - self.reserve:
            return "minutes"
        return None

    def seconds_left(self, step: int, seconds: float, seconds_per_step: float) -> float:
        """Time to the end at `seconds_per_step`, evaluations left aside."""
        left = []
        if self.steps is not None:
            left.append((self.steps - step) * seconds_per_step)
        if self.seconds is not None:
            left.append(self.seconds - self.reserve - seconds)
        return max(0.0, min(left))

    def planned_steps(self, step: int, seconds: float, seconds_per_step: float) -> int:
        """The step at which training will end at that speed."""
        if self.steps is not None and self.seconds is None:
            return self.steps
        return step + math.ceil(self.seconds_left(step, seconds, seconds_per_step) / max(seconds_per_step, 1e-9))

    def evaluations(self) -> int:
        """How many evaluations to spread over the training when `evaluate_every` is not given."""
        by_steps = (self.steps or 0) / STEPS_PER_EVALUATION
        by_time = (self.seconds or 0) / 60 / MINUTES_PER_EVALUATION
        wanted = by_steps if self.seconds is None else by_time
        return int(min(max(wanted, FEWEST_EVALUATIONS), MOST_EVALUATIONS))

    def evaluations_of(self, steps: int, every: int | None) -> int:
        """How many evaluations a training of so many steps has, `every` so many steps where that is given."""
        return max(1, min(self.evaluations(), steps) if every is None else math.ceil(steps / every))

    def evaluation_symbols(self, tokens_per_step: int, seconds_per_step: float, every: int | None = None) -> int:
        """How many symbols an evaluation between steps may read."""
        steps = self.planned_steps(0, 0.0, seconds_per_step)
        evaluations = self.evaluations_of(steps, every)
        symbols = EVALUATION_SHARE / EVALUATION_COST * steps * tokens_per_step / evaluations
        return int(min(max(symbols, FEWEST_SYMBOLS), MOST_SYMBOLS))


def after_the_last_step(scoring_seconds: float, evaluation_seconds: float) -> float:
    """Seconds to keep for all that follows the last step, of what the last scoring and an evaluation seem to take."""
    return LAST_SCORING_MARGIN * scoring_seconds + LAST_EVALUATIONS * evaluation_seconds
