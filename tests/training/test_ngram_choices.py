"""Vectors of n-grams where nobody asked for others: how many, how long, and what is new in a text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from charlm.config import CHOSEN, Layer, resolve
from charlm.training.ngram_choices import (
    FEWEST_VECTORS,
    LEAST_ORDER,
    MOST_ORDER,
    MOST_VECTORS,
    new_ngrams,
    with_ngrams,
    with_ngrams_short_enough,
)

NGRAMS = ("ngram_embedding_size", "ngram_order", "ngram_rows")
# of two to six characters, the share that the rest of a text does not have
PLAYS = (0.001, 0.008, 0.032, 0.089, 0.195)
C = (0.001, 0.012, 0.043, 0.087, 0.137)
JAPANESE = (0.04, 0.192, 0.381, 0.533, 0.651)
SAME, NOTHING = (0.0,) * 5, (1.0,) * 5


@pytest.mark.parametrize(
    ("settings", "symbols", "free", "found"),
    [
        ({}, 1, CHOSEN, (32, 6, FEWEST_VECTORS)),
        ({}, 1000, CHOSEN, (32, 6, FEWEST_VECTORS)),
        ({}, 100_000, CHOSEN, (32, 6, 8192)),
        ({}, 400_000, CHOSEN, (32, 6, 32768)),
        ({}, 40_000_000, CHOSEN, (32, 6, MOST_VECTORS)),
        ({"ngram_rows": 77}, 100_000, ("ngram_embedding_size", "ngram_order"), (32, 6, 77)),
        ({"ngram_embedding_size": 5, "ngram_order": 9}, 100_000, ("ngram_rows",), (5, 9, 8192)),
    ],
    ids=str,
)
def test_there_are_as_many_n_grams_as_the_text_asks_for(
    settings: dict[str, Any], symbols: int, free: tuple[str, ...], found: tuple[int, int, int]
) -> None:
    config = resolve([Layer(origin="flag", values=settings)]).config
    chosen, notice = with_ngrams_short_enough(with_ngrams(config, free, symbols, PLAYS), free, PLAYS, lambda _: 1.0)
    size, order, rows = found
    assert (chosen.model.ngram_embedding_size, chosen.model.ngram_order, chosen.model.ngram_rows) == found
    flag = f"--{next(name for name in NGRAMS if name in free).replace('_', '-')}"
    assert notice == f"n-grams of 2 to {order} symbols: {rows:,} vectors of {size} numbers; {flag} decides otherwise"


@pytest.mark.parametrize(
    ("settings", "new", "passes", "order"),
    [
        ({}, SAME, 100.0, MOST_ORDER),
        ({}, NOTHING, 0.1, LEAST_ORDER),
        ({}, PLAYS, 0.1, 6),
        ({}, PLAYS, 2.0, 6),
        ({}, PLAYS, 3.5, 5),
        ({}, PLAYS, 10.0, 4),
        ({}, PLAYS, 100.0, 3),
        ({}, C, 0.5, 6),
        ({}, C, 4.0, 5),
        ({}, C, 20.0, 3),
        ({}, JAPANESE, 0.5, 3),
        ({}, JAPANESE, 6.0, 2),
        ({}, (0.12, 0.5, 0.1, 0.1, 0.1), 1.0, 2),  # by chance
        ({"ngram_order": 3}, SAME, 1.0, 3),
        ({"ngram_order": 9}, NOTHING, 10.0, 9),
    ],
    ids=str,
)
def test_n_grams_are_so_long_that_so_many_are_new_and_fewer_the_more_often_a_text_is_read(
    settings: dict[str, Any], new: Sequence[float], passes: float, order: int
) -> None:
    resolved = resolve([Layer(origin="flag", values=settings)])
    config = with_ngrams(resolved.config, resolved.free, 5_000_000, new)
    chosen, notice = with_ngrams_short_enough(config, resolved.free, new, lambda _: passes)
    assert chosen.model.ngram_order == order
    assert str(notice).startswith("n-grams of 2 symbols:" if order == 2 else f"n-grams of 2 to {order} symbols:")
    assert dataclasses.replace(chosen.model, ngram_order=2) == dataclasses.replace(config.model, ngram_order=2)
    # what is tried before the passes are known is no shorter
    assert config.model.ngram_order >= order


@pytest.mark.parametrize(("new", "asked"), [(PLAYS, 1), (SAME, 0), (NOTHING, 0)], ids=["some", "nothing", "all"])
def test_passes_are_asked_for_only_where_they_matter(new: Sequence[float], asked: int) -> None:
    """To know them a model of that size may have to be timed."""
    resolved, seen = resolve([]), []
    config = with_ngrams(resolved.config, resolved.free, 1000, new)
    with_ngrams_short_enough(config, resolved.free, new, lambda config: seen.append(config) or 1.0)
    assert len(seen) == asked


def test_what_is_new_is_what_the_rest_of_a_text_does_not_have() -> None:
    ids = np.random.default_rng(0).integers(0, 40, 4000).astype(np.uint16)
    ids[1700:1900] = ids[100:300]  # a quotation, in the fifth tenth

    ends = range(MOST_ORDER - 1, len(ids))

    def new(n: int) -> float:
        tenths: dict[bytes, set[int]] = {}
        for place, end in enumerate(ends):
            tenths.setdefault(ids[end - n + 1 : end + 1].tobytes(), set()).add(place * 10 // len(ends))
        return float(np.mean([len(tenths[ids[end - n + 1 : end + 1].tobytes()]) == 1 for end in ends]))

    found = new_ngrams(ids)
    assert found == pytest.approx([new(n) for n in range(2, 7)], abs=0.003)
    assert found[-1] == pytest.approx(0.9, abs=0.01)


def test_of_a_long_text_the_beginning_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charlm.training.ngram_choices._MOST_READ", 1000)
    ids = np.zeros(2000, np.uint16)
    ids[1000:] = np.arange(1000)
    assert new_ngrams(ids) == [0.0] * 5


@pytest.mark.parametrize("symbols", [*range(25), 60, 100])
def test_of_a_text_that_never_repeats_itself_all_is_new_however_short_it_is(symbols: int) -> None:
    found = new_ngrams(np.arange(symbols, dtype=np.uint8))
    assert found == [1.0] * (MOST_ORDER - LEAST_ORDER + 1)
