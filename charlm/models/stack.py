"""L layers, one above the other: the only loop over time and over layers.

Shapes are (B, T, ...) but memory is time-major: the steps of a window follow one another, as every
kernel reads them, so no layer has to copy its input.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charlm.config import ModelConfig
from charlm.config.shapes import layer_shapes
from charlm.kernels import Inputs, Lookup, find_kernel, gathered
from charlm.models.cells import CELLS, Cell, Weights
from charlm.models.dropout import drop, drop_connections
from charlm.models.state import LayerState, State
from charlm.registry import lookup


class Layer(nn.Module):
    """One recurrent layer: y = cell(drop(norm(x))), plus x where `residual` is on and sizes agree.

    Normalising the input (pre-norm: Ba et al., 2016, arXiv:1607.06450; Xiong et al., 2020,
    arXiv:2002.04745) leaves the cell as it is, so every kernel still fits.
    """

    input_weight: Tensor
    recurrent_weight: Tensor
    input_bias: Tensor
    recurrent_bias: Tensor
    norm_weight: Tensor
    norm_bias: Tensor

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.cell = config.cell
        self.cell_type: type[Cell[Any]] = lookup(CELLS, config.cell, "cell")
        self.layer_norm = config.layer_norm
        self.residual = config.residual
        self.dropout = config.dropout_input if index == 0 else config.between
        self.dropout_recurrent = config.dropout_recurrent
        self.locked = config.locked_dropout
        for name, shape in layer_shapes(config, index).items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape, dtype=torch.float32)))

    @property
    def weights(self) -> Weights:
        """The cell's weights, without masks."""
        kind = self.cell_type.weights_type
        weights: Weights = kind(*(self._parameters.get(name) for name in kind._fields))
        return weights

    def initial_state(self, B: int) -> LayerState:
        """Zeros, each (B, H)."""
        state: LayerState = self.cell_type(self.weights).initial_state(B)
        return state

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights."""
        with torch.no_grad():
            self.cell_type.initialise(self.weights, generator)
            if self.layer_norm:
                self.norm_weight.fill_(1.0)
                self.norm_bias.zero_()

    def forward(self, x: Inputs, state: LayerState, masks: torch.Generator | None) -> tuple[Tensor, LayerState]:
        """x: (B, T, in), state of (B, H) -> y: (B, T, H), state after the window."""
        inner = self.inner(x, masks)
        recurrent = drop_connections(self.recurrent_weight, self.dropout_recurrent, masks)
        weights = self.weights._replace(recurrent_weight=recurrent)
        kernel = find_kernel(self.cell, recurrent)
        if kernel is not None:
            y, after = kernel(inner, state, weights)
        else:
            y, after = step_through(self.cell_type(_cast_once(weights)), gathered(inner), state)
        # what is carried on keeps its format, whatever the products are in
        state = self.cell_type.state_type(*(new.to(old.dtype) for new, old in zip(after, state, strict=True)))
        width = x.width if isinstance(x, Lookup) else x.shape[2]
        return (gathered(x) + y if self.residual and width == y.shape[2] else y), state

    def inner(self, x: Inputs, masks: torch.Generator | None) -> Inputs:
        """The layer's input as its cell gets it: normalised, with dropout."""
        if isinstance(x, Lookup) and x.beside is not None and self.layer_norm:
            x = x.gather()  # the two are normalised together
        if isinstance(x, Lookup):
            x = x._replace(rows=self._normalised(x.rows))  # what is done to rows is done once to each
            if masks is None or self.dropout == 0:
                return x
            return drop(x.gather(), self.dropout, masks, locked=self.locked)
        return drop(self._normalised(x), self.dropout, masks, locked=self.locked)

    def _normalised(self, x: Tensor) -> Tensor:
        """x: (..., in)"""
        if not self.layer_norm:
            return x
        return F.layer_norm(x.to(self.norm_weight.dtype), x.shape[-1:], self.norm_weight, self.norm_bias)


def _cast_once(weights: Weights) -> Weights:
    """Under autocast, the weights in its format: else they would be cast anew at every step of the window."""
    device = weights.recurrent_weight.device.type
    if not torch.is_autocast_enabled(device):
        return weights
    dtype = torch.get_autocast_dtype(device)
    # one that a configuration does without is None
    return type(weights)(*(weight if weight is None else weight.to(dtype) for weight in weights))


class Stack(nn.ModuleList):
    """The layers of a model, lowest first."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(Layer(config, index) for index in range(config.layers))

    def __iter__(self) -> Iterator[Layer]:  # only layers are ever put in
        return super().__iter__()  # type: ignore[return-value]

    def initial_state(self, B: int) -> State:
        """Zeros for every layer."""
        return tuple(layer.initial_state(B) for layer in self)

    def forward(self, x: Inputs, state: State, masks: torch.Generator | None) -> tuple[Tensor, State]:
        """x: (B, T, E) -> y: (B, T, H), state after the window. `masks` None: no dropout."""
        after = []
        for layer, before in zip(self, state, strict=True):
            x, layer_state = layer(x, before, masks)
            after.append(layer_state)
        return gathered(x), tuple(after)


def step_through(cell: Cell[Any], x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
    """Any cell over a window, one step after the other. x: (B, T, in) -> y: (B, T, H), state after."""
    outputs = []
    for x_t in x.unbind(dim=1):
        y_t, state = cell.step(x_t, state)
        outputs.append(y_t)
    return torch.stack(outputs).transpose(0, 1), state  # (T, B, H) -> (B, T, H)
