"""How fast the steps of this sitting are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

# How often the outside hears of steps, in seconds.
REPORT_INTERVAL = 0.5


class Speed:
    """Counts steps and their time, evaluations and saves left out.

    Attributes:
        steps: of this sitting.
        seconds: that they took.
        fastest: seconds of one step.
    """

    def __init__(self, clock: Callable[[], float], characters: int) -> None:
        self.steps, self.seconds, self.fastest = 0, 0.0, math.inf
        self._clock = clock
        self.begin(characters)

    def begin(self, characters: int) -> None:
        """Measure the speed that is told from here on: what was done before was no training."""
        self._reported = (self._clock(), characters)

    def count(self, seconds: float) -> None:
        """A step was done, or queued, in so many seconds."""
        self.steps, self.seconds = self.steps + 1, self.seconds + seconds

    def note(self, seconds: Iterable[float]) -> None:
        """What steps took on the device."""
        self.fastest = min([self.fastest, *seconds])

    @property
    def per_step(self) -> float:
        """Mean seconds of a step."""
        return self.seconds / self.steps

    def is_due(self) -> bool:
        """Whether it is time to tell."""
        return self._clock() - self._reported[0] >= REPORT_INTERVAL

    def told(self, characters: int) -> float:
        """Characters a second since it was last told; from here on the next is counted."""
        then, before = self._reported
        self.begin(characters)
        return (characters - before) / max(self._reported[0] - then, 1e-9)
