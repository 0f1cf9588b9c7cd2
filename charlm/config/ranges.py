"""Ranges of settings, for a search: ``learning_rate=1e-3..1e-2``, ``hidden_size=128,256``, ``cell=gru,lstm``."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from charlm.config.parts import ENDS
from charlm.config.sections import ModelConfig, TrainingConfig
from charlm.config.settings import Section, Setting, setting, settings_of
from charlm.errors import ConfigError
from charlm.registry import suggestion

# What is kept of a training and shown of it, which its losses do not depend on.
WITHOUT_EFFECT = ("keep", "sample_every")
# From this ratio of its ends on, a range is drawn from on a logarithmic scale unless it says otherwise.
LOGARITHMIC_FROM = 10
# Digits of a number that is drawn: enough to tell two apart, few enough to type.
DIGITS = 3
# Draws for each trial that is wanted, so that ranges of few values are found to be used up.
ATTEMPTS = 100
SCALES = {"log": True, "uniform": False}
FORM = "give --range NAME=LOW..HIGH or NAME=A,B,C"


@dataclass(frozen=True, kw_only=True)
class SweepConfig(Section):
    """How many trials a search has, and how fast they are given up."""

    trials: int | None = setting(
        None,
        "trials to begin with [as many as leave each 20 seconds; the square of --halving without --minutes]",
        group="length",
        minimum=1,
        maximum=1000,
    )
    halving: int = setting(
        3,
        "one trial in so many survives a rung, and trains so many times longer",
        group="length",
        minimum=2,
        maximum=64,
    )


@dataclass(frozen=True, kw_only=True)
class Range:
    """The values that a search draws one setting from.

    Attributes:
        text: as it was given, behind the name.
        choices: the values themselves; empty for a range between `low` and `high`, both included.
        logarithmic: drawn uniformly on a logarithmic scale.
    """

    setting: Setting
    text: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    logarithmic: bool = False

    def draw(self, draws: random.Random) -> Any:
        """One value: a choice, or a number of three digits (a whole one where the setting has those)."""
        share = draws.random()
        if self.choices:
            return self.choices[int(share * len(self.choices))]
        whole = self.setting.type is int
        # each whole number has the same room around it, the ends too
        low, high = (self.low - 0.5, self.high + 0.5) if whole else (self.low, self.high)
        if self.logarithmic:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        value = round(value) if whole else float(f"{value:.{DIGITS}g}")
        return self.setting.check(min(max(value, self.low), self.high))

    def describe(self) -> str:
        """In words: ``0.001 to 0.01, logarithmic``; ``128, 256, 512``."""
        if self.choices:
            return ", ".join(map(shown_value, self.choices))
        return f"{self.low:g} to {self.high:g}" + (", logarithmic" if self.logarithmic else "")


def shown_value(value: Any) -> str:
    """A value as a flag, a file or ``--range`` takes it."""
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def parse_ranges(texts: Iterable[str]) -> dict[str, Range]:
    """Read ``NAME=RANGE`` texts, as ``--range`` has them.

    Raises:
        ConfigError: a name that is none, or is given twice; a range that is none, or leaves its setting's limits.
    """
    found: dict[str, Range] = {}
    for text in texts:
        name, sign, content = text.partition("=")
        if not sign:
            raise ConfigError(f"range {text!r} has no '=': {FORM}")
        if name in found:
            raise ConfigError(f"range {name} is given twice: put all its values into one")
        found[name] = parse_range(name, content)
    if not found:
        raise ConfigError(f"there is nothing to search: {FORM}")
    return dict(sorted(found.items()))


def parse_range(name: str, text: str) -> Range:
    """The range of the setting called `name`: ``LOW..HIGH``, with ``log:`` or ``uniform:`` before it, or a list.

    Raises:
        ConfigError: as of `parse_ranges`.
    """
    known = settings_of(ModelConfig) | settings_of(TrainingConfig)
    if name in ENDS:  # what a search divides
        raise ConfigError(f"range {name}: how long a trial is is set by --minutes, --steps or --epochs alone")
    if name in WITHOUT_EFFECT:
        raise ConfigError(f"range {name}: it changes nothing that a trial learns")
    if name not in known:
        raise ConfigError(
            f"range {name!r}: no setting of [model] or [training] is called that{suggestion(name, known)}"
        )
    scale, colon, rest = text.partition(":")
    if colon and scale not in SCALES:
        raise ConfigError(f"range {name}: {scale!r} is no scale: choose {', '.join(SCALES)}{suggestion(scale, SCALES)}")
    if ".." in rest or colon or ".." in text:
        return _between(known[name], text, rest if colon else text, SCALES[scale] if colon else None)
    choices = tuple(_parsed(known[name], part) for part in text.split(","))
    if len(set(choices)) < max(2, len(choices)):
        raise ConfigError(f"range {name} must have two different values or more, was {text!r}: {FORM}")
    return Range(setting=known[name], text=text, choices=choices)


def _between(known: Setting, text: str, ends: str, logarithmic: bool | None) -> Range:
    if known.type not in (int, float):
        raise ConfigError(f"range {known.name} must be a list, for it takes {known.describe()}, was {text!r}")
    low_text, dots, high_text = ends.partition("..")
    if not dots:
        raise ConfigError(f"range {known.name} must be LOW..HIGH behind a scale, was {text!r}")
    low, high = _parsed(known, low_text), _parsed(known, high_text)
    if low >= high:
        raise ConfigError(f"range {known.name} must go from a lower to a higher number, was {text!r}")
    if logarithmic and low <= 0:
        raise ConfigError(f"range {known.name} must begin above 0 to be logarithmic, was {text!r}")
    if logarithmic is None:
        # a quotient such as 3e-4 / 3e-5 is a little less than what is meant
        logarithmic = low > 0 and high >= LOGARITHMIC_FROM * low * (1 - 1e-9)
    return Range(setting=known, text=text, low=low, high=high, logarithmic=logarithmic)


def _parsed(known: Setting, text: str) -> Any:
    try:
        return known.parse(text.strip())
    except ConfigError as error:
        raise ConfigError(f"range {known.name}: {error}") from None


def draw_trials(ranges: Mapping[str, Range], trials: int, seed: int) -> list[dict[str, Any]]:
    """So many different settings, drawn at random; fewer where the ranges hold no more.

    The same ranges and seed give the same ones, and a larger number of them begins with those of a smaller.
    """
    draws = random.Random(seed)
    found: list[dict[str, Any]] = []
    # bounded, for nobody can count the numbers of three digits in a narrow range
    for _ in range(ATTEMPTS * trials):
        values = {name: one.draw(draws) for name, one in ranges.items()}
        if values not in found:
            found.append(values)
        if len(found) == trials:
            break
    return found
