"""What every cell is: weights, a first state, and one step in time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from charlm.models.initialisation import orthogonal_, scaled_uniform_

StateT = TypeVar("StateT", bound=tuple[Tensor, ...])


class Weights(NamedTuple):
    """The weights of one layer. Rows come in G blocks of H, one a gate, in the order of torch's own layers."""

    input_weight: Tensor  # (GH, in)
    recurrent_weight: Tensor  # (GH, H)
    input_bias: Tensor  # (GH,)
    recurrent_bias: Tensor  # (GH,)


class Cell(ABC, Generic[StateT]):
    """One layer's equations over some weights. A cell owns nothing: whoever has weights can make one."""

    gates: ClassVar[int]
    """G: how many blocks of H rows the weights have."""
    state_type: ClassVar[Any]
    """The named tuple, of tensors (B, H), that the cell carries through time."""
    weights_type: ClassVar[Any] = Weights
    """`Weights`, or a named tuple that begins with the same four and has the names that
    `charlm.config.shapes.layer_shapes` gives; one that a configuration does without is None."""
    output_gain: ClassVar[float] = 1.0
    """First output weights are this much larger above the cell: for outputs that begin far below one in size."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def initial_state(self, B: int) -> StateT:
        """The state before the first symbol: zeros, each (B, H)."""
        weight = self.weights.recurrent_weight
        zeros = weight.new_zeros((B, weight.shape[1]))
        state: StateT = self.state_type(*(zeros for _ in self.state_type._fields))
        return state

    @abstractmethod
    def step(self, x: Tensor, state: StateT) -> tuple[Tensor, StateT]:
        """One step in time. x: (B, in) -> y: (B, H), next state."""

    @classmethod
    def initialise(cls, weights: Weights, generator: torch.Generator) -> None:
        """Draw first weights in place: orthogonal recurrence gate by gate, scaled uniform inputs, zero biases."""
        H = weights.recurrent_weight.shape[1]
        scaled_uniform_(weights.input_weight, generator)
        for gate in torch.split(weights.recurrent_weight, H):
            orthogonal_(gate, generator)
        weights.input_bias.zero_()
        weights.recurrent_bias.zero_()
