"""One recurrent layer of the runtime: y = cell(norm(x)), plus x where `residual` is on and sizes agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.config import ModelConfig
from charlm.registry import lookup
from charlm.runtime.cells import CELLS, Cell
from charlm.runtime.product import Product
from charlm.runtime.state import Array, LayerState

EPSILON = np.float32(1e-5)  # torch's layer_norm


class Layer:
    """A layer in two halves: what depends on its input alone, and the recurrence."""

    def __init__(self, config: ModelConfig, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        """weights: the layer's tensors by their short names, as in `charlm.config.shapes.layer_shapes`."""
        cell_type = lookup(CELLS, config.cell, "cell")
        scale = cell_type.scale(config.hidden_size)
        scaled = {name: weights[name] * scale for name in ("input_weight", "recurrent_weight")}
        scaled |= {name: weights[name] * scale[:, 0] for name in ("input_bias", "recurrent_bias")}
        self.cell: Cell = cell_type({**weights, **scaled})
        self._input = None if cell_type.takes_input else Product(scaled["input_weight"])
        self._bias: Array = np.array(
            scaled["input_bias"] + cell_type.early_bias(scaled["recurrent_bias"]), dtype=np.float32
        )
        self._norm = (np.array(weights["norm_weight"]), np.array(weights["norm_bias"])) if config.layer_norm else None
        self._residual = config.residual and weights["input_weight"].shape[1] == config.hidden_size

    def inputs(self, x: Array) -> Array:
        """What the cell starts from, x: (N, in): the input's share of the gates (N, GH), or the input as it gets it."""
        if self._norm is not None:
            x = layer_norm(x, *self._norm)
        return x if self._input is None else self._input(x) + self._bias

    def output(self, x: Array, h: Array) -> Array:
        """x: (N, in), h: (N, H) -> y: (N, H)"""
        return x + h if self._residual else h

    def initial_state(self, N: int) -> LayerState:
        """Zeros, each (N, H)."""
        return tuple(np.zeros((N, self.cell.H), dtype=np.float32) for _ in range(self.cell.carried))

    def run(self, shares: Array, state: LayerState) -> tuple[Array, LayerState]:
        """T steps of one row. shares: (T, GH), state of one row -> h: (T, H), state after the last step."""
        h: Array = np.empty((len(shares), self.cell.H), dtype=np.float32)
        for t in range(len(shares)):
            state = self.cell.step(shares[t : t + 1], state)
            h[t] = state[0][0]
        return h, state


def layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    """x: (N, in) -> (N, in), each row with mean 0 and variance 1, then scaled (Ba et al., 2016, arXiv:1607.06450)."""
    centred = x - x.mean(axis=1, keepdims=True)
    variance = np.square(centred).mean(axis=1, keepdims=True)
    normal: Array = centred / np.sqrt(variance + EPSILON) * weight + bias
    return normal
