"""Which characters are too rare for an id: each id makes every step dearer, bytes only those of the character."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from charlm.tokenizers.byte import BYTE_IDS

# A step multiplies as many weights as this many ids do: two layers of 256 units with four gates, 3 * 4 * 256 ** 2
# weights beside 256 for each id. docs/recipes.md has texts that the rule was tried on.
STEP_IN_IDS = 3 * 4 * 256
# Where less than this would be saved every character has an id: so it is with alphabets.
LEAST_SAVING = 0.05


def least_count(counts: npt.NDArray[np.int64], lengths: npt.NDArray[np.intp]) -> int:
    """How often a character has to occur for an id of its own, so that a text costs fewest multiplications to read.

    A character without one is a symbol for each of its bytes; every id makes all symbols dearer.

    Args:
        counts: (D,) how often each different character occurs, none of them zero.
        lengths: (D,) its bytes.

    Returns:
        1 where little would be saved.
    """
    order = np.argsort(counts, kind="stable")
    counts, lengths = counts[order], lengths[order]
    # left out are the first k of them, for every k: a byte more for each, one too where it is the only one, for it can
    # be told from the inside of others only by what stands before it
    more = np.concatenate([[0], np.cumsum(counts * np.maximum(lengths - 1, 1))])
    ids = STEP_IN_IDS + BYTE_IDS + len(counts) - np.arange(len(counts) + 1)
    cost = (1 + more / max(counts.sum(), 1)) * ids
    # only where the next count differs is there a least count that cuts there
    ends = np.flatnonzero(np.diff(counts, append=counts[-1:] + 1)) + 1
    best = ends[np.argmin(cost[ends])] if len(ends) else 0
    if best == 0 or cost[best] > (1 - LEAST_SAVING) * cost[0]:
        return 1
    return int(counts[best - 1]) + 1


def least_count_of(counts: Mapping[str, int]) -> int:
    """`least_count` of a text whose characters occur so often; halves of surrogate pairs never have an id."""
    whole = {character: count for character, count in counts.items() if not "\ud800" <= character <= "\udfff"}
    lengths = [len(character.encode()) for character in whole]
    return least_count(np.fromiter(whole.values(), np.int64, len(whole)), np.array(lengths, np.intp))
