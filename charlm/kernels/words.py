"""Random words of 64 bits, each from a seed and its own number: what dropout's coins are made of on a CPU.

SplitMix64 (Steele, Lea and Flood, 2014, "Fast splittable pseudorandom number generators"), which passes BigCrush.
"""

from __future__ import annotations

from typing import Any

import numpy as np

GAMMA, FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)

Words = np.ndarray[Any, np.dtype[np.uint64]]


def words(seed: int, count: int) -> Words:
    """The first `count` words of a seed, which has 64 bits: (count,)."""
    found = np.arange(1, count + 1, dtype=np.uint64)
    found *= GAMMA
    found += np.uint64(seed)
    for shift, factor in zip(SHIFTS, (FIRST, SECOND), strict=False):
        found ^= found >> shift
        found *= factor
    found ^= found >> SHIFTS[2]
    return found
