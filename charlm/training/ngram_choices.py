"""Vectors of n-grams where nobody asked for others: as long and as many as a text asks for, and the rules of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise, takewhile
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.config import Config, flag_of
from charlm.config.sections import MOST_NGRAM_ROWS, NGRAM_SETTINGS
from charlm.plurals import counted
from charlm.streams.ngrams import rows_of_ngrams

# Numbers of a vector, and for how many symbols of the training split there is one.
NGRAM_SIZE, SYMBOLS_A_VECTOR = 32, 16
FEWEST_VECTORS, MOST_VECTORS = 2**8, 2**18
# N-grams are as long as leaves about so large a share of a text's new to a model that was trained on the rest of it,
# divided by the passes, of which there are two at least. The more often a text is read, the less may be new, for all
# that is old was learnt by heart then, and misleads. docs/recipes.md has what that was found on.
NEW, FEWEST_PASSES = 0.36, 2.0
LEAST_ORDER, MOST_ORDER = 2, 6
# So many symbols of a text are looked at for what is new in it.
_MOST_READ = 2**22


def with_ngrams(config: Config, free: Collection[str], symbols: int, new: Sequence[float]) -> Config:
    """The settings with vectors of n-grams as the text asks for: as long ones as a training of few passes has.

    Args:
        symbols: of the training split.
        new: of its n-grams of `LEAST_ORDER` to `MOST_ORDER` symbols the share that is new, as `new_ngrams` has it; read
            where the length is free.
    """
    model = config.model
    if "ngram_embedding_size" in free:
        model = dataclasses.replace(model, ngram_embedding_size=NGRAM_SIZE)
    if "ngram_order" in free:
        model = dataclasses.replace(model, ngram_order=_longest_ngrams(new, FEWEST_PASSES))
    if "ngram_rows" in free:
        rows = 2 ** round(math.log2(symbols / SYMBOLS_A_VECTOR))
        model = dataclasses.replace(model, ngram_rows=min(max(rows, FEWEST_VECTORS), MOST_VECTORS))
    return dataclasses.replace(config, model=model)


def with_ngrams_short_enough(
    config: Config, free: Collection[str], new: Sequence[float], passes: Callable[[Config], float]
) -> tuple[Config, str | None]:
    """The settings with n-grams no longer than the number of passes allows, and what to say of all that was chosen for
    n-grams; of settings that `with_ngrams` gave.

    Args:
        new: as `with_ngrams` has it.
        passes: that a training of such settings will make; asked only where it matters.
    """
    model, wanted = config.model, [name for name in NGRAM_SETTINGS if name in free]
    if not wanted:
        return config, None
    if "ngram_order" in free and _longest_ngrams(new, math.inf) < model.ngram_order:
        model = dataclasses.replace(model, ngram_order=_longest_ngrams(new, passes(config)))
    lengths = "2" if model.ngram_order == LEAST_ORDER else f"{LEAST_ORDER} to {model.ngram_order}"
    notice = (
        f"n-grams of {lengths} symbols: {counted(model.ngram_rows, 'vector')} of {model.ngram_embedding_size} numbers; "
        f"{flag_of(wanted[0])} decides otherwise"
    )
    return dataclasses.replace(config, model=model), notice


def new_ngrams(ids: npt.NDArray[Any]) -> list[float]:
    """The share of n-grams in one tenth of a text that its other nine do not have, of all tenths; for n-grams of
    `LEAST_ORDER` to `MOST_ORDER` symbols. 1 where a text is too short to tell.

    Few n-grams too many are taken for known, where two have the same row of as many as the largest table may have.

    Args:
        ids: (symbols,); of a long text the beginning is read.
    """
    symbols = np.asarray(ids[:_MOST_READ]).astype(np.int64) + 1
    ends = len(symbols) - MOST_ORDER + 1
    if ends < 10:
        return [1.0] * (MOST_ORDER - LEAST_ORDER + 1)
    tenths = (np.arange(ends) * 10 // ends).astype(np.uint8)
    found = []
    for rows in rows_of_ngrams(symbols, MOST_ORDER, MOST_NGRAM_ROWS):
        first, last = np.empty(MOST_NGRAM_ROWS, np.uint8), np.empty(MOST_NGRAM_ROWS, np.uint8)
        # of those that are assigned to one place, the last one stays
        first[rows[::-1]], last[rows] = tenths[::-1], tenths
        found.append(float((first[rows] == last[rows]).mean()))
    return found


def _longest_ngrams(new: Sequence[float], passes: float) -> int:
    """How many symbols the longest n-grams have: one more as long as the geometric mean of what is new of those and of
    the ones before is no more than the passes allow."""
    most = NEW / max(passes, FEWEST_PASSES)
    return LEAST_ORDER + len(list(takewhile(lambda pair: math.sqrt(pair[0] * pair[1]) <= most, pairwise(new))))
