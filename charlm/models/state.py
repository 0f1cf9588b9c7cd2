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


class AttentionState(NamedTuple):
    """What attention looks back on."""

    memory: Tensor  # (B, A, H), the last A normalised outputs, oldest first
    filled: Tensor  # (B, A), 1 where there is one, 0 before the beginning of a text


class NgramState(NamedTuple):
    """What n-grams reach back to: the last symbols, as `charlm.streams.NO_SYMBOL` says."""

    symbols: Tensor  # (B, N - 1) float32, whatever the weights are in


LayerState = HiddenState | LSTMState
State = tuple[LayerState | AttentionState | NgramState, ...]
"""One a layer, lowest first; behind them those of attention and of n-grams, if any."""

# What the parts of a state are called that are no layer's.
_BESIDE = {AttentionState: "attention", NgramState: "ngrams"}


def detach(state: State) -> State:
    """The same state cut off from the graph that made it: where backpropagation through time is truncated."""
    return tuple(type(part)(*(tensor.detach() for tensor in part)) for part in state)


def state_to_arrays(state: State) -> dict[str, np.ndarray[Any, Any]]:
    """The state as ``{"layers.0.hidden": (B, H), ..., "attention.memory": (B, A, H)}`` in float32, for a checkpoint."""
    return {name: array_of(tensor) for name, tensor in _named(state).items()}


def state_from_arrays(arrays: Mapping[str, np.ndarray[Any, Any]], like: State) -> State:
    """The state that `state_to_arrays` wrote.

    Args:
        like: a state of the model and lanes that are to go on, such as ``model.initial_state(B)``; gives
            the shapes expected, the number format and the device.

    Raises:
        RunError: a tensor is missing, one too many, misshapen, not of floats or not finite.
    """
    tensors = iter(tensors_of(arrays, _named(like), "carried state").values())
    return tuple(type(part)(*(next(tensors) for _ in part)) for part in like)


def _named(state: State) -> dict[str, Tensor]:
    return {
        f"{_BESIDE.get(type(part), f'layers.{index}')}.{field}": tensor
        for index, part in enumerate(state)
        for field, tensor in zip(part._fields, part, strict=True)
    }
