"""How a search spends its budget: rungs of ever fewer and ever longer trials.

Of n trials, n // halving survive a rung, one at least. All rungs of a trial are one training: rung k takes it from
where rung k - 1 paused it to ``longest / halving**(rungs - k)``, so the last rung takes the winner to its end.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from charlm.config import TrainingConfig
from charlm.config.parts import ENDS
from charlm.config.ranges import SweepConfig
from charlm.errors import ConfigError
from charlm.training.pace import DEFAULT_MINUTES, Pace

# What each trial of the first rung gets where the number of trials is left to the rule: enough to read the text,
# start, learn something and be scored.
USUAL_FIRST_SECONDS = 20.0
# Less than this goes by in starting: such a search would measure nothing, and not keep to its time.
LEAST_FIRST_SECONDS = 5.0
MOST_RULED = 729


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained how long.

    Attributes:
        unit: minutes, steps or epochs.
        sizes: trials of each rung, from the first.
        ends: where each rung pauses its trials, in `unit`, counted from a trial's beginning.
    """

    unit: str
    sizes: tuple[int, ...]
    ends: tuple[float, ...]

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Plan:
        """What `dataclasses.asdict` made. Raises `LookupError`, `TypeError` or `ValueError` for anything else."""
        unit, sizes, ends = values["unit"], tuple(values["sizes"]), tuple(values["ends"])
        if not all(type(size) is int and size > 0 for size in sizes) or unit not in ENDS:
            raise TypeError
        if not all(type(end) in (int, float) for end in ends) or not 0 < len(sizes) == len(ends):
            raise TypeError
        # rungs of few steps may end at the same one
        if ends[0] <= 0 or not all(before <= end for before, end in itertools.pairwise(ends)):
            raise ValueError
        return cls(unit=unit, sizes=sizes, ends=ends)

    @property
    def longest(self) -> float:
        """The end of the last rung, which is that of the trainings' schedule."""
        return self.ends[-1]

    @property
    def total(self) -> float:
        """What all trials of all rungs take together, in `unit`."""
        return sum(
            size * (end - before) for size, end, before in zip(self.sizes, self.ends, (0.0, *self.ends), strict=False)
        )

    def training(self, config: TrainingConfig, end: float) -> TrainingConfig:
        """`config` with `end` as its only end."""
        return dataclasses.replace(config, **(dict.fromkeys(ENDS) | {self.unit: end}))  # type: ignore[arg-type]


def make_plan(training: TrainingConfig, sweep: SweepConfig, spent: float = 0.0) -> Plan:
    """The plan for what was asked.

    Args:
        training: its `minutes` are those of the whole search; its `steps` or `epochs` those of the longest trial.
            With none of them the longest trial takes as long as a training of which nothing is said.
        spent: seconds of `minutes` that are gone already.

    Raises:
        ConfigError: two ends, or minutes too few for so many trials.
    """
    given = {name: getattr(training, name) for name in ENDS if getattr(training, name) is not None}
    if len(given) > 1:
        raise ConfigError(
            "a sweep takes --minutes (of all trials together), --steps or --epochs (of the longest), "
            f"not {' and '.join('--' + name for name in given)}"
        )
    halving = sweep.halving
    if "minutes" in given:
        minutes = given["minutes"] - spent / 60
        plan = _of_minutes(sweep.trials or _ruled_trials(minutes, halving), halving, minutes)
        _refuse_hasty(plan, given["minutes"])
        return plan
    unit, longest = next(iter(given.items()), ("minutes", DEFAULT_MINUTES))
    return _plan(unit, sweep.trials or halving**2, halving, longest)


def _plan(unit: str, trials: int, halving: int, longest: float) -> Plan:
    sizes = [trials]
    while sizes[-1] > 1:
        sizes.append(max(1, sizes[-1] // halving))
    shares = [halving ** -(len(sizes) - 1 - rung) for rung in range(len(sizes))]
    # minutes and passes in four digits, so that the end of a trial can be typed
    ends = [math.ceil(longest * share) if unit == "steps" else float(f"{longest * share:.4g}") for share in shares]
    return Plan(unit=unit, sizes=tuple(sizes), ends=tuple(ends))


def _of_minutes(trials: int, halving: int, minutes: float) -> Plan:
    """The plan whose total is `minutes`."""
    return _plan("minutes", trials, halving, minutes / _plan("minutes", trials, halving, 1.0).total)


def _ruled_trials(minutes: float, halving: int) -> int:
    """The largest power of `halving` that leaves each of so many trials its usual seconds; two rungs at least."""
    trials = halving
    while trials * halving <= MOST_RULED:
        if 60 * _of_minutes(trials * halving, halving, minutes).ends[0] < USUAL_FIRST_SECONDS:
            break
        trials *= halving
    return trials


def _refuse_hasty(plan: Plan, minutes: float) -> None:
    seconds = 60 * plan.ends[0]
    if seconds < LEAST_FIRST_SECONDS:
        enough = minutes * LEAST_FIRST_SECONDS / max(seconds, 1e-9)
        remedy = f"--minutes {math.ceil(10 * enough) / 10:g}" if seconds > 0 else "more --minutes"
        raise ConfigError(
            f"{minutes:g} minutes leave each of {plan.sizes[0]} trials {max(0.0, seconds):.1f} seconds at first, "
            f"{LEAST_FIRST_SECONDS:g} are the least: give fewer --trials, or {remedy}"
        )


@dataclass(frozen=True, kw_only=True)
class RungPace(Pace):
    """The pace of a whole training, its schedule too, that is let go on as far as a rung's end.

    Attributes:
        rung: the pace of a training that ends there.
    """

    rung: Pace

    def ended(self, step: int, seconds: float) -> str | None:
        """As of the whole training, or ``paused`` at the rung's end, less what scoring takes then."""
        rung = self.rung.keeping(self.reserve)
        return super().ended(step, seconds) or ("paused" if rung.ended(step, seconds) else None)

    @classmethod
    def until(cls, pace: Pace, rung: Pace) -> RungPace:
        """`pace`, paused where `rung` ends."""
        return cls(**{field.name: getattr(pace, field.name) for field in dataclasses.fields(Pace)}, rung=rung)
