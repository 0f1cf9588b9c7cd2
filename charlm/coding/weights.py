"""From logits in whole numbers to the shares of an interval that symbols have."""

from __future__ import annotations

import numpy as np

from charlm.coding.tables import FRACTION, HIGHEST, POWER_STEPS, log2_e, power_table
from charlm.coding.whole import Whole

LOG_DIGITS = 30
REST = FRACTION - POWER_STEPS
MOST_SYMBOLS = 2**20
"""V at most: the weights then add up to less than 2**47."""


def shares(logits: Whole) -> Whole:
    """logits: (N, V) -> (N, V) whole numbers in proportion to their exponentials, each at least 1.

    The likeliest symbol has ``2**HIGHEST + 1``.
    """
    table = power_table().astype(np.int64)
    down = (logits.max(axis=1, keepdims=True) - logits) * log2_e() >> LOG_DIGITS
    whole, part = down >> FRACTION, down & ((1 << FRACTION) - 1)
    place, rest = part >> REST, part & ((1 << REST) - 1)
    found = table[place] + ((table[place + 1] - table[place]) * rest >> REST)
    weights: Whole = (found >> np.minimum(whole, HIGHEST + 1)) + 1
    return weights
