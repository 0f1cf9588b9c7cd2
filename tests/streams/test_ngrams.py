"""Rows of n-grams: the same for the same symbols, in NumPy and torch, and on every machine."""

import numpy as np
import pytest
import torch

from charlm.streams import NO_SYMBOL, rows_of_ngrams

# none of them NO_SYMBOL, which no n-gram ends with
SYMBOLS = np.random.default_rng(1).integers(1, 91, (3, 400))


@pytest.mark.parametrize("N", [2, 3, 7])
@pytest.mark.parametrize("R", [1, 50, 2**20])
def test_numpy_and_torch_find_the_same_rows_of_one_table(N, R):
    ours = rows_of_ngrams(SYMBOLS, N, R)
    theirs = rows_of_ngrams(torch.from_numpy(SYMBOLS), N, R)
    assert len(ours) == len(theirs) == N - 1
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == (3, 400 - N + 1)
        np.testing.assert_array_equal(one, other.numpy())
        assert one.min() >= 0
        assert one.max() < R


def test_a_row_depends_on_the_last_n_symbols_and_on_no_other():
    seen = {}
    for n, rows in enumerate(rows_of_ngrams(SYMBOLS, 4, 2**30), 2):
        for lane, row_of in zip(SYMBOLS, rows, strict=True):
            for t, row in enumerate(row_of, 3):
                assert seen.setdefault(tuple(lane[t - n + 1 : t + 1]), row) == row
    # of rows so many that two n-grams, of one length or two, hardly ever share one
    assert len(set(seen.values())) == len(seen)


def test_rows_are_those_of_runs_that_were_saved():
    """A table that was learnt is worth nothing under another hash."""
    found = rows_of_ngrams(np.array([NO_SYMBOL, NO_SYMBOL, NO_SYMBOL, 5, 1, 60_000]), 4, 32768)
    assert [rows.tolist() for rows in found] == [[28887, 18145, 7082], [26681, 8008, 16392], [31222, 6711, 12482]]


def test_hashes_spread():
    """Of all pairs of 100 symbols, as many rows are taken as by chance, or more."""
    first, second = np.divmod(np.arange(10_000), 100)
    (rows,) = rows_of_ngrams(np.stack([first, second], 1), 2, 10_000)
    assert len(np.unique(rows)) > 0.62 * 10_000  # 1 - 1 / e of them
