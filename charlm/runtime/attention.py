"""A single attention head over past outputs, in NumPy; the equations are those of `charlm.models.attention`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from charlm.config import ModelConfig
from charlm.runtime.layer import layer_norm
from charlm.runtime.product import Product, tile_height
from charlm.runtime.state import Array, LayerState


class Attention:
    """The head over one step at a time. Letters: N rows, H, A past outputs kept.

    Row i of every result is the same, bit for bit, whatever N is: see `charlm.runtime.product.Product`.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array]) -> None:
        """weights: all tensors of the model."""
        self.A, self.H = config.attention_window, config.hidden_size
        self._norm = np.array(weights["attention_norm_weight"]), np.array(weights["attention_norm_bias"])
        self._query = Product(weights["attention_query"] / np.float32(np.sqrt(self.H)))
        self._output = Product(weights["attention_output"])

    def initial_state(self, N: int) -> LayerState:
        """Nothing remembered: memory (N, A, H), and which places of it are filled (N, A)."""
        return np.zeros((N, self.A, self.H), dtype=np.float32), np.zeros((N, self.A), dtype=np.float32)

    def step(self, y: Array, state: LayerState) -> tuple[Array, LayerState]:
        """y: (N, H) -> y with what attention finds for it (N, H), state after."""
        normal = layer_norm(y, *self._norm)
        past: Array = np.concatenate([state[0], normal[:, None]], axis=1)  # (N, A + 1, H)
        filled = np.concatenate([state[1], np.ones((len(y), 1), dtype=np.float32)], axis=1)
        query = self._query(normal)[:, :, None]
        # subtle: in parts so small that no BLAS shares one among threads, and added up in one order
        height = tile_height(self.A + 1, self.H)
        parts = [past[:, start : start + height] for start in range(0, self.A + 1, height)]
        scores = np.concatenate([np.matmul(part, query)[:, :, 0] for part in parts], axis=1)
        scores = np.where(filled > 0, scores, np.float32(-np.inf))
        shares: Array = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        context = np.zeros_like(y)
        for index, part in enumerate(parts):
            context += np.matmul(shares[:, None, index * height : (index + 1) * height], part)[:, 0]
        return y + self._output(context), (past[:, 1:], filled[:, 1:])
