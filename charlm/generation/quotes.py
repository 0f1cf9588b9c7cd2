"""All runs of so many characters that a text holds, found at once.

Every run has a polynomial hash of 64 bits (Karp and Rabin, 1987, IBM Journal of Research and Development 31:249-260),
modulo 2^64: the code of the last character times B, of the one before times B^2, and so on. The upper bits of the hash
and the place of the run share a number, and these numbers are kept in order: eight bytes for each character, and four
to eight for a table that answers most questions at one look. What has the hash of a run is compared with the text
before it counts, so no accident of hashing makes a quotation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

# An odd number without a pattern, and its inverse: their product is 1 modulo 2^64.
BASE = 0xD6E8FEB86659FD93
INVERSE = pow(BASE, -1, 2**64)
# Characters hashed at a time: what that takes stays in the cache.
PIECE = 2**16


def _powers(base: int, count: int) -> Hashes:
    """1, base, base^2, ..."""
    powers = np.full(count, base, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


LONGEST = 1001
POWERS = _powers(BASE, LONGEST + 1)
"""Enough for the runs that `max_copy` may ask for."""


def codes_of(text: str) -> Hashes:
    """(N,) code points, raw bytes (U+DC80..U+DCFF) included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)


def hash_of(text: str) -> int:
    """The hash of a whole text of at most LONGEST characters."""
    return int((codes_of(text)[::-1] * POWERS[1 : len(text) + 1]).sum(dtype=np.uint64))


def hashes_of(text: str, length: int) -> Hashes:
    """(N - length + 1,) the hashes of all runs of `length` characters of a text that has so many."""
    rising, falling = _both_powers(len(text) + 1)
    sums = np.zeros(len(text) + 1, dtype=np.uint64)
    np.cumsum(codes_of(text) * falling[:-1], out=sums[1:])
    runs: Hashes = (sums[length:] - sums[: len(sums) - length]) * rising[length:]
    return runs


@lru_cache(maxsize=2)
def _both_powers(count: int) -> tuple[Hashes, Hashes]:
    return _powers(BASE, count), _powers(INVERSE, count)


class Quotes:
    """The runs of `length` characters of a text."""

    def __init__(self, text: str, length: int) -> None:
        self._text = text
        self._place = np.uint64((1 << len(text).bit_length()) - 1)
        runs = max(0, len(text) - length + 1)
        self._keys = np.empty(runs, dtype=np.uint64)
        for start in range(0, runs, PIECE):
            hashes = hashes_of(text[start : start + PIECE + length - 1], length)
            places = np.arange(start, start + len(hashes), dtype=np.uint64)
            self._keys[start : start + PIECE] = (hashes & ~self._place) | places
        self._keys.sort()
        # whether there is a run with these uppermost bits
        self._shift = np.uint64(62 - len(text).bit_length())
        self._some = np.zeros(1 << (64 - int(self._shift)), dtype=np.bool_)
        self._some[self._keys >> self._shift] = True

    def contain(self, hashes: Hashes, run: Callable[[int], str]) -> npt.NDArray[np.bool_]:
        """(M,) whether each of M runs is one of the text's; `run` gives the characters of the m-th."""
        wanted = hashes & ~self._place
        found = np.zeros(len(wanted), dtype=np.bool_)
        likely = np.flatnonzero(self._some[wanted >> self._shift])
        first = np.searchsorted(self._keys, wanted[likely])
        # past the last key, the last one is another
        same = self._keys[np.minimum(first, len(self._keys) - 1)] & ~self._place == wanted[likely]
        for at, key in zip(likely[same].tolist(), first[same].tolist(), strict=True):
            found[at] = self._is_at(run(at), key, wanted[at])
        return found

    def _is_at(self, run: str, key: int, wanted: np.uint64) -> bool:
        """Whether a run is at one of the places that have its hash, from the key `key` on."""
        while key < len(self._keys) and self._keys[key] & ~self._place == wanted:
            if self._text.startswith(run, int(self._keys[key] & self._place)):
                return True
            key += 1
        return False
