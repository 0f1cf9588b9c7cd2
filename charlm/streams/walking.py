"""A text on disk read from one end to the other, in memory that does not grow with it.

What a process reads of a mapped file counts as its memory, until somebody else wants that. So whoever walks through a
text gives it back stretch by stretch; the system still has it at hand, and what is read again costs next to nothing.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[Any]

#: Ids of a stretch, unless another length is asked for.
STRETCH = 2**20


def stretches(ids: Ids, length: int = STRETCH, first: int = 0) -> Iterator[Ids]:
    """Views of `ids` (N,) from the `first` on, `length` at a time; the memory of each is given back after it."""
    for start in range(first, len(ids), length):
        yield ids[start : start + length]
        give_back(ids)


def count_symbols(ids: Ids, vocab_size: int) -> npt.NDArray[np.int64]:
    """How often each symbol occurs among `ids` (N,): (V,)."""
    counts = np.zeros(vocab_size, np.int64)
    for stretch in stretches(ids):
        counts += np.bincount(stretch, minlength=vocab_size)
    return counts


def give_back(ids: Ids) -> None:
    """Let go of the memory that reading `ids` took, where they are mapped from a disk; they can be read as before."""
    owner: Any = ids
    while isinstance(owner, np.ndarray):
        owner = owner.base
    # subtle: no page of a map that is only read can be lost; elsewhere than on POSIX there is no such call
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
