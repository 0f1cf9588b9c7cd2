"""Learning-rate schedules: pure functions of how far training has come.

A schedule maps `position` in [0, 1], the share of the training that is done, to a factor in [0, 1]
of the learning rate. A budget in minutes, a number of steps and a number of epochs all end at 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]

# The share of the rate that cosine and linear keep at their end: the last steps still move a little.
FLOOR = 0.01


def cosine(position: float) -> float:
    """Half a cosine wave from 1 to `FLOOR` (Loshchilov & Hutter, 2017, arXiv:1608.03983, without restarts)."""
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(position, 1.0)))


def linear(position: float) -> float:
    """A straight line from 1 to `FLOOR`."""
    return FLOOR + (1 - FLOOR) * (1 - min(position, 1.0))


def constant(position: float) -> float:
    """No decay."""
    return 1.0


# plateau is constant here: its divisions by four come from the evaluations (`PLATEAU_DIVISOR`)
SCHEDULES: dict[str, Schedule] = {"cosine": cosine, "linear": linear, "constant": constant, "plateau": constant}

# What the plateau schedule divides the rate by when an evaluation brings no improvement, as in the
# word-language-model recipe that accompanied Zaremba et al. (2014, arXiv:1409.2329) into many tutorials.
PLATEAU_DIVISOR = 4.0

# Warm-up never takes more than this share of a training, so that a short one reaches its full rate.
LONGEST_WARMUP = 0.1


def warmup_factor(step: int, position: float, warmup: int) -> float:
    """Linear rise over the first `warmup` steps, or over the first tenth of a shorter training.

    Args:
        step: steps done before this one, from 0.
        position: share of the training that is done, in [0, 1].
        warmup: steps from zero to the full rate; 0 for none.
    """
    if warmup == 0:
        return 1.0
    return min(1.0, max((step + 1) / warmup, position / LONGEST_WARMUP))
