"""What a model carries from one window to the next: a value, handed in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from charlm.models.arrays import array_of, tensors_of


class HiddenState(NamedTuple):
    """State of a layer of Elman or gated recurrent units."""

    hidden: Tensor  # (B, H), the layer's last output


class LSTMState(NamedTuple):
    """State of a layer of long short-term memory."""

    hidden: Tensor  # (B, H), the layer's last output
    memory: Tensor  # (B, H), what the literature calls the cell state c


LayerState = HiddenState | LSTMState
State = tuple[LayerState, ...]  # one a layer, lowest first


def detach(state: State) -> State:
    """The same state cut off from the graph that made it: where backpropagation through time is truncated."""
    return tuple(type(layer)(*(tensor.detach() for tensor in layer)) for layer in state)


def state_to_arrays(state: State) -> dict[str, np.ndarray[Any, Any]]:
    """The state as ``{"layers.0.hidden": (B, H) float32, ...}``, for a checkpoint."""
    return {name: array_of(tensor) for name, tensor in _named(state).items()}


def state_from_arrays(arrays: Mapping[str, np.ndarray[Any, Any]], like: State, where: str = "carried state") -> State:
    """The state that `state_to_arrays` wrote.

    Args:
        like: a state of the model and lanes that are to go on, such as ``model.initial_state(B)``; gives
            the shapes expected, the number format and the device.
        where: what was read, for the messages.

    Raises:
        RunError: a tensor is missing, one too many, misshapen, not of floats or not finite.
    """
    tensors = iter(tensors_of(arrays, _named(like), where).values())
    return tuple(type(layer)(*(next(tensors) for _ in layer)) for layer in like)


def _named(state: State) -> dict[str, Tensor]:
    return {
        f"layers.{index}.{field}": tensor
        for index, layer in enumerate(state)
        for field, tensor in zip(layer._fields, layer, strict=True)
    }
