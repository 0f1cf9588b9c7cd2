"""Vectors of the last symbols taken together, beside those of single symbols. Letters: B lanes, T window, D size of a
vector, N symbols of the longest n-gram, R rows of the table."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.models.state import NgramState
from charlm.streams import NO_SYMBOL, rows_of_ngrams


def nothing_read(B: int, N: int, like: Tensor) -> NgramState:
    """The symbols before any text, on the device of `like`: none."""
    return NgramState(torch.full((B, N - 1), NO_SYMBOL, dtype=torch.float32, device=like.device))


def embed_ngrams(
    ids: Tensor, state: NgramState, table: Tensor, N: int, *, sparse: bool = False
) -> tuple[Tensor, NgramState]:
    """The sum of the vectors of the n-grams of 2, ..., N symbols that end at each symbol.

        g[t] = sum over n = 2 ... N of table[row of (ids[t - n + 1], ..., ids[t])]

    After the hashed n-gram features of Mikolov et al. (2011, "Strategies for training large scale neural network
    language models"), which lead to the output there; here, as vectors, into the lowest layer and by a matrix to the
    logits.

    Args:
        ids: (B, T) int64.
        table: (R, D)
        sparse: whether its gradient is to be a sparse tensor, of the rows that occur.

    Returns:
        g (B, T, D), time-major in memory, and the last N - 1 symbols.
    """
    symbols = torch.cat([state.symbols.to(torch.int64), ids + 1], dim=1)
    rows = torch.stack(rows_of_ngrams(symbols, N, len(table)), dim=-1).transpose(0, 1)  # (T, B, N - 1)
    if table.device.type == "cpu":
        vectors = F.embedding_bag(rows.flatten(0, 1), table, mode="sum", sparse=sparse)
        vectors = vectors.view(*rows.shape[:2], table.shape[1])
    else:  # not every device of every torch has that
        vectors = F.embedding(rows, table, sparse=sparse).sum(2)
    return vectors.transpose(0, 1), NgramState(symbols[:, ids.shape[1] :].to(torch.float32))
