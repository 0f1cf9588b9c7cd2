"""Sides that take turns: how often each does its work in a second, and how much that varied."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# A first call may compile, allocate or fill caches; the second one is what the count of the others is chosen by.
WARM_UP = 2


@dataclass(frozen=True)
class Side:
    """One way to do some work.

    Attributes:
        run: does so many units of it, one after the other.
        unit: how much one unit is: characters, bytes, operations.
    """

    run: Callable[[int], object]
    unit: float = 1.0


@dataclass(frozen=True)
class Rates:
    """What was done in a second, in each repeat."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def over(self, other: Rates) -> Rates:
        """How many times `other`, repeat by repeat: what disturbs both at once then cancels."""
        return Rates(tuple(own / its for own, its in zip(self.values, other.values, strict=True)))

    def to_json(self) -> dict[str, Any]:
        """Median, lowest and highest, of how many."""
        return {
            "median": rounded(self.median),
            "lowest": rounded(min(self.values)),
            "highest": rounded(max(self.values)),
            "repeats": len(self.values),
        }


def rounded(value: float) -> float:
    """Four significant digits: more are noise, and would change at every run."""
    if value == 0 or not math.isfinite(value):
        return value
    shown = round(value, 3 - math.floor(math.log10(abs(value))))
    return int(shown) if abs(shown) >= 1000 else shown


def measure(
    sides: Mapping[str, Side], *, repeats: int, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Rates]:
    """Let the sides take turns, `repeats` times, about `seconds` a turn.

    Every round begins with another side, so that a neighbour who comes by at regular times meets all of them.
    """
    counts = {name: _count(side, seconds, clock) for name, side in sides.items()}
    found: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            started = clock()
            sides[name].run(counts[name])
            found[name].append(counts[name] * sides[name].unit / max(clock() - started, 1e-9))
    return {name: Rates(tuple(values)) for name, values in found.items()}


def _count(side: Side, seconds: float, clock: Callable[[], float]) -> int:
    """Units that take about `seconds`."""
    for _ in range(WARM_UP - 1):
        side.run(1)
    count = 1
    while True:
        started = clock()
        side.run(count)
        spent = clock() - started
        if spent >= seconds / 10 or spent >= 1:
            return max(1, round(count * seconds / spent))
        # too short to be told from the clock's own time: ten times as many
        count *= 10
