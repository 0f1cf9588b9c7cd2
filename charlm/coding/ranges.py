"""The range coder (Martin, 1979), one symbol at a time: plain functions of whole numbers, compiled or not.

A lane's coder is three numbers from `at` on in a flat array: where its interval begins (when decoding: where the
stream lies in it), the interval's size, and the bytes written or read. Sizes stay within (BOTTOM, TOP], so
everything fits into 64 bits with a sign, whatever a stream holds.
"""

# `charlm.coding.loops` compiles them as they stand
from __future__ import annotations

from typing import Any

import numpy as np

LOW_BITS = 48
BOTTOM = 1 << LOW_BITS
TOP = BOTTOM << 8
STARTED = 7
"""Bytes that a decoder has read before the first symbol."""
BYTES_A_SYMBOL = 6
"""No symbol costs more: weights add up to less than 2**47, see `charlm.coding.weights`."""
NUMBERS = 3


def encode(coder: Any, at: int, stream: Any, begin: int, below: int, weight: int, total: int) -> None:
    """Write a symbol that has `weight` of `total`, after symbols that have `below`; bytes go to stream[begin:]."""
    low, size, place = coder[at], coder[at + 1], begin + coder[at + 2]
    part = size // total
    low += part * below
    size = part * weight
    if low >= TOP:
        low -= TOP
        carry(stream, place)
    while size <= BOTTOM:
        stream[place] = low >> LOW_BITS
        place += 1
        low = (low & (BOTTOM - 1)) << 8
        size <<= 8
    coder[at], coder[at + 1], coder[at + 2] = low, size, place - begin


def carry(stream: Any, place: int) -> None:
    """Add one to the number whose last byte stands before `place`."""
    place -= 1
    while stream[place] == 255:
        stream[place] = 0
        place -= 1
    stream[place] += 1


def finish(coder: Any, at: int, stream: Any, begin: int) -> int:
    """Write as few bytes as tell the interval from all others, zeros being read after the last; returns their count."""
    low, size, place = coder[at], coder[at + 1], begin + coder[at + 2]
    bits = LOW_BITS + 8
    value = low
    while bits > 0:
        bits -= 1
        value = (low + (1 << bits) - 1) >> bits << bits
        if value < low + size:
            break
    if value >= TOP:
        value -= TOP
        carry(stream, place)
    while value > 0:
        stream[place] = value >> LOW_BITS
        place += 1
        value = (value & (BOTTOM - 1)) << 8
    while place > begin and stream[place - 1] == 0:
        place -= 1
    coder[at + 2] = place - begin
    return int(place - begin)


def aim(coder: Any, at: int, total: int) -> Any:
    """Where in `total` the next symbol lies; `total` or more in a stream that no encoder wrote."""
    return coder[at] // (coder[at + 1] // total)


def decode(coder: Any, at: int, stream: Any, begin: int, end: int, below: int, weight: int, total: int) -> None:
    """Go on behind a symbol that was found by `aim`."""
    low, size, place = coder[at], coder[at + 1], begin + coder[at + 2]
    part = size // total
    low -= part * below
    size = part * weight
    while size <= BOTTOM:
        low <<= 8
        if place < end:
            low |= np.int64(stream[place])
        place += 1
        size <<= 8
    coder[at], coder[at + 1], coder[at + 2] = low, size, place - begin


def start(coder: Any, at: int, stream: Any, begin: int, end: int, decoding: bool) -> None:
    """Before the first symbol."""
    low = 0
    if decoding:
        for place in range(begin, begin + STARTED):
            low <<= 8
            if place < end:
                low |= np.int64(stream[place])
    coder[at], coder[at + 1], coder[at + 2] = low, TOP, STARTED if decoding else 0
