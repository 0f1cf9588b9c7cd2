"""A small curve drawn with characters, for the loss history."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

_BRAILLE = 0x2800
# Bit of each dot of a braille cell, by column and row from the top (Unicode chart U2800).
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def curve(values: Sequence[float], width: int, height: int) -> list[str]:
    """`values`, first to last, as `height` lines of `width` characters of braille dots (2 x 4 in each).

    The largest is at the top. No values, no lines.
    """
    if not values or width < 1 or height < 1:
        return []
    levels = _levels(_resample(values, 2 * width), 4 * height)
    cells = [[0] * ((len(levels) + 1) // 2) for _ in range(height)]
    last = levels[0]
    for x, level in enumerate(levels):
        # a steep step is drawn as a stroke, so that the curve does not fall apart into dots
        for dot in range(min(level, last + 1), max(level, last - 1) + 1):
            row = 4 * height - 1 - dot
            cells[row // 4][x // 2] |= _DOTS[x % 2][row % 4]
        last = level
    return ["".join(chr(_BRAILLE + cell) for cell in row) for row in cells]


def _resample(values: Sequence[float], columns: int) -> list[float]:
    """`columns` values: means of equal stretches of many, or points on the lines between few."""
    if len(values) >= columns:
        bounds = [i * len(values) // columns for i in range(columns + 1)]
        return [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(bounds)]
    points = []
    for i in range(columns):
        index, share = divmod(i * (len(values) - 1), columns - 1)
        following = values[min(index + 1, len(values) - 1)]
        points.append(values[index] + (following - values[index]) * share / (columns - 1))
    return points


def _levels(values: Sequence[float], count: int) -> list[int]:
    low, high = min(values), max(values)
    if high == low:
        return [0] * len(values)
    return [round((value - low) / (high - low) * (count - 1)) for value in values]
