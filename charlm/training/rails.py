"""A training that leaves the rails is noticed, and goes back to where all was well."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from charlm.errors import DivergedError
from charlm.training.learner import Capture, StepResult
from charlm.training.standing import Standing
from charlm.training.watch import LossWatch

# How often a training may be rolled back before it is given up.
MOST_ROLLBACKS = 5


class Rails:
    """Watches the steps, and keeps the capture to go back to.

    Attributes:
        good: the last capture that evaluation or saving has looked at.
        last: the last step that is known.
    """

    def __init__(self) -> None:
        self.watch = LossWatch()
        self.good: Capture | None = None
        self.last: StepResult | None = None

    @property
    def smoothed(self) -> float:
        """Mean training loss per token of the last steps; nan before the first."""
        return math.nan if self.watch.smoothed is None else self.watch.smoothed

    def judge(self, results: list[StepResult]) -> str | None:
        """What is wrong with the first of these steps that went wrong, in words."""
        for self.last in results:
            trouble = self.watch.trouble(self.last.loss, self.last.gradient_norm)
            if trouble is not None:
                return trouble
        return None

    def look_back(self, window: tuple[float, float] | None) -> str | None:
        """What is wrong with the weights after the last step, in words; `window`: as of `Learner.last_window`."""
        return None if window is None else self.watch.judge_step(*window)

    def renew(self, capture: Callable[[], Capture]) -> Capture:
        """Keep what `capture` gives, and return it. The one before goes first: two take more than all else there is."""
        self.good = None
        self.good = capture()
        return self.good

    def way_back(self, standing: Standing, step: int, reason: str) -> Capture:
        """Where to go back to.

        Raises:
            DivergedError: it went back `MOST_ROLLBACKS` times already.
        """
        if standing.rollbacks >= MOST_ROLLBACKS or self.good is None:
            raise DivergedError(
                f"training diverged at step {step}: {reason}, after {MOST_ROLLBACKS} rollbacks; "
                "try a lower --learning-rate"
            )
        return self.good


def after_rollback(restored: Standing, before: Standing, seconds: float) -> Standing:
    """What was restored, with what it must not forget: the count, half the rate, and the time that is gone."""
    return dataclasses.replace(
        restored, rollbacks=before.rollbacks + 1, rate_scale=before.rate_scale / 2, seconds=seconds
    )
