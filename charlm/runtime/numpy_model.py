"""A model in NumPy: the engine that runs everywhere, and that the others are held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.config import ModelConfig
from charlm.runtime.attention import Attention
from charlm.runtime.checking import checked
from charlm.runtime.layer import Layer
from charlm.runtime.layout import LARGEST_TABLE
from charlm.runtime.ngrams import Ngrams
from charlm.runtime.priming import Ids, Priming
from charlm.runtime.product import Product
from charlm.runtime.state import Array, State

# Symbols of a prompt that go through a layer together.
WINDOW = 256


class NumpyModel(Priming):
    """The model of `charlm.models.LanguageModel`, without dropout, in float32. Letters: N rows, V, E, H.

    Row i of every result is the same, bit for bit, whatever N is; see `Product`.
    """

    def __init__(self, config: ModelConfig, arrays: Mapping[str, npt.NDArray[Any]], vocab_size: int) -> None:
        """
        Args:
            arrays: all tensors by name, as `LanguageModel.to_arrays` gives them; they are copied.

        Raises:
            RunError: naming a tensor that is missing, one too many, misshapen, not of floats or not finite.
            UnknownNameError: `config.cell` is no cell.
        """
        weights = checked(arrays, config, vocab_size)
        self.config = config
        self.vocab_size = vocab_size
        self._embedding: Array = np.array(weights["embedding"])
        self._layers = [Layer(config, _layer_weights(weights, index)) for index in range(config.layers)]
        self._attention = Attention(config, weights) if config.attention_window else None
        self._ngrams = Ngrams(config, weights) if config.ngram_embedding_size else None
        self._projection = Product(weights["projection"]) if "projection" in weights else None
        self._output = Product(weights["embedding" if config.tie_weights else "output_weight"])
        self._output_bias: Array = np.array(weights["output_bias"])
        gates = len(weights["layers.0.input_bias"])
        small = vocab_size * gates <= LARGEST_TABLE and self._ngrams is None
        with np.errstate(over="ignore", invalid="ignore"):
            self._table = self._layers[0].inputs(self._embedding) if small else None

    def initial_state(self, n: int) -> State:
        """The state of n rows before any text: zeros, each (n, H); behind them what attention remembers, and the last
        symbols for n-grams, if any."""
        beside = (self._attention, self._ngrams)
        state = tuple(layer.initial_state(n) for layer in self._layers)
        return (*state, *(part.initial_state(n) for part in beside if part is not None))

    def step(self, ids: Ids, state: State) -> tuple[Array, State]:
        """ids: (N,), state of N rows -> logits (N, V) of the id that follows, state after."""
        # an exploding recurrence (elman-relu) shows as logits that are not finite, which generation reports
        with np.errstate(over="ignore", invalid="ignore"):
            after = []
            x, share, symbols = self._first(ids, ids[:, None], state)
            beside = x[:, self.config.embedding :]
            for index, (layer, before) in enumerate(zip(self._layers, state, strict=False)):
                layer_state = layer.cell.step(layer.inputs(x) if index else share, before)
                x = layer.output(x, layer_state[0])
                after.append(layer_state)
            if self._attention is not None:
                x, memory = self._attention.step(x, state[len(self._layers)])
                after.append(memory)
            return self._logits(x, beside), (*after, *symbols)

    def read(self, ids: Ids) -> State:
        """The state of one row after ids (T,), T >= 0, from the beginning. Memory is flat in T."""
        state = self.initial_state(1)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(ids), WINDOW):
                state = self._window(ids[start : start + WINDOW], state)
        return state

    def _window(self, ids: Ids, state: State) -> State:
        """T ids of one row, layer by layer -> the state after."""
        after = []
        x, share, symbols = self._first(ids, ids[None], state)
        for index, (layer, before) in enumerate(zip(self._layers, state, strict=False)):
            h, layer_state = layer.run(layer.inputs(x) if index else share, before)
            x = layer.output(x, h)
            after.append(layer_state)
        if self._attention is not None:
            memory = state[len(self._layers)]
            for t in range(len(x)):
                _, memory = self._attention.step(x[t : t + 1], memory)
            after.append(memory)
        return (*after, *symbols)

    def _first(self, ids: Ids, texts: Ids, state: State) -> tuple[Array, Array, State]:
        """What goes into layer 0.

        Args:
            ids: (N,)
            texts: the same as rows of text: each a row, or all of one.

        Returns:
            the input (N, E), or with n-grams (N, E + D), its share of the gates (N, GH), and the state of n-grams after
            it, if any.
        """
        x = self._embedding[ids]
        if self._table is not None:
            return x, self._table[ids], ()
        symbols: State = ()
        if self._ngrams is not None:
            ngrams, last = self._ngrams.read(texts, state[-1])
            x, symbols = np.concatenate([x, ngrams.reshape(len(ids), -1)], axis=1), (last,)
        return x, self._layers[0].inputs(x), symbols

    def _logits(self, y: Array, beside: Array) -> Array:
        """y: (N, H), and vectors of n-grams (N, D), if any -> (N, V)"""
        if self._projection is not None:
            y = self._projection(y)
        logits = self._output(y) + self._output_bias
        return logits if self._ngrams is None else logits + self._ngrams.output(beside)


def _layer_weights(weights: Mapping[str, Array], index: int) -> dict[str, Array]:
    start = f"layers.{index}."
    return {name.removeprefix(start): array for name, array in weights.items() if name.startswith(start)}
