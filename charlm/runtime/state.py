"""The state of some rows: a value that goes into a step and comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
LayerState = tuple[Array, ...]
"""What one layer carries, each (N, H): the output h first, then the LSTM's memory."""
State = tuple[LayerState, ...]
"""One `LayerState` a layer, lowest first; behind them what attention remembers, (N, A, H) and (N, A), and the last
symbols for n-grams, if any."""


def select(state: State, rows: Sequence[int] | npt.NDArray[Any]) -> State:
    """The state of some rows, copied, in the order asked for; a row may be asked for more than once."""
    index = np.asarray(rows, dtype=np.intp)
    return tuple(tuple(array[index] for array in layer) for layer in state)


class Weighed(NamedTuple):
    """How a model weighs ids (N, T): their losses (N, T) in nats, and whether each was the likeliest."""

    nats: npt.NDArray[np.floating[Any]]
    right: npt.NDArray[np.bool_]
