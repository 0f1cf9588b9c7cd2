"""Recurrent language models: cells that read as their equations, a stack of them, ids in, logits out.

The letters, here and everywhere:

    B  lanes (batch)         V  vocabulary        H  hidden units of a layer
    T  window length         E  embedding         L  layers
    G  gates of a cell (1, 3 or 4)                 A  past outputs that attention keeps
    N  symbols of the longest n-gram that has a vector, of D numbers; R rows of their table

State is a value: ``logits, state = model(ids, state)``. docs/models.md has the equations and their sources.
"""

from charlm.models.cells import CELLS
from charlm.models.language_model import LanguageModel
from charlm.models.state import (
    AttentionState,
    HiddenState,
    LSTMState,
    State,
    detach,
    state_from_arrays,
    state_to_arrays,
)

__all__ = [
    "CELLS",
    "AttentionState",
    "HiddenState",
    "LSTMState",
    "LanguageModel",
    "State",
    "detach",
    "state_from_arrays",
    "state_to_arrays",
]
