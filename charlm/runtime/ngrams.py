"""Vectors of the last symbols taken together, in NumPy; the equations are those of `charlm.models.ngrams`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.config import ModelConfig
from charlm.runtime.product import Product
from charlm.runtime.state import Array, LayerState
from charlm.streams import NO_SYMBOL, rows_of_ngrams


class Ngrams:
    """What stands beside the embedded symbols. Letters: n rows, T symbols of each, D, N, V.

    Attributes:
        output: their share of the logits: (n, D) -> (n, V)
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array]) -> None:
        """weights: all tensors of the model."""
        self._order, self._rows = config.ngram_order, config.ngram_rows
        self._table: Array = np.array(weights["ngram_embedding"])
        self.output = Product(weights["ngram_output_weight"])

    def initial_state(self, n: int) -> LayerState:
        """No symbol read: (n, N - 1)."""
        return (np.full((n, self._order - 1), NO_SYMBOL, dtype=np.float32),)

    def read(self, ids: npt.NDArray[Any], state: LayerState) -> tuple[Array, LayerState]:
        """ids: (n, T) -> the vectors of the n-grams that end at each (n, T, D), state after."""
        symbols = np.concatenate([state[0].astype(np.int64), ids.astype(np.int64) + 1], axis=1)
        first, *others = (self._table[rows] for rows in rows_of_ngrams(symbols, self._order, self._rows))
        for vectors in others:
            first = first + vectors
        return first, (symbols[:, ids.shape[1] :].astype(np.float32),)
