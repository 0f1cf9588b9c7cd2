"""How much of one text stands word for word in another: shares of windows of symbols, hashed.

A validation text that was partly trained on makes a model look better than it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 32  # symbols: longer than the phrases that any two texts of a kind share
_MOST = 2**21  # windows of the training text remembered, about; 16 MB
_BASE = 0x100000001B3
_SPREAD = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1

Hashes = NDArray[np.uint64]
Codes = NDArray[np.unsignedinteger[Any]]


class Seen:
    """The windows of a training text, to compare other texts with.

    Args:
        train: the training text, in pieces: code points (`codes_of`), or ids of one tokenizer.
        symbols: its length. Of long texts a fixed share of the windows is compared, chosen by what stands
            in them, so that both sides choose alike.
    """

    def __init__(self, train: Iterable[Codes], symbols: int) -> None:
        self._one_in = 1 << (symbols // _MOST).bit_length()
        # subtle: sorted, not made unique, which is slow for hashes that end in zeros; searching does not mind
        self._known = np.sort(np.concatenate([np.empty(0, np.uint64), *_chosen(train, self._one_in)]))

    def share(self, other: Iterable[Codes]) -> float:
        """Share of the windows of `other` that occur in the training text; 0 where either is shorter than one."""
        found = total = 0
        for hashes in _chosen(other, self._one_in):
            total += len(hashes)
            if len(self._known):
                at = np.searchsorted(self._known, hashes)
                at[at == len(self._known)] = 0
                found += int((self._known[at] == hashes).sum())
        return found / total if total else 0.0


def codes_of(text: str) -> Codes:
    """Code points."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _chosen(pieces: Iterable[Codes], one_in: int) -> Iterator[Hashes]:
    """Hashes of the windows whose hash is a multiple of `one_in` (a power of two)."""
    rest = np.empty(0, np.uint32)
    for piece in pieces:
        rest = np.concatenate([rest, piece])
        hashes = window_hashes(rest)
        yield hashes[(hashes & np.uint64(one_in - 1)) == 0]
        rest = rest[-(WINDOW - 1) :]


def window_hashes(codes: Codes) -> Hashes:
    """A hash of each run of `WINDOW` symbols, in order: a polynomial of their codes modulo 2**64, mixed.

    Built by doubling: the hash of 2n characters is that of the first n times base**n, plus that of the last n.
    """
    hashes: Hashes = (codes.astype(np.uint64) + np.uint64(1)) * np.uint64(_SPREAD)
    length, power = 1, _BASE
    while length < WINDOW:
        if len(hashes) <= length:
            return np.empty(0, np.uint64)
        hashes = hashes[:-length] * np.uint64(power) + hashes[length:]
        length, power = 2 * length, power * power & _MASK
    # subtle: the low bits of such a polynomial depend on the low bits of the text alone; fold the high ones in
    hashes ^= hashes >> np.uint64(32)
    hashes *= np.uint64(_SPREAD)
    hashes ^= hashes >> np.uint64(29)
    return hashes
