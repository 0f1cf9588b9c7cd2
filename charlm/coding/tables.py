"""tanh and powers of two as tables of whole numbers, made with whole numbers alone: the same on every machine.

Numbers are fixed-point: `FRACTION` binary digits after the point, `ONE` is 1. Between two entries of a table the
value is on the line between them.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

FRACTION = 20
ONE = 1 << FRACTION

TANH_STEPS = 8
"""tanh has 2**8 entries from one whole number to the next; linear in between, that is exact to 1.5e-6."""
TANH_END = 8
"""From here on tanh is 1: it differs by less than half a unit of the last place."""
HIGHEST = 26
"""Binary digits of a symbol's largest weight."""
POWER_STEPS = 10
"""2**-f has 2**10 entries for f from 0 to 1."""

# digits of the arithmetic that the tables are made with: far more than they keep
_DIGITS = 128
_WHOLE = 1 << _DIGITS


@cache
def tanh_table() -> npt.NDArray[np.int32]:
    """tanh of 0, 1/256, 2/256, ... `TANH_END`, each the nearest fixed-point number."""
    # tanh x = (e^2x - 1) / (e^2x + 1), and e^2x grows by the same factor from entry to entry
    factor, power, found = _exponential(TANH_STEPS - 1), _WHOLE, []
    for _ in range((TANH_END << TANH_STEPS) + 1):
        found.append(_nearest((power - _WHOLE) * ONE, power + _WHOLE))
        power = power * factor >> _DIGITS
    return np.array(found, dtype=np.int32)


@cache
def power_table() -> npt.NDArray[np.int32]:
    """2**(HIGHEST - f) for f = 0, 1/1024, ... 1."""
    root = 2 * _WHOLE
    for _ in range(POWER_STEPS):
        root = math.isqrt(root << _DIGITS)
    power, found = _WHOLE, []
    for _ in range((1 << POWER_STEPS) + 1):
        found.append(_nearest(_WHOLE << HIGHEST, power))
        power = power * root >> _DIGITS
    return np.array(found, dtype=np.int32)


@cache
def log2_e() -> int:
    """log2(e) with 30 binary digits."""
    # ln 2 = 1/2 + 1/(2 4) + 1/(3 8) + ...
    ln_2 = sum(_WHOLE // (n << n) for n in range(1, _DIGITS))
    return _nearest(_WHOLE << 30, ln_2)


def _exponential(digits: int) -> int:
    """e**(2**-digits), by its series."""
    total, term, n = _WHOLE, _WHOLE, 0
    while term:
        n += 1
        term = (term >> digits) // n
        total += term
    return total


def _nearest(above: int, below: int) -> int:
    return (2 * above + below) // (2 * below)
