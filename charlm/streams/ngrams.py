"""The rows of a table in which the last symbols of a text, taken together, have their vectors.

Letters: T symbols, N symbols of the longest n-gram, R rows of the table.
"""

from __future__ import annotations

from typing import Any

# Odd, and without a pattern: 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, volume 3, 6.4).
MULTIPLIER = -0x61C8864680B583EB
# Bits of the highest half are those that all symbols have a say in; a shift keeps the sign.
SHIFT, MASK = 33, 0x7FFFFFFF

NO_SYMBOL = 0
"""What stands for a symbol before the beginning of a text; that of id i is i + 1."""


def rows_of_ngrams(symbols: Any, N: int, R: int) -> list[Any]:
    """The row of the n-grams of 2, ..., N symbols that end at each symbol.

    Two n-grams, of whatever lengths, may share a row: they are told apart by a hash alone, so no text has to be
    counted, and each length takes as many rows as its n-grams hit.

    Args:
        symbols: (..., N - 1 + T) int64, an array of NumPy or of torch; the first N - 1 are those before.

    Returns:
        N - 1 arrays of the same kind, each (..., T), of rows below R.
    """
    T = symbols.shape[-1] - N + 1
    rows = []
    key = symbols[..., N - 1 :] * MULTIPLIER
    for n in range(2, N + 1):
        key = (key + symbols[..., N - n : N - n + T]) * MULTIPLIER
        rows.append((key >> SHIFT & MASK) % R)
    return rows
