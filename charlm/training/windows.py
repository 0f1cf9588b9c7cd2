"""How long the windows of a step are, and what that means for its rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charlm.config import TrainingConfig


def window_lengths(config: TrainingConfig, draws: np.random.Generator) -> list[int]:
    """Of the windows of the next step, one for each whose gradient is added up."""
    length, jitter = config.window_length, config.window_jitter
    if not jitter:
        return [length] * config.accumulate
    return [max(1, round(length * draws.uniform(1 - jitter, 1 + jitter))) for _ in range(config.accumulate)]


def divisors(lengths: Sequence[int]) -> list[float]:
    """What each window's mean loss is divided by in the sum, so that all symbols of a step count alike."""
    return [sum(lengths) / length for length in lengths]


def rate_share(config: TrainingConfig, lengths: Sequence[int]) -> float:
    """What the rate is multiplied by: else a symbol in a short window counted for more than one in a long one."""
    return sum(lengths) / (config.window_length * len(lengths))
