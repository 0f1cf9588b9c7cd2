"""Vectors of n-grams where nobody asked for others: as long and as many as a text asks for, and the rules of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.config import Config
from charlm.plurals import counted
from charlm.training.choices import flag_of

# Numbers of a vector, and for how many symbols of the training split there is one.
NGRAM_SIZE, SYMBOLS_A_VECTOR = 32, 16
FEWEST_VECTORS, MOST_VECTORS = 2**8, 2**18
# N-grams are as long as leaves so small a share of a text's new to a model that was trained on the rest of it in one
# pass. The more often a text is read, the less may be new: all that is old was learnt by heart then, and misleads.
# docs/recipes.md has what both were found on.
MOST_NEW, LEAST_NEW = 0.16, 0.07
LEAST_ORDER, MOST_ORDER = 2, 6
_OF_NGRAMS = ("ngram_embedding_size", "ngram_order", "ngram_rows")
# So many symbols of a text are looked at for what is new in it.
_MOST_READ = 2**22
# For a hash of n-grams: an odd number of 64 bits, that of Knuth's multiplicative method, and the bits of a place.
_MULTIPLIER, _PLACES = np.uint64(0x9E3779B97F4A7C15), 24


def with_ngrams(config: Config, free: Collection[str], symbols: int, new: Sequence[float]) -> Config:
    """The settings with vectors of n-grams as the text asks for, of which as long ones as ever.

    Args:
        symbols: of the training split.
        new: of its n-grams of `LEAST_ORDER` to `MOST_ORDER` symbols the share that is new, as `new_ngrams` has it; read
            where the length is free.
    """
    model = config.model
    if "ngram_embedding_size" in free:
        model = dataclasses.replace(model, ngram_embedding_size=NGRAM_SIZE)
    if "ngram_order" in free:
        model = dataclasses.replace(model, ngram_order=_longest_ngrams(new, 1.0))
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
    model, wanted = config.model, [name for name in _OF_NGRAMS if name in free]
    if not wanted:
        return config, None
    if "ngram_order" in free and model.ngram_order > LEAST_ORDER:
        model = dataclasses.replace(model, ngram_order=_longest_ngrams(new, passes(config)))
    lengths = "2" if model.ngram_order == 2 else f"2 to {model.ngram_order}"
    notice = (
        f"n-grams of {lengths} symbols: {counted(model.ngram_rows, 'vector')} of {model.ngram_embedding_size} numbers; "
        f"{flag_of(wanted[0])} decides otherwise"
    )
    return dataclasses.replace(config, model=model), notice


def new_ngrams(ids: npt.NDArray[Any]) -> list[float]:
    """The share of n-grams in two tenths of a text, its fifth and its last, that the rest of it does not have; for
    n-grams of `LEAST_ORDER` to `MOST_ORDER` symbols. About: what is hashed to one place is taken for the same.

    Args:
        ids: (symbols,); of a long text the beginning is read.
    """
    symbols = np.asarray(ids[:_MOST_READ]).astype(np.uint64)
    tenth, keys, found = len(symbols) // 10, symbols, []
    for n in range(2, MOST_ORDER + 1):
        keys = keys[:-1] * _MULTIPLIER + symbols[n - 1 :]
        places = (keys * _MULTIPLIER) >> np.uint64(64 - _PLACES)
        shares = []
        for begin in (4 * tenth, 9 * tenth):
            there = np.zeros(2**_PLACES, bool)
            there[places[:begin]] = there[places[begin + tenth :]] = True
            old = there[places[begin : begin + tenth]]
            shares.append(1 - old.mean() if len(old) else 0.0)
        found.append(float(np.mean(shares)))
    return found


def _longest_ngrams(new: Sequence[float], passes: float) -> int:
    """How many symbols the longest n-grams have of which few enough are new."""
    most = max(MOST_NEW / math.sqrt(max(passes, 1.0)), LEAST_NEW)
    return LEAST_ORDER + sum(share <= most for share in new[1:])
